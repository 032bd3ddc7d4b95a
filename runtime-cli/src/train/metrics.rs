//! `metrics.jsonl`: the metrics of a run, one record per line.

use crate::files;
use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Mean gate of each path over all layers that have it; absent for a model without the path or without gates.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
pub struct Gates {
    /// State-space path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssm: Option<f32>,
    /// Hopfield memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hopfield: Option<f32>,
    /// Attention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<f32>,
}

/// Metrics of one step.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Number of steps, including this one.
    pub step: u64,
    /// Tokens seen, or texts in embedding runs.
    pub tokens: u64,
    /// Nats per token, or per text in contrastive runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nll: Option<f64>,
    /// logsumexp², before its weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub z: Option<f64>,
    /// logsumexp minus the mean logit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smooth: Option<f64>,
    /// Loss of the rectified-flow head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<f64>,
    /// 1 − cosine similarity to the teacher's embedding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cosine: Option<f64>,
    /// Squared difference of pairwise similarities to the teacher's, before its weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<f64>,
    /// Learning rate.
    pub lr: f32,
    /// Gradient norm, before clipping.
    pub grad_norm: f32,
    /// Gates in the last micro-batch.
    #[serde(default)]
    pub gates: Gates,
    /// Tokens (or texts) per second since the previous record; the only value that is not reproducible.
    pub tokens_per_second: f64,
    /// Bytes that rank 0 sent per step since the previous record; absent where there is one rank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_sent: Option<u64>,
}

impl Step {
    /// The loss to plot.
    pub fn loss(&self) -> f64 {
        self.nll.or(self.cosine).unwrap_or(f64::NAN)
    }
}

/// Metrics of a validation.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Number of steps.
    pub step: u64,
    /// Loss of the weights: nats per held-out token or text, or 1 − cosine similarity to the teacher.
    pub validation: f64,
    /// Loss of their moving average, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_ema: Option<f64>,
    /// Accuracy on a memory task, with the better of both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Number of scored held-out tokens or texts.
    pub scored: u64,
    /// Whether this is the final validation, over the whole held-out text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
}

impl Evaluation {
    /// The lower of both losses, and whether it is that of the average.
    pub fn better(&self) -> (f64, bool) {
        match self.validation_ema {
            Some(ema) if ema < self.validation => (ema, true),
            _ => (self.validation, false),
        }
    }
}

/// A record.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(untagged)]
pub enum Record {
    /// A step.
    Step(Step),
    /// A validation.
    Evaluation(Evaluation),
}

/// The file, to which each record is appended immediately, and all records so far.
pub struct Metrics {
    path: PathBuf,
    /// `None` on a rank that writes nothing.
    file: Option<File>,
    records: Vec<Record>,
}

impl Metrics {
    /// Opens the file of a run that resumes at `steps`, and removes the records after that step.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn open(path: &Path, steps: u64) -> Result<Self> {
        let text = if path.exists() { files::read_to_string(path)? } else { String::new() };
        let is_kept = |record: &Record| match record {
            Record::Step(r) => r.step <= steps,
            Record::Evaluation(r) => r.step <= steps && !r.whole,
        };
        let kept: Vec<(&str, Record)> = records(&text).filter(|(_, r)| is_kept(r)).collect();
        files::write_atomically(path, |w| kept.iter().try_for_each(|(line, _)| writeln!(w, "{line}")))?;
        let file = OpenOptions::new().append(true).open(path).map_err(|e| unwritable(path, &e))?;
        Ok(Self { path: path.to_owned(), file: Some(file), records: kept.into_iter().map(|(_, record)| record).collect() })
    }

    /// Without a file, for a rank that writes nothing.
    pub fn unwritten() -> Self {
        Self { path: PathBuf::new(), file: None, records: Vec::new() }
    }

    /// Adds a record.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn push(&mut self, record: Record) -> Result<()> {
        if let Some(file) = &mut self.file {
            let mut line = serde_json::to_string(&record)?;
            line.push('\n');
            file.write_all(line.as_bytes()).map_err(|e| unwritable(&self.path, &e))?;
        }
        self.records.push(record);
        Ok(())
    }

    /// All records, oldest first.
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}

/// The records of a file, oldest first.
///
/// # Errors
/// A file that cannot be read.
pub fn read_records(path: &Path) -> Result<Vec<Record>> {
    let text = files::read_to_string(path)?;
    Ok(records(&text).map(|(_, record)| record).collect())
}

/// Lines with their records. Lines that do not parse, such as an incomplete last one, are skipped.
fn records(text: &str) -> impl Iterator<Item = (&str, Record)> {
    text.lines().filter_map(|line| Some((line, serde_json::from_str(line).ok()?)))
}

fn unwritable(path: &Path, e: &std::io::Error) -> anyhow::Error {
    anyhow!("cannot write {}: {}", path.display(), files::remedy(e))
}
