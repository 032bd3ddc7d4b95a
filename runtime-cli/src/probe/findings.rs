//! The results of a probe, and their files.

use super::knockout::Group;
use super::means::{Depths, Gate};
#[cfg(feature = "plots")]
use super::pictures;
use crate::files;
use crate::train::SourceFile;
use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The files that [`Report::write`] writes; the last three only if single layers were knocked out, the model has gates, and it
/// has a Hopfield memory, respectively.
pub const FILES: [&str; 6] = ["results.csv", "results.json", "knockouts.svg", "layers.svg", "gates.svg", "depths.svg"];

/// The result of one knock-out.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Row {
    /// Kind of knock-out.
    pub group: Group,
    /// Name of the knock-out.
    pub name: String,
    /// The layer, from 0; absent for the whole model.
    pub layer: Option<usize>,
    /// Passes over the blocks.
    pub segments: usize,
    /// Mean negative log-likelihood, in nats per token.
    pub nll: f64,
    /// `nll` minus that of the baseline.
    pub difference: f64,
    /// Standard error of the difference, over windows; absent if there is only one window.
    pub standard_error: Option<f64>,
}

/// The results of a probe.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Findings {
    /// Number of scored targets.
    pub tokens: u64,
    /// Window length in tokens.
    pub context: usize,
    /// Passes over the blocks in the baseline.
    pub segments: usize,
    /// Seed of shuffles and noise.
    pub seed: u64,
    /// Whether all rows are present; a probe that was stopped has only the first ones.
    pub complete: bool,
    /// The baseline, then the knock-outs of the whole model, then those of each layer.
    pub rows: Vec<Row>,
    /// Gates in the baseline; empty if the mixers have none.
    pub gates: Vec<Gate>,
    /// Weights of the depths in the baseline; empty without a Hopfield memory.
    pub depths: Vec<Depths>,
}

/// The model and text of a probe.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Provenance {
    /// The checkpoint's file.
    pub checkpoint: String,
    /// Hexadecimal SHA-256 of that file.
    pub checkpoint_sha256: String,
    /// Training steps of the checkpoint.
    pub step: u64,
    /// The files of the text.
    pub data: Vec<SourceFile>,
    /// The scored split of the text, as a phrase.
    pub part: String,
    /// The command line.
    pub command: String,
}

/// `results.json`
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Report {
    /// Model and text.
    #[serde(flatten)]
    pub provenance: Provenance,
    /// Results.
    #[serde(flatten)]
    pub findings: Findings,
}

impl Report {
    /// Reads the `results.json` of a folder; `None` if it is not that of a probe.
    ///
    /// # Errors
    /// A missing or damaged file.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILES[1]);
        let text = files::read_to_string(&path)?;
        match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(fields) if fields.get("checkpoint_sha256").is_some() => {
                serde_json::from_value(fields).map(Some).with_context(|| format!("{} is damaged; run the probe again", path.display()))
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

    /// Writes [`FILES`] into a folder, each atomically; pictures are skipped if they have no data or the build has no `plots`.
    ///
    /// # Errors
    /// A file that cannot be written.
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
    /// The rows as CSV with a header.
    fn csv(&self) -> Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in &self.rows {
            writer.serialize(row)?;
        }
        writer.into_inner().map_err(|e| anyhow!("cannot write the table: {e}"))
    }
}
