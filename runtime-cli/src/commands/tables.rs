//! The arguments of tables.

use crate::run_folder::RunFolder;
use crate::table::{Format, ReadOptions, Table};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

/// A table to read.
#[derive(clap::Args)]
#[command(next_help_heading = "Input")]
pub(super) struct TableArgs {
    /// Input files or folders; - is the standard input
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    pub(super) input: Vec<PathBuf>,
    /// Format of the input [default: by its extension]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// Delimiter of .csv and .tsv: a character, or tab [default: found in the file]
    #[arg(long, value_name = "CHAR", value_parser = delimiter)]
    delimiter: Option<u8>,
    /// The first record of .csv and .tsv has the names of the columns, whatever it looks like
    #[arg(long)]
    header: bool,
    /// The first record of .csv and .tsv is a row; columns are named column_1, column_2 and so on
    #[arg(long, conflicts_with = "header")]
    no_header: bool,
    /// Quotation marks in .csv and .tsv are text, and not quotes around cells
    #[arg(long)]
    no_quotes: bool,
}

fn delimiter(text: &str) -> Result<u8, String> {
    match (text, text.as_bytes()) {
        ("tab" | "\\t", _) => Ok(b'\t'),
        (_, &[byte]) if !matches!(byte, b'"' | b'\n' | b'\r' | 0) => Ok(byte),
        _ => Err("give one ASCII character that is no quotation mark, or tab".into()),
    }
}

impl TableArgs {
    /// Opens the table.
    ///
    /// # Errors
    /// A model among the inputs, and as [`Table::open_all`].
    pub(super) fn open(&self) -> Result<Table> {
        let is_model =
            |path: &&PathBuf| RunFolder::at(path).best().is_file() || path.extension().is_some_and(|ending| ending == "safetensors");
        if let Some(model) = self.input.iter().find(is_model) {
            bail!("{} is a model and not a table: MODEL comes before --input", model.display());
        }
        let header = if self.header { Some(true) } else { self.no_header.then_some(false) };
        let options = ReadOptions { format: self.format, delimiter: self.delimiter, header, raw_quotes: self.no_quotes };
        Table::open_all(&self.input, &options)
    }

    /// The named column, or else `text` or the only text column.
    ///
    /// # Errors
    /// No such column, one of another type, and a choice that is not certain.
    pub(super) fn text_column(&self, input: &Table, name: Option<&str>) -> Result<usize> {
        if let Some(name) = name {
            return input.passage_column(name);
        }
        if input.column("text").is_ok() {
            return input.passage_column("text");
        }
        let found: Vec<&str> = input.text_columns().collect();
        let &[only] = &found[..] else {
            return Err(input.text_column("text").expect_err("it has none").context("select the text column with --text-column"));
        };
        // A sentence in the place of a name is likely to be a row.
        if input.has_header() && !self.header && only.trim().contains(char::is_whitespace) {
            bail!(
                "the first record of {} may be a row and not a header: its only text column would be named {only:?}; give --no-header, \
                 or --header if that is its name",
                input.name()
            );
        }
        input.column(only)
    }

    /// What tells the input apart from another or a changed one.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn identity(&self, input: &Table) -> Result<String> {
        let mut all = Vec::new();
        for file in input.files() {
            let (path, copy) = file?;
            all.push(if let Some(copy) = copy {
                format!("{} with SHA-256 {}", path.display(), sha256(copy)?)
            } else {
                let file = path.metadata().with_context(|| format!("cannot read {}", path.display()))?;
                let changed = file.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
                format!("{} of {} bytes, changed at {}", path.display(), file.len(), changed.as_nanos())
            });
        }
        let read = (self.format, self.delimiter, self.header, self.no_header, self.no_quotes);
        Ok(if read == (None, None, false, false, false) { all.join(", ") } else { format!("{} read as {read:?}", all.join(", ")) })
    }
}

fn sha256(mut file: File) -> Result<String> {
    let (mut sha, mut buffer) = (Sha256::new(), vec![0; 1 << 18]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        sha.update(&buffer[..read]);
    }
}
