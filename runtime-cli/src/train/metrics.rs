//! `metrics.jsonl`: what a run measured, a line at a time.

use crate::files;
use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Mean gate of each path over all layers that have it; absent where a path, or the gates, are off.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
pub struct Gates {
    /// Of the state-space path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssm: Option<f32>,
    /// Of the Hopfield memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hopfield: Option<f32>,
    /// Of attention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<f32>,
}

/// What one step measured.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Steps taken, this one included.
    pub step: u64,
    /// Tokens seen; texts, where vectors are trained.
    pub tokens: u64,
    /// Nats per token; per text, where partners are picked among candidates.
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
    /// 1 − cosine to the teacher's vector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cosine: Option<f64>,
    /// Squared difference of similarities to the teacher's, before its weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<f64>,
    /// Learning rate.
    pub lr: f32,
    /// Before clipping.
    pub grad_norm: f32,
    /// Of the last micro-batch.
    #[serde(default)]
    pub gates: Gates,
    /// Since the line before; depends on the machine and its mood, as nothing else here does.
    pub tokens_per_second: f64,
}

impl Step {
    /// What the curve shows.
    pub fn loss(&self) -> f64 {
        self.nll.or(self.cosine).unwrap_or(f64::NAN)
    }
}

/// What a validation measured.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Steps taken.
    pub step: u64,
    /// Nats per held-out token or text, or 1 − cosine to the teacher, with the weights.
    pub validation: f64,
    /// With their moving average, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_ema: Option<f64>,
    /// Share of a memory task's answers that are right, with the better of both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Held-out tokens, or texts, that were scored.
    pub scored: u64,
    /// The one over the whole held-out text, after the last step.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
}

impl Evaluation {
    /// The lower of both, and whether it is the average's.
    pub fn better(&self) -> (f64, bool) {
        match self.validation_ema {
            Some(ema) if ema < self.validation => (ema, true),
            _ => (self.validation, false),
        }
    }
}

/// A line.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(untagged)]
pub enum Record {
    /// Of a step.
    Step(Step),
    /// Of an evaluation.
    Evaluation(Evaluation),
}

/// The file, to which each record goes at once, and all records so far.
pub struct Metrics {
    path: PathBuf,
    file: File,
    records: Vec<Record>,
}

impl Metrics {
    /// Opens the file of a run that has taken `steps`: what it says of later ones is of a past that did not happen, and is cut.
    ///
    /// # Errors
    /// One sentence where the file cannot be written.
    pub fn open(path: &Path, steps: u64) -> Result<Self> {
        let text = if path.exists() { files::read_to_string(path)? } else { String::new() };
        let happened = |record: &Record| match record {
            Record::Step(r) => r.step <= steps,
            Record::Evaluation(r) => r.step <= steps && !r.whole,
        };
        let kept: Vec<(&str, Record)> = records(&text).filter(|(_, r)| happened(r)).collect();
        files::write_atomically(path, |w| kept.iter().try_for_each(|(line, _)| writeln!(w, "{line}")))?;
        let file = OpenOptions::new().append(true).open(path).map_err(|e| unwritable(path, &e))?;
        Ok(Self { path: path.to_owned(), file, records: kept.into_iter().map(|(_, record)| record).collect() })
    }

    /// Adds a record.
    ///
    /// # Errors
    /// One sentence where the file cannot be written.
    pub fn push(&mut self, record: Record) -> Result<()> {
        let mut line = serde_json::to_string(&record)?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(|e| unwritable(&self.path, &e))?;
        self.records.push(record);
        Ok(())
    }

    /// All of them, oldest first.
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}

/// The records of a file, oldest first.
///
/// # Errors
/// One sentence where the file cannot be read.
pub fn read_records(path: &Path) -> Result<Vec<Record>> {
    let text = files::read_to_string(path)?;
    Ok(records(&text).map(|(_, record)| record).collect())
}

/// Lines with their records. A line that a power cut left half-written is no record.
fn records(text: &str) -> impl Iterator<Item = (&str, Record)> {
    text.lines().filter_map(|line| Some((line, serde_json::from_str(line).ok()?)))
}

fn unwritable(path: &Path, e: &std::io::Error) -> anyhow::Error {
    anyhow!("cannot write {}: {}", path.display(), files::remedy(e))
}
