//! The objects of a JSON file as text: one a line, or the elements of an array, or one after another.

use crate::data::source::{self, Source};
use anyhow::{Result, bail};

/// Maximum bytes of an object, which is read into memory.
const MAX_OBJECT: usize = 1 << 30;

/// Reads objects. Whether their text is JSON is for its parser to find.
pub(super) struct Elements {
    source: Source,
    /// `None` if each line is an object.
    layout: Option<Layout>,
    /// A line of the source, and how much of it is read.
    line: String,
    at: usize,
    /// Number of the first line of the last object.
    number: u64,
    found: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Layout {
    Unknown,
    /// In an array, before an element or after one.
    Array {
        after: bool,
    },
    Sequence,
    Ended,
}

impl Elements {
    /// One object a line; blank lines are skipped.
    pub(super) fn lines(source: Source) -> Self {
        Self { source, layout: None, line: String::new(), at: 0, number: 0, found: 0 }
    }

    /// Elements of an array, or at least two objects one after another.
    pub(super) fn array(source: Source) -> Self {
        Self { layout: Some(Layout::Unknown), ..Self::lines(source) }
    }

    /// Reads the text of the next object into `object`, on one line; false at the end.
    ///
    /// # Errors
    /// Content that is not UTF-8 text, or that is neither an array nor objects.
    pub(super) fn read(&mut self, object: &mut String) -> Result<bool> {
        let Some(mut layout) = self.layout else {
            let found = self.source.filled_line(object)?;
            object.truncate(object.trim_end().len());
            self.number = self.source.line_number();
            return Ok(found);
        };
        object.clear();
        while let Some(next) = self.next()? {
            layout = match (next, layout) {
                (b'[', Layout::Unknown) => Layout::Array { after: false },
                (b',', Layout::Array { after: true }) => Layout::Array { after: false },
                (b']', Layout::Array { after }) if after || self.found == 0 => Layout::Ended,
                (b'{', Layout::Unknown | Layout::Sequence | Layout::Array { after: false }) => {
                    self.at -= 1;
                    self.object(object)?;
                    self.found += 1;
                    let array = matches!(layout, Layout::Array { .. });
                    self.layout = Some(if array { Layout::Array { after: true } } else { Layout::Sequence });
                    return Ok(true);
                }
                _ => bail!("{} is neither part of an array of JSON objects nor of objects one after another", self.source.place()),
            }
        }
        let path = self.source.path().display();
        match layout {
            Layout::Array { .. } => bail!("{path} is cut off: the closing bracket of its array is missing"),
            Layout::Sequence if self.found == 1 => bail!(
                "{path} is one JSON object and not an array of objects, one for each row; if the object is a row, tell `embed` so with \
                 --format jsonl"
            ),
            _ => {
                self.layout = Some(Layout::Ended);
                Ok(false)
            }
        }
    }

    /// The next byte that is not white space, which is read.
    fn next(&mut self) -> Result<Option<u8>> {
        loop {
            if let Some(next) = self.line.as_bytes()[self.at..].iter().position(|byte| !byte.is_ascii_whitespace()) {
                self.at += next + 1;
                return Ok(Some(self.line.as_bytes()[self.at - 1]));
            }
            self.at = 0;
            if !self.source.line(&mut self.line)? {
                self.line.clear();
                return Ok(None);
            }
        }
    }

    /// Reads the text of an object up to its closing brace, without line breaks.
    fn object(&mut self, object: &mut String) -> Result<()> {
        self.number = self.source.line_number();
        let (mut depth, mut quoted, mut escaped) = (0u32, false, false);
        loop {
            let start = self.at;
            for (i, byte) in self.line.bytes().enumerate().skip(start) {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = quoted,
                    b'"' => quoted = !quoted,
                    b'{' | b'[' if !quoted => depth += 1,
                    b'}' | b']' if !quoted => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    object.push_str(&self.line[start..=i]);
                    self.at = i + 1;
                    return Ok(());
                }
            }
            // A line break inside of a string stays, and is an error of its parser.
            object.push_str(if quoted { &self.line[start..] } else { self.line[start..].trim_end() });
            if object.len() > MAX_OBJECT {
                bail!("the object that begins on {} is longer than 1 GiB; split it", self.place());
            }
            self.at = 0;
            if !self.source.line(&mut self.line)? {
                self.line.clear();
                bail!("the object that begins on {} is cut off: its closing brace is missing", self.place());
            }
        }
    }

    /// The position of the last object, for messages.
    pub(super) fn place(&self) -> String {
        source::place(self.number, self.source.path())
    }

    /// Number of the first line of the last object, from 1.
    pub(super) fn line_number(&self) -> u64 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(json: &str) -> Result<Vec<(u64, String)>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        std::fs::write(&path, json).unwrap();
        let mut elements = Elements::array(Source::open(&path)?);
        let (mut all, mut object) = (Vec::new(), String::new());
        while elements.read(&mut object)? {
            all.push((elements.line_number(), object.clone()));
        }
        Ok(all)
    }

    #[test]
    fn arrays_and_sequences_in_any_layout_are_read() {
        let found = [(1, "{\"a\":1}"), (1, "{\"b\":\"]}\\\"{\"}")].map(|(line, json)| (line, json.to_owned()));
        for json in ["[{\"a\":1},{\"b\":\"]}\\\"{\"}]", "{\"a\":1} {\"b\":\"]}\\\"{\"}\n", "  [ {\"a\":1} , {\"b\":\"]}\\\"{\"} ]\n\n"] {
            assert_eq!(objects(json).unwrap(), found, "{json}");
        }
        let indented = "[\n  {\n    \"a\": 1\n  },\n  {\n    \"b\": [\n      2\n    ]\n  }\n]\n";
        let found = [(2, "{    \"a\": 1  }"), (5, "{    \"b\": [      2    ]  }")].map(|(line, json)| (line, json.to_owned()));
        assert_eq!(objects(indented).unwrap(), found);
        assert_eq!(objects("[]").unwrap(), []);
        assert_eq!(objects("[{\"a\":1}]").unwrap().len(), 1);
    }

    #[test]
    fn other_content_is_named() {
        for (json, said) in [
            ("{\"a\":{\"0\":1}}", "is one JSON object"),
            ("[{\"a\":1}", "closing bracket"),
            ("[{\"a\":1},\n{\"a\":", "begins on line 2"),
            ("[{\"a\":1},]", "line 1 of"),
            ("[{\"a\":1} {\"a\":1}]", "line 1 of"),
            ("[{\"a\":1}] x", "line 1 of"),
            ("[1]", "neither part of an array"),
            ("hello\nyou", "line 1 of"),
        ] {
            let error = objects(json).unwrap_err().to_string();
            assert!(error.contains(said), "{json}: {error}");
        }
    }
}
