//! Shards: a text as token ids in memory-mapped files, so that it may be larger than memory.
//!
//! A folder of shards is self-contained: `shard-00000.ids` and so on, `tokenizer.json` (the tokenizer, as in a checkpoint) and
//! `manifest.json`. The folder is renamed into place when it is complete.
//!
//! | bytes | of a shard |
//! |---|---|
//! | 0..8 | `hhshard\0` |
//! | 8..12 | version, 1 |
//! | 12..16 | bytes of an id: 2 if the vocabulary has at most 65536 entries, else 4 |
//! | 16..24 | number of ids |
//! | 24..32 | size of the vocabulary |
//! | 32..64 | SHA-256 of the tokenizer's description |
//! | 64..96 | SHA-256 of bytes 0..64 |
//! | 96..128 | zero |
//! | 128.. | the ids; all numbers are little-endian |

mod folder;
mod header;
mod writer;

pub use folder::ShardFolder;
pub use header::{HEADER_BYTES, Header, Width, parse_header};
pub use writer::ShardWriter;

pub(super) use folder::Mapping;

/// The file that identifies a folder of shards.
pub const MANIFEST: &str = "manifest.json";
/// The tokenizer of the shards.
pub const TOKENIZER: &str = "tokenizer.json";
/// Default number of ids per shard: 256 MiB at two bytes each.
pub const SHARD_TOKENS: u64 = 1 << 27;

/// The content of the manifest.
#[derive(serde::Serialize, serde::Deserialize)]
struct Manifest {
    version: u32,
    vocab_size: usize,
    tokens: u64,
    shards: Vec<Entry>,
}

/// A file of the folder.
#[derive(serde::Serialize, serde::Deserialize)]
struct Entry {
    file: String,
    tokens: u64,
}

#[cfg(test)]
mod tests;
