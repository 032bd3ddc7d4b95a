//! Reading text of any size: plain text or JSON Lines, optionally compressed.

use super::source::{CHUNK, Source};
use crate::tokenizers;
use anyhow::{Result, anyhow, bail};
use hh_core::tokenizer::{Bytes, Tokenizer};
use std::io::Read;
use std::path::{Path, PathBuf};

enum Format {
    Plain,
    Lines { field: String },
}

/// Endings of files that are made of fields, and what a text can be read from in their place.
const FIELDS: [(&[&str], &str); 2] = [
    (&[".json"], "give .jsonl with one object per line, as `jq -c '.[]'` writes of an array"),
    (&[".csv", ".tsv", ".psv", ".parquet"], "give .jsonl with a field for the text, or a .txt"),
];

/// A byte order mark, which is not part of a text.
const MARK: &[u8] = "\u{feff}".as_bytes();

impl Format {
    /// That of a file, by its ending.
    fn of(source: &Source, field: &str) -> Option<Self> {
        match source {
            _ if source.ends_with(".jsonl") || source.ends_with(".ndjson") => Some(Self::Lines { field: field.to_owned() }),
            _ if FIELDS.iter().any(|(endings, _)| endings.iter().any(|ending| source.ends_with(ending))) => None,
            _ => Some(Self::Plain),
        }
    }
}

/// Iterates over the text of a file, by chunks or documents; never splits a character.
///
/// The extension determines the format: `.jsonl` (or `.ndjson`) has one JSON object per line, of which one field is a document,
/// which is terminated with a line break if it has none; tables and other JSON are refused; any other file is plain UTF-8. All
/// may be compressed as `.gz` or `.zst`. Ends after the first error.
pub struct Text {
    source: Source,
    format: Format,
    /// Bytes of a character that the last chunk split.
    cut: Vec<u8>,
    /// Bytes of plain text returned so far.
    offset: u64,
    found_any: bool,
    finished: bool,
}

impl Text {
    /// Opens a file. `field` is that of the text in a `.jsonl`.
    ///
    /// # Errors
    /// A file that is missing, a folder, unreadable or empty, and one that is a table or JSON.
    pub fn open(path: &Path, field: &str) -> Result<Self> {
        let source = Source::open(path)?;
        let Some(format) = Format::of(&source, field) else {
            let found = FIELDS.iter().find_map(|(endings, remedy)| Some((endings.iter().find(|e| source.ends_with(e))?, remedy)));
            let (ending, remedy) = found.expect("it has no format for its ending");
            bail!("{} is a {ending} file, whose fields are not read as text: {remedy}", path.display());
        };
        Ok(Self { source, format, cut: Vec::new(), offset: 0, found_any: false, finished: false })
    }

    fn chunk(&mut self) -> Result<Option<String>> {
        loop {
            let mut bytes = std::mem::take(&mut self.cut);
            let space = (CHUNK - bytes.len()) as u64;
            let read = (&mut self.source.reader).take(space).read_to_end(&mut bytes).map_err(|e| self.source.broken(&e))?;
            if bytes.is_empty() {
                return Ok(None);
            }
            self.source.refuse_binary(&bytes, self.offset)?;
            let valid = match std::str::from_utf8(&bytes) {
                Ok(text) => text.len(),
                Err(e) if e.error_len().is_none() && read as u64 == space => e.valid_up_to(),
                Err(e) => bail!(
                    "{} is not UTF-8 text: byte {} is not part of a character; convert the file to UTF-8",
                    self.source.path().display(),
                    self.offset + e.valid_up_to() as u64
                ),
            };
            self.cut = bytes.split_off(valid);
            if self.offset == 0 && bytes.starts_with(MARK) {
                bytes.drain(..MARK.len());
            }
            self.offset += valid as u64;
            let text = String::from_utf8(bytes).expect("checked above");
            if !text.is_empty() {
                return Ok(Some(text));
            }
        }
    }

