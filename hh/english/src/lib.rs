//! An embedding model of English for the crate `hh`, as data. README.md is its model card.
#![no_std]
#![forbid(unsafe_code)]

/// The checkpoint: a safetensors file of 8.8 MB, block-quantised to 8 bits, with its tokenizer.
pub static MODEL: &[u8] = include_bytes!("../english.safetensors");
