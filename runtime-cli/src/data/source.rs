use super::gzip::Members;
use super::spool::Input;
use super::surrogates;
use super::zstd::{Frames, NeedsZstd};
use anyhow::{Result, anyhow, bail};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Bytes per read.
pub(super) const CHUNK: usize = 1 << 18;
/// Maximum bytes per line, which is read into memory.
const MAX_LINE: u64 = 1 << 30;

/// Compression of a whole file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstandard,
}

impl Compression {
    /// The compression of a file by its lower-case name, and the name without that extension.
    pub(crate) fn of(name: &str) -> (Self, &str) {
        if let Some(rest) = name.strip_suffix(".gz") {
            (Self::Gzip, rest)
        } else if let Some(rest) = name.strip_suffix(".zst") {
            (Self::Zstandard, rest)
        } else {
            (Self::None, name)
        }
    }

    /// The compression of a stream by its first bytes.
    #[cfg(feature = "tables")]
    pub(crate) fn detect(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstandard,
            _ => Self::None,
        }
    }

    /// The decompressed bytes of a file.
    pub(crate) fn reader(self, file: impl Read + Send + 'static) -> Box<dyn BufRead + Send> {
        let file = BufReader::with_capacity(CHUNK, file);
        match self {
            Self::None => Box::new(file),
            Self::Gzip => Box::new(BufReader::with_capacity(CHUNK, Members::new(file))),
            Self::Zstandard => Box::new(BufReader::with_capacity(CHUNK, Frames::new(file))),
        }
    }
}

/// A text file as a stream of bytes or lines, decompressed if its name ends in `.gz` or `.zst`.
pub(crate) struct Source {
    path: PathBuf,
    /// The lower-case name, without the extension of a compression.
    name: String,
    pub(super) reader: Box<dyn BufRead + Send>,
    /// Number of lines read.
    line: u64,
    /// Bytes of these lines.
    offset: u64,
}

impl Source {
    /// Opens a file, the standard input (`-`) or a pipe.
    ///
    /// # Errors
    /// A file that is missing, a folder, unreadable or empty.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let name = path.to_string_lossy().to_lowercase();
        Self::open_as(path, path, Compression::of(&name).0)
    }

    /// Opens a file with this compression, which messages call `shown`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn open_as(path: &Path, shown: &Path, compression: Compression) -> Result<Self> {
        let file = Input::open(path)?;
        if file.size()? == 0 {
            bail!("{} is empty; give a file with text", shown.display());
        }
        let name = shown.to_string_lossy().to_lowercase();
        let name = Compression::of(&name).1.to_owned();
        Ok(Self { path: shown.to_owned(), name, reader: compression.reader(file), line: 0, offset: 0 })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the name has this extension, before that of a compression.
    pub(crate) fn ends_with(&self, ending: &str) -> bool {
        self.name.ends_with(ending)
    }

    /// Reads the next line into `line`, with its line break and without a byte order mark; returns false at the end.
    ///
    /// # Errors
    /// Content that is not UTF-8 text, a line that is too long, or a damaged archive.
    pub(crate) fn line(&mut self, line: &mut String) -> Result<bool> {
        let mut bytes = std::mem::take(line).into_bytes();
        bytes.clear();
        (&mut self.reader).take(MAX_LINE).read_until(b'\n', &mut bytes).map_err(|e| self.broken(&e))?;
        if bytes.is_empty() {
            return Ok(false);
        }
        self.line += 1;
        if bytes.len() as u64 == MAX_LINE {
            bail!("{} is longer than 1 GiB; split the document", self.place());
        }
        self.refuse_binary(&bytes, self.offset)?;
        self.offset += bytes.len() as u64;
        *line = String::from_utf8(bytes).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            anyhow!("{} is not UTF-8: its byte {at} is not part of a character", self.place())
        })?;
        if self.line == 1 && line.starts_with('\u{feff}') {
            line.drain(..'\u{feff}'.len_utf8());
        }
        Ok(true)
    }

    /// As [`line`](Self::line), skipping blank lines.
    ///
    /// # Errors
    /// As [`line`](Self::line).
    pub(crate) fn filled_line(&mut self, line: &mut String) -> Result<bool> {
        while self.line(line)? {
            if !line.trim().is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The next object of JSON Lines, with its line in `line`; `None` at the end.
    ///
    /// # Errors
    /// As [`line`](Self::line), and as [`json_object`].
    pub(crate) fn object(&mut self, line: &mut String) -> Result<Option<Value>> {
        if !self.filled_line(line)? {
            return Ok(None);
        }
        surrogates::replace_lone(line);
        json_object(line, &self.place()).map(Some)
    }

    /// The position of the last line read, for messages.
    pub(crate) fn place(&self) -> String {
        place(self.line, &self.path)
    }

    /// The number of the last line read, from 1.
    #[cfg(feature = "tables")]
    pub(crate) fn line_number(&self) -> u64 {
        self.line
    }

    /// Rejects content with a zero byte. `offset` is that of the bytes in the file.
    pub(super) fn refuse_binary(&self, bytes: &[u8], offset: u64) -> Result<()> {
        if offset == 0
            && let Some(encoding) = foreign_encoding(bytes)
        {
            bail!("{} is {encoding}: convert it to UTF-8, as with `iconv -f {encoding} -t UTF-8`", self.path.display());
        }
        if let Some(at) = bytes.iter().position(|&b| b == 0) {
            bail!(
                "{} is not text: byte {} is zero, as in binary files and UTF-16; give UTF-8 text",
                self.path.display(),
                offset + at as u64
            );
        }
        Ok(())
    }

    /// The error of a failed read.
    pub(crate) fn broken(&self, e: &io::Error) -> anyhow::Error {
        broken(&self.path, e)
    }

    /// The byte stream.
    #[cfg(feature = "tables")]
    pub(crate) fn into_reader(self) -> Box<dyn BufRead + Send> {
        self.reader
    }
}

/// The name of an encoding of text by the byte order mark at its start, if that is not UTF-8's.
pub(crate) fn foreign_encoding(start: &[u8]) -> Option<&'static str> {
    match start {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        _ => None,
    }
}

/// Parses a line of JSON Lines.
///
/// # Errors
/// Invalid JSON, or JSON that is not an object, with its position.
pub(crate) fn json_object(line: &str, place: &str) -> Result<Value> {
    let value: Value =
        serde_json::from_str(line).map_err(|e| anyhow!("{place} is not JSON: {e}; a .jsonl file has one JSON object per line"))?;
    if !value.is_object() {
        bail!("{place} is not a JSON object; a .jsonl file has one JSON object per line");
    }
    Ok(value)
}

/// The position of a line, for messages.
pub(crate) fn place(line: u64, path: &Path) -> String {
    format!("line {line} of {}", path.display())
}

/// The error of a failed read of a file, compressed or not.
pub(crate) fn broken(path: &Path, e: &io::Error) -> anyhow::Error {
    let path = path.display();
    match e.kind() {
        io::ErrorKind::UnexpectedEof => anyhow!("{path} ends too early: the compressed data is cut off; copy or download it again"),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
            anyhow!("{path} cannot be decompressed: {e}; copy or download it again, or correct its name")
        }
        _ if e.get_ref().is_some_and(|e| e.is::<NeedsZstd>()) => anyhow!("{path} cannot be decompressed here: {e}"),
        _ => anyhow!("cannot read {path}: {e}"),
    }
}