    fn document(&mut self) -> Result<Option<String>> {
        let Format::Lines { field } = &self.format else { unreachable!("called for lines alone") };
        let mut line = String::new();
        while let Some(object) = self.source.object(&mut line)? {
            let Some(text) = object.get(field).and_then(|v| v.as_str()) else {
                bail!("{} has no text in the field \"{field}\"; give the field with --text-field", self.source.place());
            };
            if text.is_empty() {
                continue;
            }
            let end = if text.ends_with('\n') { "" } else { "\n" };
            return Ok(Some([text, end].concat()));
        }
        Ok(None)
    }
}

impl Iterator for Text {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Result<String>> {
        if self.finished {
            return None;
        }
        let read = match self.format {
            Format::Plain => self.chunk(),
            Format::Lines { .. } => self.document(),
        };
        match read {
            Ok(Some(text)) => {
                self.found_any = true;
                return Some(Ok(text));
            }
            Ok(None) if self.found_any => self.finished = true,
            Ok(None) => {
                self.finished = true;
                return Some(Err(anyhow!("{} contains no text; give a file with text", self.source.path().display())));
            }
            Err(e) => {
                self.finished = true;
                return Some(Err(e));
            }
        }
        None
    }
}

/// The text of several files, in order. All are opened once before, so that an invalid one is reported early.
///
/// # Errors
/// As [`Text::open`] for any of them; later errors are returned by the iterator.
pub fn texts(paths: &[PathBuf], field: &str) -> Result<impl Iterator<Item = Result<String>>> {
    in_order(paths, move |path| Text::open(path, field))
}

/// The token ids of several files, in order, a piece at a time. If bytes are the tokens, a file that is not of JSON Lines is taken
/// as it is but for a byte order mark, whatever its bytes and its ending; of others, [`texts`] are encoded.
///
/// # Errors
/// As [`texts`]; later errors, and those of the tokenizer, are returned by the iterator.
pub fn ids<'a>(
    tokenizer: &'a dyn Tokenizer,
    paths: &'a [PathBuf],
    field: &'a str,
) -> Result<Box<dyn Iterator<Item = Result<Vec<u32>>> + 'a>> {
    if tokenizer.vocab_size() != Bytes.vocab_size() || tokenizer.to_json() != Bytes.to_json() {
        return Ok(Box::new(tokenizers::encode(tokenizer, texts(paths, field)?)));
    }
    let bytes = in_order(paths, move |path| bytes(path, field))?;
    Ok(Box::new(bytes.map(|bytes| Ok(bytes?.into_iter().map(u32::from).collect()))))
}

/// The bytes of a plain file, in chunks, or of the documents of JSON Lines.
fn bytes(path: &Path, field: &str) -> Result<Box<dyn Iterator<Item = Result<Vec<u8>>>>> {
    let mut source = Source::open(path)?;
    if let Some(Format::Lines { .. }) = Format::of(&source, field) {
        return Ok(Box::new(Text::open(path, field)?.map(|text| text.map(String::into_bytes))));
    }
    let mut first = true;
    Ok(Box::new(std::iter::from_fn(move || {
        let mut bytes = Vec::new();
        if let Err(e) = (&mut source.reader).take(CHUNK as u64).read_to_end(&mut bytes) {
            return Some(Err(source.broken(&e)));
        }
        if std::mem::take(&mut first) && bytes.starts_with(MARK) {
            bytes.drain(..MARK.len());
        }
        (!bytes.is_empty()).then_some(Ok(bytes))
    })))
}

/// What several files contain, one after the other, up to the first error. All are opened once before.
fn in_order<T, I: Iterator<Item = Result<T>>>(
    paths: &[PathBuf],
    read: impl Fn(&Path) -> Result<I>,
) -> Result<impl Iterator<Item = Result<T>>> {
    for path in paths {
        read(path)?;
    }
    let mut paths = paths.iter();
    let mut open: Option<I> = None;
    let mut failed = false;
    Ok(std::iter::from_fn(move || {
        while !failed {
            if let Some(item) = open.as_mut().and_then(Iterator::next) {
                failed = item.is_err();
                return Some(item);
            }
            match read(paths.next()?) {
                Ok(content) => open = Some(content),
                Err(e) => {
                    failed = true;
                    return Some(Err(e));
                }
            }
        }
        None
    }))
}

#[cfg(test)]
mod tests;
