//! The state of a text session as bytes.
//!
//! Little-endian: `HHPAGE03`, [identity](crate::LoadedModel::identity) of the model (u64, 0 if unknown), precision of the
//! values (u32: 0 for f32), layout (20 bytes) and position (u64) of the recurrent state, number of its values (u64), a bit for
//! each block of 32 values, set where it is not all zeros (u64 words), the values of these blocks (count u64, then f32),
//! positions that the episodic memory has seen (count u32: 0 or 1, then u64), the logits of the newest position (count u32, then f32), the beginning of a character (count u32, then its bytes), the newest
//! tokens (count u32, then u32), and a checksum (u64) of all bytes before it.
//!
//! `HHPAGE02` and `HHPAGE01`, which earlier versions wrote, are [read](super::state_before) as well.

use super::{packed::Packed, state_before};
use crate::{Error, identity::Hash};
use hh_core::{state, tokenizer::Utf8Stream};

const MAGIC: &[u8; 8] = b"HHPAGE03";
/// Values are f32.
const F32: u32 = 0;

/// Everything that a [`TextSession`](crate::TextSession) remembers.
#[derive(Clone, Debug)]
pub struct TextState {
    /// Of the model; 0 if the state does not say.
    pub(super) identity: u64,
    pub(super) state: state::Snapshot,
    pub(super) logits: Vec<f32>,
    /// The newest tokens, oldest first.
    pub(super) recent: Vec<u32>,
    pub(super) stream: Utf8Stream,
}

impl TextState {
    /// Tokens that the session had read and drawn.
    pub fn position(&self) -> u64 {
        self.state.position()
    }

    /// The bytes that [`from_bytes`](Self::from_bytes) reads. Memories that are not full yet take little.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (packed, held) = (Packed::new(self.state.values()), self.stream.held());
        let mut out = Vec::with_capacity(packed.bytes() + 4 * (self.logits.len() + self.recent.len()) + held.len() + 100);
        out.extend(MAGIC);
        out.extend(self.identity.to_le_bytes());
        out.extend(F32.to_le_bytes());
        out.extend(self.state.layout_bytes());
        out.extend(self.state.position().to_le_bytes());
        out.extend((packed.count as u64).to_le_bytes());
        out.extend(packed.kept.iter().flat_map(|word| word.to_le_bytes()));
        out.extend((packed.values.len() as u64).to_le_bytes());
        out.extend(packed.values.iter().flat_map(|x| x.to_le_bytes()));
        out.extend(u32::from(self.state.seen().is_some()).to_le_bytes());
        out.extend(self.state.seen().into_iter().flat_map(u64::to_le_bytes));
        out.extend((self.logits.len() as u32).to_le_bytes());
        out.extend(self.logits.iter().flat_map(|x| x.to_le_bytes()));
        out.extend((held.len() as u32).to_le_bytes());
        out.extend(held);
        out.extend((self.recent.len() as u32).to_le_bytes());
        out.extend(self.recent.iter().flat_map(|token| token.to_le_bytes()));
        out.extend(checksum(&out).to_le_bytes());
        out
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote. Memory is in proportion to the bytes, whatever they claim.
    ///
    /// # Errors
    /// [`Error::State`] for other bytes, and bytes that are cut short or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let fail = |what: &str| Error::State(format!("{what}; save the session again"));
        let Some(rest) = bytes.strip_prefix(MAGIC) else { return state_before::read(bytes) };
        let (body, sum) = rest.split_last_chunk().ok_or_else(|| fail("the saved session was cut short"))?;
        if checksum(&bytes[..bytes.len() - 8]) != u64::from_le_bytes(*sum) {
            return Err(fail("the saved session was cut short or damaged: its checksum does not match"));
        }
        let state = Self::read(Reader(body)).ok_or_else(|| fail("the saved session is damaged"))?;
        if state.state.values().iter().chain(&state.logits).any(|x| !x.is_finite()) {
            return Err(fail("the saved session has values that are not finite"));
        }
        Ok(state)
    }

    fn read(mut rest: Reader<'_>) -> Option<Self> {
        let identity = rest.u64()?;
        if rest.u32()? != F32 {
            return None;
        }
        let layout = rest.take(20)?.try_into().ok()?;
        let position = rest.u64()?;
        let count = usize::try_from(rest.u64()?).ok()?;
        let kept = rest.take(Packed::words(count).checked_mul(8)?)?.as_chunks().0.iter().map(|&word| u64::from_le_bytes(word)).collect();
        let length = usize::try_from(rest.u64()?).ok()?;
        let values = floats(rest.take(length.checked_mul(4)?)?);
        let values = Packed::from_parts(count, kept, values)?.unpack();
        let seen = match rest.u32()? {
            0 => None,
            1 => Some(rest.u64()?),
            _ => return None,
        };
        let logits = floats(rest.list(4)?);
        let mut stream = Utf8Stream::default();
        stream.push(rest.list(1)?, &mut String::new());
        let recent = rest.list(4)?.as_chunks().0.iter().map(|&token| u32::from_le_bytes(token)).collect();
        let state = state::Snapshot::from_parts(layout, position, values, seen);
        rest.0.is_empty().then_some(Self { identity, state, logits, recent, stream })
    }
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut hash = Hash::new();
    hash.bytes(bytes);
    hash.finish()
}

pub(super) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)).collect()
}

/// Bytes yet to be read.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.take(8)?.first_chunk()?))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(*self.take(4)?.first_chunk()?))
    }

    /// A count, then as many values of `size` bytes.
    pub(super) fn list(&mut self, size: usize) -> Option<&'a [u8]> {
        let count = self.u32()? as usize;
        self.take(count.checked_mul(size)?)
    }
}
