use super::Tokenizer;
use alloc::string::String;
use core::str::from_utf8;

/// The text of a sequence of ids. What is not valid UTF-8, or not in the vocabulary, becomes U+FFFD.
pub fn decode(tokenizer: &dyn Tokenizer, ids: &[u32]) -> String {
    let (mut stream, mut text) = (Utf8Stream::default(), String::new());
    for &id in ids {
        // 0xff occurs in no valid text.
        stream.push(tokenizer.token_bytes(id).unwrap_or(&[0xff]), &mut text);
    }
    stream.finish(&mut text);
    text
}

/// Turns bytes that come in pieces into text: a character cut in two waits for its other half.
///
/// The text is that of [`String::from_utf8_lossy`] on all bytes together, wherever they were cut.
#[derive(Clone, Debug, Default)]
pub struct Utf8Stream {
    held: [u8; 4],
    len: usize,
}

impl PartialEq for Utf8Stream {
    fn eq(&self, other: &Self) -> bool {
        self.held() == other.held()
    }
}

impl Utf8Stream {
    /// Appends to `out` what the bytes complete.
    pub fn push(&mut self, bytes: &[u8], out: &mut String) {
        for &byte in bytes {
            self.held[self.len] = byte;
            self.len += 1;
            self.release(out);
        }
    }

    /// The beginning of a character whose rest has not come.
    pub fn held(&self) -> &[u8] {
        &self.held[..self.len]
    }

    /// Appends U+FFFD for a character that was never completed.
    pub fn finish(&mut self, out: &mut String) {
        if self.len > 0 {
            out.push(char::REPLACEMENT_CHARACTER);
            self.len = 0;
        }
    }

    /// Appends what is held, unless it is the beginning of a character.
    fn release(&mut self, out: &mut String) {
        while self.len > 0 {
            let bad = match from_utf8(&self.held[..self.len]) {
                Ok(text) => {
                    out.push_str(text);
                    self.len
                }
                Err(e) => match e.error_len() {
                    None => return,
                    Some(bad) => {
                        out.push(char::REPLACEMENT_CHARACTER);
                        bad
                    }
                },
            };
            self.held.copy_within(bad..self.len, 0);
            self.len -= bad;
        }
    }
}
