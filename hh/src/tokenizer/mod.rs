//! Tokenizers: those of a checkpoint, and with the feature `tokenizers` those of other programs.

#[cfg(feature = "tokenizers")]
mod foreign;
#[cfg(feature = "tokenizers")]
mod forms;
#[cfg(all(test, feature = "tokenizers"))]
mod tests;
#[cfg(feature = "tokenizers")]
mod train;

#[cfg(feature = "tokenizers")]
pub use foreign::Bpe;
pub use hh_core::tokenizer::{Bytes, Chars, EMBEDDING_NORMALIZER, Tokenizer, Utf8Stream, Words, decode, is_blank, kind};

use crate::Error;

/// Texts that end a document, in the spelling of GPT-2, of SentencePiece and of Llama 3.
const END_OF_TEXT: [&str; 3] = ["<|endoftext|>", "</s>", "<|end_of_text|>"];

/// The tokenizer that the `tokenizer` entry of a checkpoint describes.
///
/// # Errors
/// [`Error::Tokenizer`] for damaged JSON, an unknown kind, and a byte-level BPE that is not of GPT-2's form where the feature
/// `tokenizers` is off.
pub fn from_json(json: &str) -> Result<Box<dyn Tokenizer>, Error> {
    match hh_core::tokenizer::from_json(json) {
        Ok(tokenizer) => Ok(tokenizer),
        Err(e) => foreign(json, e),
    }
}

#[cfg(feature = "tokenizers")]
fn foreign(json: &str, own: hh_core::error::Error) -> Result<Box<dyn Tokenizer>, Error> {
    match kind(json).as_deref() {
        Ok(foreign::KIND) => Ok(Box::new(Bpe::from_json(json)?)),
        _ => Err(Error::Tokenizer(own.to_string())),
    }
}

#[cfg(not(feature = "tokenizers"))]
fn foreign(json: &str, own: hh_core::error::Error) -> Result<Box<dyn Tokenizer>, Error> {
    let hint = match kind(json).as_deref() {
        Ok("bpe") => "; the feature `tokenizers` of hh reads more forms of BPE, and unigram models",
        _ => "",
    };
    Err(Error::Tokenizer(format!("{own}{hint}")))
}

/// The description of a byte-level BPE with [`EMBEDDING_NORMALIZER`] in place of lower case. Ids of text that is clean already stay
/// what they are.
///
/// # Errors
/// [`Error::Tokenizer`] for a description of another kind, or with another normaliser.
pub fn with_embedding_normalizer(json: &str) -> Result<String, Error> {
    let bad = |e: serde_json::Error| Error::Tokenizer(format!("the description of the tokenizer is not readable: {e}"));
    let mut description: serde_json::Value = serde_json::from_str(json).map_err(bad)?;
    let normalizer: serde_json::Value = serde_json::from_str(EMBEDDING_NORMALIZER).map_err(bad)?;
    let lower = serde_json::json!({"type": "Lowercase"});
    match description.get_mut("tokenizer").and_then(|file| file.get_mut("normalizer")) {
        Some(own) if *own == lower || *own == normalizer => *own = normalizer,
        Some(own) => {
            return Err(Error::Tokenizer(format!(
                "the tokenizer has the normaliser {own}; lower case can become the normaliser of embeddings, nothing else without training"
            )));
        }
        None => return Err(Error::Tokenizer("the tokenizer is no byte-level BPE, and cannot have the normaliser of embeddings".into())),
    }
    Ok(description.to_string())
}

/// The id that ends a document, if the tokenizer has one: a token spelled `<|endoftext|>`, `</s>` or `<|end_of_text|>`.
pub fn end_of_text(tokenizer: &dyn Tokenizer) -> Option<u32> {
    END_OF_TEXT.into_iter().find_map(|text| match tokenizer.encode(text).as_deref() {
        Ok(&[id]) if tokenizer.token_bytes(id) == Some(text.as_bytes()) => Some(id),
        _ => None,
    })
}
