//! What stands for BPE in a build without the feature `tokenizers`: none can be opened, and the error names the
//! feature.

use crate::features::{Absent, Feature};
use anyhow::Result;
use hh_core::error::Error;
use hh_core::tokenizer::Tokenizer;
use std::path::Path;

/// There is none.
pub enum Bpe {}

impl Bpe {
    /// Opens none.
    ///
    /// # Errors
    /// That the feature is absent.
    pub fn open(_: &Path) -> Result<Self> {
        Err(Absent(Feature::Tokenizers).into())
    }

    /// Trains none.
    ///
    /// # Errors
    /// That the feature is absent.
    pub fn train(_: usize, _: bool, _: impl Iterator<Item = Result<String>> + Send) -> Result<Self> {
        Err(Absent(Feature::Tokenizers).into())
    }
}

impl Tokenizer for Bpe {
    fn vocab_size(&self) -> usize {
        match *self {}
    }

    fn encode(&self, _: &str) -> Result<Vec<u32>, Error> {
        match *self {}
    }

    fn token_bytes(&self, _: u32) -> Option<&[u8]> {
        match *self {}
    }

    fn to_json(&self) -> String {
        match *self {}
    }
}
