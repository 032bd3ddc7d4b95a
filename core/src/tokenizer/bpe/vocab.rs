//! The tokens of a vocabulary as bytes, found by their bytes.

use super::file::Text;
use alloc::{vec, vec::Vec};
use hashbrown::HashTable;

/// Tokens of a `tokenizer.json` whose characters all stand for bytes.
pub(super) struct Vocab {
    bytes: Vec<u8>,
    /// Begin, end and id of each token.
    tokens: Vec<(usize, usize, u32)>,
    /// Places in `tokens`.
    table: HashTable<usize>,
}

/// Why a vocabulary cannot be read, and at which of its entries.
#[derive(Clone, Copy)]
pub(super) enum Unusable {
    /// A token has characters that stand for no byte.
    Characters(usize),
    /// A token comes twice.
    Token(usize),
    /// An id comes twice.
    Id(usize),
}

impl Vocab {
    /// The tokens in the order of the file, whose ids are below `ids`; not those whose characters stand for no bytes where
    /// `is_added` names their id.
    pub(super) fn new(entries: &[(Text<'_>, u32)], ids: usize, is_added: impl Fn(u32) -> bool) -> Result<Self, Unusable> {
        let count = entries.len();
        let mut all = Self { bytes: Vec::new(), tokens: Vec::with_capacity(count), table: HashTable::with_capacity(count) };
        let mut seen = vec![false; ids];
        for (i, &(Text(ref token), id)) in entries.iter().enumerate() {
            if core::mem::replace(&mut seen[id as usize], true) {
                return Err(Unusable::Id(i));
            }
            let start = all.bytes.len();
            if spell(token, &mut all.bytes) {
                all.add(start, id).ok_or(Unusable::Token(i))?;
            } else if is_added(id) {
                all.bytes.truncate(start);
            } else {
                return Err(Unusable::Characters(i));
            }
        }
        Ok(all)
    }

    /// Makes the bytes from `start` on a token; `None` if they are one already.
    fn add(&mut self, start: usize, id: u32) -> Option<()> {
        let new = &self.bytes[start..];
        if self.find(new).is_some() {
            return None;
        }
        let (bytes, tokens) = (&self.bytes, &mut self.tokens);
        tokens.push((start, bytes.len(), id));
        self.table.insert_unique(hash(new), tokens.len() - 1, |&at| hash(&bytes[tokens[at].0..tokens[at].1]));
        Some(())
    }

    /// The id of the token of these bytes.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<u32> {
        let same = |&at: &usize| &self.bytes[self.tokens[at].0..self.tokens[at].1] == bytes;
        self.table.find(hash(bytes), same).map(|&at| self.tokens[at].2)
    }

    /// Bytes and id of each token.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], u32)> {
        self.tokens.iter().map(|&(start, end, id)| (&self.bytes[start..end], id))
    }
}

/// FNV-1a, its high bits mixed in: the table uses the upper seven.
fn hash(bytes: &[u8]) -> u64 {
    let h = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h: u64, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    h ^ (h >> 32)
}

/// Appends the bytes that the characters of a token stand for; `false` if one stands for none.
pub(super) fn spell(token: &str, out: &mut Vec<u8>) -> bool {
    token.chars().all(|c| byte(c).map(|b| out.push(b)).is_some())
}

/// The byte that a character stands for: printable ones of Latin-1 for themselves, those from U+0100 on for the others
/// (`bytes_to_unicode` of GPT-2).
fn byte(c: char) -> Option<u8> {
    Some(match u32::from(c) {
        u @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => u as u8,
        u @ 0x100..=0x120 => (u - 0x100) as u8,
        u @ 0x121..=0x142 => (u - 0x121 + 0x7f) as u8,
        0x143 => 0xad,
        _ => return None,
    })
}

/// The character that stands for a byte.
pub(super) fn character(b: u8) -> char {
    let shifted = match b {
        0..=0x20 => b as u32,
        0x7f..=0xa0 => 0x21 + (b - 0x7f) as u32,
        0xad => 0x43,
        _ => return b.into(),
    };
    char::from_u32(0x100 + shifted).expect("68 characters from U+0100")
}
