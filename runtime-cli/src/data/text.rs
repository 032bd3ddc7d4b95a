//! Reading text of any size: plain text or JSON Lines, optionally compressed.

use super::source::{CHUNK, Source};
use anyhow::{Result, anyhow, bail};
use std::io::Read;
use std::path::{Path, PathBuf};

enum Format {
    Plain,
    Lines { field: String },
}

/// Iterates over the text of a file, by chunks or documents; never splits a character.
///
/// The extension determines the format: `.jsonl` has one JSON object per line, of which one field is a document, which is
/// terminated with a line break if it has none; any other file is plain UTF-8. Either may be compressed as `.gz` or `.zst`.
/// Ends after the first error.
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
    /// A file that is missing, a folder, unreadable or empty.
    pub fn open(path: &Path, field: &str) -> Result<Self> {
        let source = Source::open(path)?;
        let format = if source.ends_with(".jsonl") { Format::Lines { field: field.to_owned() } } else { Format::Plain };
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
            let first = self.offset == 0;
            self.offset += valid as u64;
            let mut text = String::from_utf8(bytes).expect("checked above");
            if first && text.starts_with('\u{feff}') {
                // A byte order mark is not part of the text.
                text.drain(..'\u{feff}'.len_utf8());
            }
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
    for path in paths {
        Text::open(path, field)?;
    }
    let mut paths = paths.iter();
    let mut open: Option<Text> = None;
    let mut failed = false;
    Ok(std::iter::from_fn(move || {
        while !failed {
            if let Some(item) = open.as_mut().and_then(Iterator::next) {
                failed = item.is_err();
                return Some(item);
            }
            match Text::open(paths.next()?, field) {
                Ok(text) => open = Some(text),
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
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zst(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    /// The text of a file of that name and content, or the error.
    fn read(name: &str, bytes: &[u8]) -> Result<String> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(name);
        std::fs::write(&path, bytes)?;
        Text::open(&path, "text")?.collect()
    }

    fn error(name: &str, bytes: &[u8]) -> String {
        read(name, bytes).unwrap_err().to_string()
    }

    /// Longer than a few chunks, with characters of one to four bytes at every offset modulo four.
    fn long() -> String {
        (0..60_000).map(|i| ["a", "é", "—", "🜂", "bc\n"][(i * i + i / 7) % 5].to_owned() + &i.to_string()).collect()
    }

    #[test]
    fn every_format_gives_the_same_text() {
        let text = long();
        assert_eq!(read("a.txt", text.as_bytes()).unwrap(), text);
        assert_eq!(read("a.md", text.as_bytes()).unwrap(), text);
        assert_eq!(read("a.txt.gz", &gz(text.as_bytes())).unwrap(), text);
        assert_eq!(read("A.TXT.ZST", &zst(text.as_bytes())).unwrap(), text);
    }

    #[test]
    fn concatenated_archives_are_read_to_the_end() {
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 7, 7, 7];
        assert_eq!(read("a.gz", &[gz(b"one "), gz(b"two")].concat()).unwrap(), "one two");
        assert_eq!(read("a.zst", &[&skippable[..], &zst(b"one "), &skippable, &zst(b"two")].concat()).unwrap(), "one two");
    }

    #[test]
    fn a_line_of_json_is_a_document() {
        let lines = "{\"text\": \"one\", \"id\": 1}\n\n{\"text\": \"two\\n\"}\n{\"text\": \"\"}\n{\"text\": \"drei — 3\"}";
        assert_eq!(read("a.jsonl", lines.as_bytes()).unwrap(), "one\ntwo\ndrei — 3\n");
        assert_eq!(read("a.jsonl.zst", &zst(lines.as_bytes())).unwrap(), "one\ntwo\ndrei — 3\n");
    }

    #[test]
    fn a_byte_order_mark_is_not_text() {
        assert_eq!(read("a.txt", b"\xef\xbb\xbfhello").unwrap(), "hello");
        assert!(error("a.txt", b"\xef\xbb\xbf").contains("contains no text"));
    }

    #[test]
    fn content_that_is_not_text_is_rejected() {
        assert!(error("a.txt", b"").contains("is empty"));
        assert!(error("a.txt", b"abc\0def").contains("byte 3 is zero"));
        assert!(error("a.txt", b"caf\xe9 noir").contains("byte 3 is not part"));
        assert!(error("a.txt", b"caf\xc3").contains("byte 3 is not part"));
        let late = [long().as_bytes(), b"\xff"].concat();
        assert!(error("a.txt", &late).contains(&format!("byte {} is not", late.len() - 1)));
        let folder = tempfile::tempdir().unwrap();
        assert!(Text::open(folder.path(), "text").err().unwrap().to_string().contains("it is a folder"));
        assert!(Text::open(&folder.path().join("x"), "text").err().unwrap().to_string().contains("no such file"));
    }

    #[test]
    fn a_damaged_archive_is_rejected() {
        let text = long();
        for (name, archive) in [("a.gz", gz(text.as_bytes())), ("a.zst", zst(text.as_bytes()))] {
            let cut = error(name, &archive[..archive.len() / 2]);
            assert!(cut.contains("is cut off"), "{name}: {cut}");
            let cut = error(name, &archive[..archive.len() - 1]);
            assert!(cut.contains("is cut off"), "{name}: {cut}");
            let mut damaged = archive.clone();
            *damaged.last_mut().unwrap() ^= 1;
            let wrong = error(name, &damaged);
            assert!(wrong.contains("cannot be decompressed"), "{name}: {wrong}");
            let plain = error(name, b"no archive at all");
            assert!(plain.contains("cannot be decompressed"), "{name}: {plain}");
        }
    }

    #[test]
    fn a_wrong_line_is_named() {
        assert!(error("a.jsonl", b"{\"text\": \"a\"}\nnot json\n").contains("line 2 of"));
        assert!(error("a.jsonl", b"{\"body\": \"a\"}\n").contains("no text in the field \"text\""));
        assert!(error("a.jsonl", b"{\"text\": 3}\n").contains("line 1 of"));
        assert!(error("a.jsonl", b"[1, 2]\n").contains("line 1 of"));
        assert!(error("a.jsonl", b"{\"text\": \"\xff\"}\n").contains("its byte 10"));
        assert!(error("a.jsonl", b"\n\n").contains("contains no text"));
    }

    #[test]
    fn several_files_are_one_text_and_a_missing_one_is_named_before_the_first_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<_> = ["a", "b"].map(|n| folder.path().join(n)).to_vec();
        std::fs::write(&paths[0], "one ").unwrap();
        assert!(texts(&paths, "text").err().unwrap().to_string().contains("no such file"));
        std::fs::write(&paths[1], "two").unwrap();
        assert_eq!(texts(&paths, "text").unwrap().collect::<Result<String>>().unwrap(), "one two");
        std::fs::write(&paths[0], "\0").unwrap();
        assert_eq!(texts(&paths, "text").unwrap().filter(|t| t.is_err()).count(), 1);
    }
}
