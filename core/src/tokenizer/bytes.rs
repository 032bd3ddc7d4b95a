use super::{Description, Tokenizer};
use crate::error::Error;
use alloc::{string::String, vec::Vec};

/// The 256 bytes: any text, no vocabulary to keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bytes;

static ALL: [u8; 256] = {
    let mut all = [0; 256];
    let mut i = 0;
    while i < 256 {
        all[i] = i as u8;
        i += 1;
    }
    all
};

impl Tokenizer for Bytes {
    fn vocab_size(&self) -> usize {
        ALL.len()
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        Ok(text.bytes().map(u32::from).collect())
    }

    fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        ALL.get(id as usize).map(core::slice::from_ref)
    }

    fn to_json(&self) -> String {
        Description::Bytes.to_json()
    }
}
