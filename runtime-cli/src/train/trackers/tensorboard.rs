//! Event files of TensorBoard.

use super::event::{Event, What};
use super::{figures, unwritable};
use crate::files;
use crate::train::metrics::Record;
use anyhow::Result;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Part of the names of files that this program writes.
const OWN: &str = ".hh-runtime.";
/// Begins the tags of the final validation, over the whole held-out text.
const WHOLE: &str = "validation_whole/";

/// An event file, to which each record is appended immediately.
pub(super) struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// A new file in the folder, as TensorBoard expects of a process that goes on. What earlier files have after step `steps` is
    /// removed from them; if there are none, the file begins with the records so far.
    pub(super) fn open(folder: &Path, records: &[Record], steps: u64) -> Result<Self> {
        files::make_folder(folder)?;
        let earlier = own_files(folder);
        earlier.iter().try_for_each(|path| trim(path, steps))?;
        // TensorBoard reads the files of a folder in the order of their names.
        let name = |n: usize| folder.join(format!("events.out.tfevents.{:010}{OWN}{n:04}", now() as u64));
        let path = (earlier.len()..).map(name).find(|path| !path.exists()).expect("one of many names");
        let file = OpenOptions::new().create_new(true).append(true).open(&path).map_err(|e| unwritable(&path, &e))?;
        let mut this = Self { path, file };
        this.write(0, What::Version)?;
        if steps > 0 {
            this.write(steps + 1, What::Start)?;
        }
        if earlier.is_empty() {
            records.iter().try_for_each(|record| this.push(record))?;
        }
        Ok(this)
    }

    pub(super) fn push(&mut self, record: &Record) -> Result<()> {
        let (step, scalars) = scalars(record);
        self.write(step, What::Scalars(scalars))
    }

    fn write(&mut self, step: u64, what: What) -> Result<()> {
        let event = Event { time: now(), step, what };
        self.file.write_all(&event.to_bytes()).map_err(|e| unwritable(&self.path, &e))
    }
}

/// The event files of this program in a folder, oldest first.
pub(super) fn own_files(folder: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut own: Vec<_> = names.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(OWN))).collect();
    own.sort();
    own
}

/// Removes the events after a step, a final validation, and a record that was cut off.
fn trim(path: &Path, steps: u64) -> Result<()> {
    let bytes = fs::read(path).map_err(|e| unwritable(path, &e))?;
    let is_kept = |event: &Event| match &event.what {
        What::Version | What::Start => event.step <= steps + 1,
        What::Scalars(scalars) => event.step <= steps && scalars.iter().all(|(tag, _)| !tag.starts_with(WHOLE)),
    };
    let (mut kept, mut at) = (Vec::new(), 0);
    while let Some((event, length)) = Event::read(&bytes[at..]) {
        if is_kept(&event) {
            kept.extend(&bytes[at..at + length]);
        }
        at += length;
    }
    if kept.len() == bytes.len() { Ok(()) } else { files::write_atomically(path, |w| w.write_all(&kept)) }
}

/// The step of a record and its figures: `train/nll`, `train/gates/ssm`, `validation/loss`.
pub(super) fn scalars(record: &Record) -> (u64, Vec<(String, f32)>) {
    let (step, group) = match record {
        Record::Step(record) => (record.step, "train/"),
        Record::Evaluation(record) => (record.step, if record.whole { WHOLE } else { "validation/" }),
    };
    let tag = |name: &str| match name {
        "step" | "tokens" | "scored" | "whole" => None,
        "validation" => Some(format!("{group}loss")),
        "validation_ema" => Some(format!("{group}loss_ema")),
        name => Some(format!("{group}{name}")),
    };
    let scalar = |(name, value): (String, String)| Some((tag(&name)?, value.parse().ok()?));
    (step, figures(record).into_iter().filter_map(scalar).collect())
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}
