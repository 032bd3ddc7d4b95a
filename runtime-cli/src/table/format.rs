//! Formats of tables, and how a file's name and the caller's options select one.

use crate::data::source::Compression;
use anyhow::{Result, bail};
use std::path::Path;

/// A format of tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Format {
    /// Plain text, a row per line
    Lines,
    /// Comma-separated values; another delimiter is found in the file
    Csv,
    /// Tab-separated values
    Tsv,
    /// JSON Lines, an object per line
    Jsonl,
    /// An array of JSON objects, or objects one after another
    Json,
    /// Parquet
    Parquet,
}

/// Extensions, without that of a compression.
const EXTENSIONS: [(&str, Format); 12] = [
    ("txt", Format::Lines),
    ("text", Format::Lines),
    ("md", Format::Lines),
    ("tokens", Format::Lines),
    ("csv", Format::Csv),
    ("tsv", Format::Tsv),
    ("tab", Format::Tsv),
    ("jsonl", Format::Jsonl),
    ("ndjson", Format::Jsonl),
    ("json", Format::Json),
    ("parquet", Format::Parquet),
    ("pq", Format::Parquet),
];

impl Format {
    /// The format of a file by its name; `None` for an unknown extension.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_lowercase();
        let (_, ending) = Compression::of(&name).1.rsplit_once('.')?;
        EXTENSIONS.iter().find(|(known, _)| *known == ending).map(|(_, format)| *format)
    }
}

/// How to read a table. What is `None` is found in the file, which is refused if it is ambiguous.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// The format, whatever the name.
    pub format: Option<Format>,
    /// Delimiter of cells in CSV and TSV.
    pub delimiter: Option<u8>,
    /// Whether the first record of CSV and TSV has the names of the columns.
    pub header: Option<bool>,
    /// Whether quotation marks are text in CSV and TSV, and not quotes around a cell.
    pub raw_quotes: bool,
}

impl ReadOptions {
    /// The format of a file.
    ///
    /// # Errors
    /// An unknown extension without [`format`](Self::format).
    pub(super) fn format_of(&self, path: &Path) -> Result<Format> {
        if let Some(format) = self.format.or_else(|| Format::of(path)) {
            return Ok(format);
        }
        let known = EXTENSIONS.map(|(ending, _)| format!(".{ending}")).join(" ");
        bail!(
            "{} has no known extension ({known}, each also with .gz or .zst): rename it, or tell `embed` its format with --format",
            path.display()
        )
    }
}
