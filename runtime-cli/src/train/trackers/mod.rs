//! The metrics of a run in forms that other programs show, beside `metrics.jsonl`.

mod csv;
mod event;
mod tensorboard;
#[cfg(test)]
mod tests;

use super::RunFolder;
use super::metrics::Record;
use crate::files;
use anyhow::{Result, anyhow};
use csv::Csv;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use tensorboard::EventFile;

/// A form of the metrics.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tracker {
    /// tensorboard/: event files of TensorBoard
    Tensorboard,
    /// metrics.csv: a row for each line of metrics.jsonl
    Csv,
}

/// The files of a run that are written.
#[derive(Default)]
pub(super) struct Trackers {
    csv: Option<Csv>,
    events: Option<EventFile>,
}

impl Trackers {
    /// Opens the files of a run that is at step `steps`, whose metrics so far are `records`: those asked for, and those that the run
    /// has already. Nothing stays in them that the run will write again.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub(super) fn open(folder: &RunFolder, asked: &[Tracker], records: &[Record], steps: u64) -> Result<Self> {
        let (csv, events) = (folder.csv(), folder.tensorboard());
        let wanted = |tracker, path: &Path| asked.contains(&tracker) || path.exists();
        Ok(Self {
            csv: wanted(Tracker::Csv, &csv).then(|| Csv::open(&csv, records)).transpose()?,
            events: wanted(Tracker::Tensorboard, &events).then(|| EventFile::open(&events, records, steps)).transpose()?,
        })
    }

    /// Adds a record to each file.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn push(&mut self, record: &Record) -> Result<()> {
        self.csv.as_mut().map_or(Ok(()), |csv| csv.push(record))?;
        self.events.as_mut().map_or(Ok(()), |events| events.push(record))
    }
}

fn unwritable(path: &Path, e: &io::Error) -> anyhow::Error {
    anyhow!("cannot write {}: {}", path.display(), files::remedy(e))
}

/// Names and values of a record, as `metrics.jsonl` writes them; a member of an object is `gates/ssm`.
fn figures(record: &Record) -> Vec<(String, String)> {
    let mut figures = Vec::new();
    flatten("", &serde_json::to_string(record).expect("numbers are JSON"), &mut figures);
    figures
}

fn flatten(prefix: &str, object: &str, figures: &mut Vec<(String, String)>) {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(object).expect("an object");
    for (name, value) in members {
        let (name, value) = (format!("{prefix}{name}"), value.get());
        if value.starts_with('{') {
            flatten(&format!("{name}/"), value, figures);
        } else {
            figures.push((name, value.to_owned()));
        }
    }
}
