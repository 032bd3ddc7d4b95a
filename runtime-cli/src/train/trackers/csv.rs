//! `metrics.csv`.

use super::{figures, unwritable};
use crate::files;
use crate::train::metrics::Record;
use anyhow::Result;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The columns, and their names in a record. A step has no value in those of a validation, and the other way round.
const COLUMNS: [(&str, &str); 20] = [
    ("step", "step"),
    ("tokens", "tokens"),
    ("nll", "nll"),
    ("z", "z"),
    ("smooth", "smooth"),
    ("flow", "flow"),
    ("cosine", "cosine"),
    ("pairs", "pairs"),
    ("lr", "lr"),
    ("grad_norm", "grad_norm"),
    ("gate_ssm", "gates/ssm"),
    ("gate_hopfield", "gates/hopfield"),
    ("gate_attention", "gates/attention"),
    ("tokens_per_second", "tokens_per_second"),
    ("bytes_sent", "bytes_sent"),
    ("validation", "validation"),
    ("validation_ema", "validation_ema"),
    ("accuracy", "accuracy"),
    ("scored", "scored"),
    ("whole", "whole"),
];

/// The file, to which each row is appended immediately.
pub(super) struct Csv {
    path: PathBuf,
    file: File,
}

impl Csv {
    /// Writes the header and the records so far, in place of what the file had.
    pub(super) fn open(path: &Path, records: &[Record]) -> Result<Self> {
        files::write_atomically(path, |w| {
            writeln!(w, "{}", COLUMNS.map(|(name, _)| name).join(","))?;
            records.iter().try_for_each(|record| w.write_all(row(record).as_bytes()))
        })?;
        let file = OpenOptions::new().append(true).open(path).map_err(|e| unwritable(path, &e))?;
        Ok(Self { path: path.to_owned(), file })
    }

    pub(super) fn push(&mut self, record: &Record) -> Result<()> {
        self.file.write_all(row(record).as_bytes()).map_err(|e| unwritable(&self.path, &e))
    }
}

fn row(record: &Record) -> String {
    let figures = figures(record);
    // Numbers and `true`: nothing needs quotation marks.
    let cell = |(_, own): (&str, &str)| figures.iter().find(|(name, _)| name == own).map_or("", |(_, value)| value);
    COLUMNS.map(cell).join(",") + "\n"
}
