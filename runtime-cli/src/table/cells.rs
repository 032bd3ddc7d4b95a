//! Records of delimited text, as in RFC 4180, strictly: a quotation mark that is not closed, or is closed in the middle of a
//! cell, is an error. Readers that guess there (the crate `csv` is one) join rows silently.

use super::dialect::{DELIMITER_LINE, named_delimiter};
use crate::data::source::{self, Source, foreign_encoding};
use anyhow::{Result, bail};
use std::io::BufRead;
use std::path::PathBuf;

/// Maximum bytes of a record, which is read into memory.
const MAX_RECORD: usize = 1 << 30;

/// Delimiter and quoting.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    /// Whether a cell may stand in quotation marks.
    pub(super) quotes: bool,
    /// Whether the first record has the names of the columns.
    pub(super) header: bool,
}

/// The cells of a record.
#[derive(Default)]
pub(super) struct Record {
    text: String,
    /// End of each cell in the text, and whether it was quoted.
    cells: Vec<(usize, bool)>,
    /// Number of its first line, from 1.
    pub(super) line: u64,
}

impl Record {
    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    /// A cell; `None` if it is empty and not quoted.
    ///
    /// # Panics
    /// If there is no such cell.
    pub(super) fn cell(&self, i: usize) -> Option<&str> {
        let (end, quoted) = self.cells[i];
        let start = if i == 0 { 0 } else { self.cells[i - 1].0 };
        (quoted || end > start).then(|| &self.text[start..end])
    }

    pub(super) fn is_quoted(&self, i: usize) -> bool {
        self.cells[i].1
    }

    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }

    fn is_blank(&self) -> bool {
        self.cells[..] == [(0, false)]
    }
}

/// Reads records.
pub(super) struct Cells {
    path: PathBuf,
    reader: Box<dyn BufRead + Send>,
    dialect: Dialect,
    /// Lines read.
    lines: u64,
    started: bool,
    /// The last byte was a carriage return that ended a record.
    returned: bool,
}

enum State {
    /// At the start of a cell.
    Start,
    Plain,
    /// In quotation marks.
    Quoted,
    /// After a quotation mark in a quoted cell.
    Closed,
}

impl Cells {
    pub(super) fn new(source: Source, dialect: Dialect) -> Self {
        Self { path: source.path().to_owned(), reader: source.into_reader(), dialect, lines: 0, started: false, returned: false }
    }

