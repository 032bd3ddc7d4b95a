use anyhow::{Result, bail};
use sha2::{Digest, Sha256};

/// Bytes before the first id.
pub const HEADER_BYTES: usize = 128;
const MAGIC: [u8; 8] = *b"hhshard\0";
pub(super) const VERSION: u32 = 1;
const CHECKED: usize = 64;

/// Bytes of an id in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Width {
    /// `u16`.
    Two,
    /// `u32`.
    Four,
}

impl Width {
    /// The smallest width for all ids below `vocab_size`.
    pub fn of(vocab_size: usize) -> Self {
        if vocab_size <= 1 << 16 { Self::Two } else { Self::Four }
    }

    /// 2 or 4.
    pub fn bytes(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Appends ids in little-endian order. They must fit the width.
    pub fn pack(self, ids: &[u32], out: &mut Vec<u8>) {
        match self {
            Self::Two => out.extend(ids.iter().flat_map(|&id| (id as u16).to_le_bytes())),
            Self::Four => out.extend(ids.iter().flat_map(|&id| id.to_le_bytes())),
        }
    }

    /// Reads `out.len()` ids.
    pub fn unpack(self, bytes: &[u8], out: &mut [u32]) {
        match self {
            Self::Two => {
                for (id, pair) in out.iter_mut().zip(bytes.as_chunks().0) {
                    *id = u16::from_le_bytes(*pair).into();
                }
            }
            Self::Four => {
                for (id, four) in out.iter_mut().zip(bytes.as_chunks().0) {
                    *id = u32::from_le_bytes(*four);
                }
            }
        }
    }
}

/// The header of a shard, its first [`HEADER_BYTES`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Bytes of an id.
    pub width: Width,
    /// Number of ids.
    pub count: u64,
    /// Ids are below this.
    pub vocab_size: u64,
    /// SHA-256 of the tokenizer's description.
    pub tokenizer: [u8; 32],
}

impl Header {
    /// The bytes that [`parse_header`] reads.
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(self.width.bytes() as u32).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.count.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.vocab_size.to_le_bytes());
        bytes[32..CHECKED].copy_from_slice(&self.tokenizer);
        let check = Sha256::digest(&bytes[..CHECKED]);
        bytes[CHECKED..CHECKED + 32].copy_from_slice(&check);
        bytes
    }

    /// Size of the complete file in bytes.
    pub fn file_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + self.count * self.width.bytes() as u64
    }
}

/// Parses the start of a shard. A returned header is consistent: [`Header::file_bytes`] does not overflow, and the width is that
/// of the vocabulary.
///
/// # Errors
/// Bytes that are not a shard, are of another version, cut off, damaged or contradictory.
pub fn parse_header(bytes: &[u8]) -> Result<Header> {
    if !bytes.starts_with(&MAGIC) {
        bail!("it is not a shard of ids; write shards with `hh-runtime tokenize`");
    }
    let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
        bail!("it is cut off: it has {} bytes, but the header alone has {HEADER_BYTES}; write the shards again", bytes.len());
    };
    let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
    if u32_at(8) != VERSION {
        bail!("it is a shard of version {}; supported is version {VERSION}; write the shards again", u32_at(8));
    }
    if Sha256::digest(&bytes[..CHECKED])[..] != bytes[CHECKED..CHECKED + 32] || bytes[CHECKED + 32..].iter().any(|&b| b != 0) {
        bail!("its header is damaged; write the shards again");
    }
    let (count, vocab_size) = (u64_at(16), u64_at(24));
    let width = match u32_at(12) {
        2 if vocab_size <= 1 << 16 => Width::Two,
        4 if vocab_size > 1 << 16 => Width::Four,
        other => bail!("its header contradicts itself: ids of {other} bytes in a vocabulary of {vocab_size}; write the shards again"),
    };
    if vocab_size == 0 || vocab_size > 1 << 32 || count > 1 << 60 {
        bail!("its header is invalid: {count} ids in a vocabulary of {vocab_size}; write the shards again");
    }
    let mut tokenizer = [0; 32];
    tokenizer.copy_from_slice(&bytes[32..CHECKED]);
    Ok(Header { width, count, vocab_size, tokenizer })
}
