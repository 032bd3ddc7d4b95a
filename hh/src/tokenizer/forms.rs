//! What the parts of a `tokenizer.json` mean, as far as the `tokenizers` crate does not say it.

use serde_json::Value;
use std::collections::HashMap;

/// SentencePiece's character for a space.
const SPACE: char = '\u{2581}';

/// How tokens are spelled.
pub(super) enum Spelling {
    /// Each character is a byte, as in GPT-2.
    Bytes(HashMap<char, u8>),
    /// As text, with [`SPACE`] for a space, and bytes that are in no token as `<0xHH>`: SentencePiece.
    Pieces {
        /// Whether there are such bytes.
        bytes: bool,
    },
}

impl Spelling {
    /// That of a tokenizer.
    pub(super) fn of(tokenizer: &Value) -> Option<Self> {
        if ["pre_tokenizer", "decoder"].into_iter().any(|part| has(&tokenizer[part], &|step| step["type"] == "ByteLevel")) {
            return Some(Self::Bytes(alphabet()));
        }
        let marks_spaces = |step: &Value| {
            let is_mark = |value: &Value| value.as_str().is_some_and(|text| text.contains(SPACE));
            ["replacement", "prepend", "content"].into_iter().any(|field| is_mark(&step[field]))
        };
        let pieces = ["normalizer", "pre_tokenizer", "decoder"].into_iter().any(|part| has(&tokenizer[part], &marks_spaces));
        pieces.then(|| Self::Pieces { bytes: tokenizer["model"]["byte_fallback"] == true })
    }

    /// The bytes that a token stands for.
    pub(super) fn bytes(&self, token: &str) -> Option<Vec<u8>> {
        match self {
            Self::Bytes(alphabet) => token.chars().map(|c| alphabet.get(&c).copied()).collect(),
            Self::Pieces { bytes: true } if byte(token).is_some() => byte(token).map(|byte| vec![byte]),
            Self::Pieces { .. } => Some(token.replace(SPACE, " ").into_bytes()),
        }
    }
}

/// The byte of `<0xHH>`.
fn byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// Whether a step, or one of the steps that it consists of, is such a one.
fn has(step: &Value, is: &dyn Fn(&Value) -> bool) -> bool {
    let parts = ["normalizers", "pretokenizers", "decoders", "processors"].into_iter().filter_map(|name| step[name].as_array());
    is(step) || parts.flatten().any(|part| has(part, is))
}

/// The byte behind each printable character: itself where it is printable in Latin-1, from U+0100 on where it is not
/// (`bytes_to_unicode` of GPT-2).
fn alphabet() -> HashMap<char, u8> {
    let mut next = 0x100;
    (0..=255)
        .map(|byte| match byte {
            b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => (char::from(byte), byte),
            _ => {
                next += 1;
                (char::from_u32(next - 1).expect("68 characters from U+0100"), byte)
            }
        })
        .collect()
}