    /// Reads the next record that is not a blank line, of `expected` cells; false at the end. If one cell is expected, a blank line
    /// is a record with an empty cell.
    ///
    /// # Errors
    /// A wrong number of cells, and as [`read`](Self::read).
    pub(super) fn row(&mut self, record: &mut Record, expected: usize) -> Result<bool> {
        while self.read(record)? {
            if record.is_blank() && expected != 1 {
                continue;
            }
            if record.len() != expected {
                bail!(
                    "{} has {} cells where the first record has {expected}; correct the line, or select the delimiter with --delimiter",
                    source::place(record.line, &self.path),
                    record.len()
                );
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Reads the next record, which may be a blank line; false at the end.
    ///
    /// # Errors
    /// Content that is not UTF-8 text, a quotation mark without its counterpart, or a damaged archive; with line and column.
    pub(super) fn read(&mut self, record: &mut Record) -> Result<bool> {
        let mut bytes = std::mem::take(&mut record.text).into_bytes();
        bytes.clear();
        record.cells.clear();
        self.start()?;
        record.line = self.lines + 1;
        let found = self.cells(&mut bytes, record)?;
        let mut start = 0;
        for (i, &(end, _)) in record.cells.iter().enumerate() {
            let place = |line| format!("{}, column {},", source::place(line, &self.path), i + 1);
            if let Err(e) = std::str::from_utf8(&bytes[start..end]) {
                bail!(
                    "{} is not UTF-8: its byte {} is not part of a character; convert the file to UTF-8",
                    place(record.line),
                    e.valid_up_to()
                );
            }
            start = end;
        }
        if bytes.contains(&0) {
            bail!("{} has a zero byte, as in binary files and UTF-16; give UTF-8 text", source::place(record.line, &self.path));
        }
        record.text = String::from_utf8(bytes).expect("every cell is checked");
        Ok(found)
    }

    /// Skips a byte order mark, a line that names the delimiter, and the line feed after a carriage return.
    fn start(&mut self) -> Result<()> {
        let start = self.reader.fill_buf().map_err(|e| source::broken(&self.path, &e))?;
        if !self.started {
            self.started = true;
            if let Some(encoding) = foreign_encoding(start) {
                bail!("{} is {encoding}: convert it to UTF-8, as with `iconv -f {encoding} -t UTF-8`", self.path.display());
            }
            if start.starts_with("\u{feff}".as_bytes()) {
                self.reader.consume(3);
            }
            if self.reader.fill_buf().is_ok_and(|start| named_delimiter(start).is_some()) {
                self.reader.consume(DELIMITER_LINE.len() + 1);
                self.lines += 1;
                self.returned = self.reader.fill_buf().is_ok_and(|next| next.first() == Some(&b'\r'));
                self.reader.consume(1);
            }
        }
        if std::mem::take(&mut self.returned) && self.reader.fill_buf().is_ok_and(|next| next.first() == Some(&b'\n')) {
            self.reader.consume(1);
        }
        Ok(())
    }

    fn cells(&mut self, bytes: &mut Vec<u8>, record: &mut Record) -> Result<bool> {
        let Dialect { delimiter, quotes, .. } = self.dialect;
        let (mut state, mut opened) = (State::Start, 0);
        loop {
            let buffer = self.reader.fill_buf().map_err(|e| source::broken(&self.path, &e))?;
            let Some(&next) = buffer.first() else { return self.end(state, opened, bytes, record) };
            let ends = |byte: u8| byte == delimiter || byte == b'\n' || byte == b'\r';
            let read = match state {
                State::Start if quotes && next == b'"' => {
                    (state, opened) = (State::Quoted, self.lines + 1);
                    1
                }
                State::Quoted if next == b'"' => {
                    state = State::Closed;
                    1
                }
                State::Quoted => {
                    let part = &buffer[..buffer.iter().position(|&byte| byte == b'"').unwrap_or(buffer.len())];
                    self.lines += part.iter().filter(|&&byte| byte == b'\n').count() as u64;
                    bytes.extend_from_slice(part);
                    part.len()
                }
                State::Closed if next == b'"' => {
                    bytes.push(next);
                    state = State::Quoted;
                    1
                }
                _ if ends(next) => {
                    record.cells.push((bytes.len(), matches!(state, State::Closed)));
                    state = State::Start;
                    self.reader.consume(1);
                    if next == delimiter {
                        continue;
                    }
                    self.lines += 1;
                    self.returned = next == b'\r';
                    return Ok(true);
                }
                State::Closed => {
                    let column = record.cells.len() + 1;
                    bail!(
                        "{} has text after the closing quotation mark of its column {column}: {REMEDY}",
                        source::place(self.lines + 1, &self.path)
                    );
                }
                State::Start | State::Plain => {
                    let part = &buffer[..buffer.iter().position(|&byte| ends(byte)).unwrap_or(buffer.len())];
                    if quotes && matches!(state, State::Start) && part.trim_ascii_start().starts_with(b"\"") {
                        bail!(
                            "{} has white space before the quotation mark of its column {}: remove it, or {REMEDY}",
                            source::place(self.lines + 1, &self.path),
                            record.cells.len() + 1
                        );
                    }
                    bytes.extend_from_slice(part);
                    state = State::Plain;
                    part.len()
                }
            };
            self.reader.consume(read);
            if bytes.len() > MAX_RECORD {
                bail!("{} is longer than 1 GiB: {REMEDY}", source::place(record.line, &self.path));
            }
        }
    }

    fn end(&self, state: State, opened: u64, bytes: &[u8], record: &mut Record) -> Result<bool> {
        match state {
            State::Quoted => bail!(
                "{} has a quotation mark in its column {} that is never closed: {REMEDY}",
                source::place(opened, &self.path),
                record.cells.len() + 1
            ),
            State::Start if record.cells.is_empty() => Ok(false),
            State::Start | State::Plain | State::Closed => {
                record.cells.push((bytes.len(), matches!(state, State::Closed)));
                Ok(true)
            }
        }
    }
}

const REMEDY: &str =
    "double a quotation mark that belongs to the text, or, if none of them are quotes around cells, tell `embed` so with --no-quotes";

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const COMMA: Dialect = Dialect { delimiter: b',', quotes: true, header: true };

    fn records(bytes: &[u8], dialect: Dialect) -> Result<Vec<Vec<Option<String>>>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        fs::write(&path, bytes).unwrap();
        let mut cells = Cells::new(Source::open(&path)?, dialect);
        let (mut all, mut record) = (Vec::new(), Record::default());
        while cells.read(&mut record)? {
            all.push((0..record.len()).map(|i| record.cell(i).map(str::to_owned)).collect());
        }
        Ok(all)
    }

    fn row(cells: &[&str]) -> Vec<Option<String>> {
        cells.iter().map(|cell| (!cell.is_empty()).then(|| cell.trim_matches('!').to_owned())).collect()
    }

    #[test]
    fn quoted_cells_have_delimiters_and_line_breaks() {
        let found = records(b"\xef\xbb\xbfa,b\r\n\"x, \"\"y\"\"\r\nz\",\n\"\",it's 5\" long\n\nlast,", COMMA).unwrap();
        let expected = [row(&["a", "b"]), row(&["x, \"y\"\r\nz", ""]), row(&["!!", "it's 5\" long"]), row(&[""]), row(&["last", ""])];
        assert_eq!(found, expected);
        assert_eq!(records(b"a\rb\r\nc\n", COMMA).unwrap(), [row(&["a"]), row(&["b"]), row(&["c"])]);
        let raw = Dialect { delimiter: b'\t', quotes: false, header: true };
        assert_eq!(records(b"say \"hi\t\"\n\"x\ty", raw).unwrap(), [row(&["say \"hi", "\""]), row(&["\"x", "y"])]);
    }

    #[test]
    fn a_quotation_mark_without_its_counterpart_is_named() {
        for (bytes, said) in [
            (&b"id,text\n1,a\n2,\"an inch is 1/12\n3,b\n"[..], "line 3 of"),
            (b"id,text\n1,a\n2,\"an inch\n3,b\n4,\"another\n", "line 5 of"),
            (b"id,text\n1,a\n2,\"an inch\n3,b\n4,\"another\n", "after the closing quotation mark of its column 2"),
            (b"id,text\n1, \"a, b\"\n", "line 2 of"),
            (b"id,text\n1,\"a\nb\"\n2,\"x\n", "line 4 of"),
            (b"id,text\n1,\"a\nb\"\n2,\"x\n", "column 2 that is never closed"),
            (b"id,text\n1,a\xff\n", "line 2 of"),
            (b"id,text\n1,\xc3\n\xa9", "column 2, is not UTF-8"),
            (b"id,text\n1,a\0b\n", "zero byte"),
            (b"\xff\xfei\0d\0", "UTF-16"),
            (b"i\0d\0,\0t\0", "UTF-16"),
        ] {
            let error = records(bytes, COMMA).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
