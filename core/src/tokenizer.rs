//! Text to token ids and back.

mod bpe;
mod bytes;
mod chars;
mod decode;
mod normalizer;
mod words;

pub use bpe::Bpe;
pub use bytes::Bytes;
pub use chars::Chars;
pub use decode::{Utf8Stream, decode};
pub use normalizer::{EMBEDDING_NORMALIZER, is_blank};
pub use words::Words;

use crate::error::Error;
use alloc::{borrow::Cow, boxed::Box, format, string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// A vocabulary: ids `0..vocab_size`, and the text that each stands for.
pub trait Tokenizer: Send + Sync {
    /// Number of ids.
    fn vocab_size(&self) -> usize;

    /// The ids of a text.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the vocabulary cannot express the text.
    fn encode(&self, text: &str) -> Result<Vec<u32>, Error>;

    /// The bytes that an id stands for, which need not be valid UTF-8 alone; `None` outside of the vocabulary.
    fn token_bytes(&self, id: u32) -> Option<&[u8]>;

    /// Everything needed to build it again: the `tokenizer` entry of a checkpoint. A JSON object with a key `kind`.
    fn to_json(&self) -> String;
}

/// The tokenizer that [`Tokenizer::to_json`] described.
///
/// # Errors
/// [`Error::Tokenizer`] for damaged JSON, a kind that is not built into this crate, or an impossible vocabulary.
pub fn from_json(json: &str) -> Result<Box<dyn Tokenizer>, Error> {
    let kind = kind(json)?;
    if !KINDS.contains(&kind.as_str()) {
        return Err(Error::Tokenizer(format!("the tokenizer is of kind {kind:?}; known here are {}", KINDS.join(", ")).into()));
    }
    if kind == bpe::KIND {
        return Ok(Box::new(Bpe::from_json(json)?));
    }
    Ok(match serde_json::from_str(json).map_err(unreadable)? {
        Description::Bytes => Box::new(Bytes),
        Description::Chars { chars } => Box::new(Chars::from_sorted(&chars)?),
        Description::Words { words } => Box::new(Words::new(words)?),
    })
}

/// The `kind` of a description, built into this crate or not.
///
/// # Errors
/// [`Error::Tokenizer`] if it is not JSON, or has no kind.
pub fn kind(json: &str) -> Result<String, Error> {
    #[derive(Deserialize)]
    struct Kind {
        kind: String,
    }
    Ok(serde_json::from_str::<Kind>(json).map_err(unreadable)?.kind)
}

const KINDS: [&str; 4] = [bpe::KIND, "bytes", "chars", "words"];

fn unreadable(e: serde_json::Error) -> Error {
    Error::Tokenizer(format!("the description of the tokenizer is not readable: {e}").into())
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Description<'a> {
    Bytes,
    Chars { chars: Cow<'a, str> },
    Words { words: Vec<Cow<'a, str>> },
}

impl Description<'_> {
    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings are JSON")
    }
}

#[cfg(test)]
mod tests;
