//! The delimiter and the header of a CSV or TSV file, from its first records.

use super::cells::{Cells, Dialect, Record};
use super::format::{Format, ReadOptions};
use super::origin::Origin;
use crate::data::source;
use anyhow::{Result, bail};
use std::io::BufRead;

/// Delimiters that are found.
const CANDIDATES: [(u8, &str); 4] = [(b',', "a comma"), (b';', "a semicolon"), (b'\t', "a tab"), (b'|', "a bar")];
/// Records and bytes that are looked at.
const SAMPLE: (usize, usize) = (200, 1 << 20);
/// Longest name of a column in bytes.
const NAME: usize = 128;

/// How a first line begins that names the delimiter, as spreadsheets write and read it.
pub(super) const DELIMITER_LINE: &[u8] = b"sep=";

/// The delimiter that the first line of a file names: `sep=;`. `start` is what follows a byte order mark.
pub(super) fn named_delimiter(start: &[u8]) -> Option<u8> {
    match start.strip_prefix(DELIMITER_LINE)? {
        [delimiter, b'\r' | b'\n', ..] => Some(*delimiter).filter(|&d| d == b'\t' || d == b' ' || d.is_ascii_punctuation() && d != b'"'),
        _ => None,
    }
}

/// The dialect of a file: what `options` says, and for the rest what fits the first records alone.
///
/// # Errors
/// A file that can be read in several ways.
pub(super) fn of(origin: &Origin, format: Format, options: &ReadOptions) -> Result<Dialect> {
    let mut dialect = Dialect { delimiter: b',', quotes: !options.raw_quotes, header: options.header.unwrap_or(true) };
    dialect.delimiter = match options.delimiter {
        Some(delimiter) => delimiter,
        None => delimiter(origin, if format == Format::Tsv { b'\t' } else { b',' }, dialect)?,
    };
    if options.header.is_none() {
        require_names(origin, dialect)?;
    }
    Ok(dialect)
}

/// How a delimiter divides the first records.
struct Division {
    delimiter: u8,
    name: &'static str,
    /// Cells of the first record.
    cells: usize,
    /// Whether all of them have as many.
    regular: bool,
}

fn delimiter(origin: &Origin, usual: u8, dialect: Dialect) -> Result<u8> {
    let mut start = origin.source()?.into_reader();
    let start = start.fill_buf().map_err(|e| source::broken(origin.shown(), &e))?;
    if let Some(named) = named_delimiter(start.strip_prefix("\u{feff}".as_bytes()).unwrap_or(start)) {
        return Ok(named);
    }
    let mut divisions = Vec::new();
    for (delimiter, name) in CANDIDATES {
        let mut cells = Cells::new(origin.source()?, Dialect { delimiter, ..dialect });
        let mut record = Record::default();
        if !cells.read(&mut record).is_ok_and(|found| found) {
            continue;
        }
        let first = record.len();
        let (mut bytes, mut regular) = (0, true);
        for _ in 0..SAMPLE.0 {
            match cells.row(&mut record, first) {
                Ok(true) if bytes < SAMPLE.1 => bytes += record.bytes(),
                Ok(_) => break,
                Err(_) => {
                    regular = false;
                    break;
                }
            }
        }
        divisions.push(Division { delimiter, name, cells: first, regular });
    }
    let ambiguous = |found: &[&Division]| {
        let names: Vec<_> = found.iter().map(|division| division.name).collect();
        bail!("the cells of {} may be separated by {}: select the delimiter with --delimiter", origin.shown().display(), names.join(" or "))
    };
    let dividing: Vec<&Division> = divisions.iter().filter(|division| division.cells > 1).collect();
    let regular: Vec<&Division> = dividing.iter().copied().filter(|division| division.regular).collect();
    match (&dividing[..], &regular[..]) {
        // The file has one column, or its first record cannot be read, which its reader reports.
        ([], _) => Ok(usual),
        ([one], _) if one.delimiter == usual => Ok(usual),
        ([one], _) | (_, [one]) if usual == b'\t' && one.delimiter != usual => ambiguous(&[one]),
        // A wrong line is reported by the reader of this delimiter.
        ([one], _) | (_, [one]) => Ok(one.delimiter),
        (found, []) if found.iter().any(|division| division.delimiter == usual) => Ok(usual),
        (found, []) | (_, found) => ambiguous(found),
    }
}

/// Refuses a header that looks like a row.
fn require_names(origin: &Origin, dialect: Dialect) -> Result<()> {
    let (mut cells, mut record) = (Cells::new(origin.source()?, dialect), Record::default());
    if !cells.read(&mut record)? {
        return Ok(());
    }
    let like_data = |cell: &&str| is_number_or_date(cell) || cell.len() > NAME || cell.contains(['\n', '\r']);
    if let Some(cell) = (0..record.len()).filter_map(|i| record.cell(i)).find(like_data) {
        let shown: String = cell.chars().take(40).collect();
        bail!(
            "{} looks like a row and not like names of columns (a cell is {shown:?}): add a line of names, or tell `embed` with \
             --no-header that there is none (with --header that this is one)",
            source::place(record.line, origin.shown())
        );
    }
    Ok(())
}

fn is_number_or_date(cell: &str) -> bool {
    let cell = cell.trim();
    let starts = cell.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    let date = cell.len() >= 8 && cell.bytes().all(|byte| byte.is_ascii_digit() || b"-/.: TZ+".contains(&byte));
    starts && (cell.parse::<f64>().is_ok() || cell.replace(',', ".").parse::<f64>().is_ok() || date)
}
