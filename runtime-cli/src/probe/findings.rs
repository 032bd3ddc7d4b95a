//! What a probe found, and its files.

use super::knockout::Group;
use super::means::{Depths, Gate};
#[cfg(feature = "plots")]
use super::pictures;
use crate::files;
use crate::train::SourceFile;
use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The files that [`Report::write`] writes; the last three only where layers were knocked out alone,
/// where the model has gates, and where it has a Hopfield memory.
pub const FILES: [&str; 6] = ["results.csv", "results.json", "knockouts.svg", "layers.svg", "gates.svg", "depths.svg"];

/// One part that was knocked out.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Row {
    /// What kind of part.
    pub group: Group,
    /// Which part.
    pub name: String,
    /// The layer that it was knocked out in, from 0 on; all if absent.
    pub layer: Option<usize>,
    /// Passes over the blocks.
    pub segments: usize,
    /// Mean negative log-likelihood, in nats per token.
    pub nll: f64,
    /// What that is more than the baseline's.
    pub difference: f64,
    /// Of the difference, from how it varies between windows; absent where there is one window.
    pub standard_error: Option<f64>,
}

/// What a probe found.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Findings {
    /// Targets that were scored.
    pub tokens: u64,
    /// Tokens of a window.
    pub context: usize,
    /// Passes over the blocks of the model as it is.
    pub segments: usize,
    /// Of shuffles and noise.
    pub seed: u64,
    /// Whether nothing is missing: a probe that was stopped has only its first rows.
    pub complete: bool,
    /// The baseline, the whole model's knock-outs, then those of each layer.
    pub rows: Vec<Row>,
    /// Of the model as it is; empty where its mixers have none.
    pub gates: Vec<Gate>,
    /// Of the model as it is; empty where it has no Hopfield memory.
    pub depths: Vec<Depths>,
}

/// What was probed, and on what.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Provenance {
    /// The checkpoint's file.
    pub checkpoint: String,
    /// Of its bytes, in hexadecimal digits.
    pub checkpoint_sha256: String,
    /// Training steps that it took.
    pub step: u64,
    /// The files of the text.
    pub data: Vec<SourceFile>,
    /// Which part of the text, in words.
    pub part: String,
    /// The command that probed it.
    pub command: String,
}

/// `results.json`
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Report {
    /// What was probed.
    #[serde(flatten)]
    pub provenance: Provenance,
    /// What was found.
    #[serde(flatten)]
    pub findings: Findings,
}

impl Report {
    /// What an earlier probe wrote into a folder; `None` where the `results.json` in it is of something else.
    ///
    /// # Errors
    /// One sentence where there is none, or a probe's is damaged.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILES[1]);
        let text = files::read_to_string(&path)?;
        match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(fields) if fields.get("checkpoint_sha256").is_some() => {
                serde_json::from_value(fields).map(Some).with_context(|| format!("{} is damaged: probe again", path.display()))
            }
            _ => Ok(None),
        }
    }

    #[cfg(feature = "plots")]
    fn draw(&self, folder: &Path) -> Result<()> {
        let [_, _, knockouts, layers, gates, depths] = FILES.map(|name| folder.join(name));
        let title = format!("{}, {} tokens, windows of {}", self.provenance.checkpoint, self.findings.tokens, self.findings.context);
        pictures::knockouts(&knockouts, &self.findings, &title)?;
        pictures::layers(&layers, &self.findings)?;
        pictures::gates(&gates, &self.findings)?;
        pictures::depths(&depths, &self.findings)
    }

    /// Writes [`FILES`] into a folder, the pictures only with the feature `plots`, each of them whole or not at all; what there is nothing to draw of is left out.
    ///
    /// # Errors
    /// One sentence where a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let [csv, json, ..] = FILES.map(|name| folder.join(name));
        let table = self.findings.csv()?;
        files::write_atomically(&csv, |w| w.write_all(&table))?;
        files::write_atomically(&json, |w| {
            serde_json::to_writer_pretty(&mut *w, self)?;
            w.write_all(b"\n")
        })?;
        #[cfg(feature = "plots")]
        self.draw(folder)?;
        Ok(())
    }
}

impl Findings {
    /// The rows as a table with a header.
    fn csv(&self) -> Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in &self.rows {
            writer.serialize(row)?;
        }
        writer.into_inner().map_err(|e| anyhow!("the table cannot be put together: {e}"))
    }
}
