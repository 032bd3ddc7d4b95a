//! How a model was trained to make embeddings: pooling and prompts.

use super::Pooling;
use crate::{checkpoint::Metadata, error::Error};
use alloc::{format, string::String};
use serde::{Deserialize, Serialize};

/// Key of a checkpoint's metadata: JSON of its [`Convention`].
pub const CONVENTION: &str = "embedding";

/// How a model's vectors are made. Vectors that are made differently cannot be compared, so a checkpoint carries it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Convention {
    /// How hidden states become one vector.
    pub pooling: Pooling,
    /// Stands before a text that asks.
    pub query: String,
    /// Stands before a text that is to be found.
    pub document: String,
}

impl Convention {
    /// What a checkpoint says; the mean without prompts where it says nothing.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for an entry that is not readable.
    pub fn of(metadata: &Metadata) -> Result<Self, Error> {
        let Some(json) = metadata.get(CONVENTION) else { return Ok(Self::default()) };
        serde_json::from_str(json)
            .map_err(|e| Error::Checkpoint(format!("its \"{CONVENTION}\" in the metadata is not readable: {e}").into()))
    }

    /// The entry that [`of`](Self::of) reads.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings are JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_convention_comes_back_and_a_wrong_one_is_named() {
        let convention = Convention { pooling: Pooling::Weighted, query: "ask: ".into(), document: String::new() };
        let metadata = |json: &str| Metadata::from([(CONVENTION.to_string(), json.to_string())]);
        assert_eq!(Convention::of(&metadata(&convention.to_json())).unwrap(), convention);
        assert_eq!(Convention::of(&metadata(r#"{"pooling": "last"}"#)).unwrap().pooling, Pooling::Last);
        assert_eq!(Convention::of(&Metadata::new()).unwrap(), Convention::default());
        for json in ["", "[1]", r#"{"pooling": "cls"}"#, r#"{"prompt": ""}"#] {
            let message = Convention::of(&metadata(json)).unwrap_err().to_string();
            assert!(message.contains("\"embedding\""), "{message}");
        }
    }
}
