//! The state of a text as bytes.
//!
//! Little-endian: `HHPAGE04`; [identity](super::identity()) of the model (u64, 0 if unknown); precision of the values (u32: 0 for
//! f32), layout (20 bytes) and position (u64) of the recurrent state, number of its values (u64), a bit for each block of 32 values,
//! set where it is not all zeros (u64 words), the values of these blocks (count u64, then f32); positions that the episodic memory
//! has seen (count u32: 0 or 1, then u64); the logits of the newest position (count u32, then f32); the beginning of a character
//! (count u32, then its bytes); the newest tokens that were run, and those that were not yet (count u32, then u32, each); the number
//! of tokens drawn (u64); and a [checksum](super::Hash) (u64) of all bytes before it.
//!
//! States of [earlier versions](super::earlier) are read as well.

use super::{Hash, Packed, Reader, Snapshot, earlier};
use crate::{
    error::{Error, StateError},
    tokenizer::Utf8Stream,
};
use alloc::{format, string::String, vec::Vec};

const MAGIC: &[u8; 8] = b"HHPAGE04";
/// What all versions begin with.
const FAMILY: &[u8; 6] = b"HHPAGE";
/// Values are f32.
const F32: u32 = 0;

/// The most tokens that a text and its state keep for the repetition penalty of a later generation.
pub const RECENT: usize = 4096;

/// Everything that the continuation of a text depends on, beside the model and what the user sets.
#[derive(Clone, PartialEq, Debug)]
pub struct TextState {
    /// Of the model, see [`identity`](super::identity()); 0 if the state does not say.
    pub identity: u64,
    /// Of the tokens that were run.
    pub state: Snapshot,
    /// Logits `[V]` of the newest position that was run; empty if there is none, or if tokens are pending.
    pub logits: Vec<f32>,
    /// The newest tokens that were run, at most [`RECENT`], oldest first.
    pub recent: Vec<u32>,
    /// Tokens of the text that are not run yet; after a draw, the token that was drawn.
    pub pending: Vec<u32>,
    /// The beginning of a character whose other bytes are not drawn yet.
    pub stream: Utf8Stream,
    /// Tokens drawn so far: the counter of the sampler's random numbers.
    pub draws: u64,
}

impl TextState {
    /// A recurrent state without anything else.
    pub fn of(state: Snapshot) -> Self {
        Self { identity: 0, state, logits: Vec::new(), recent: Vec::new(), pending: Vec::new(), stream: Utf8Stream::default(), draws: 0 }
    }

    /// Whether bytes begin as those of a state.
    pub fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(FAMILY)
    }

    /// Tokens read and drawn.
    pub fn position(&self) -> u64 {
        self.state.position() + self.pending.len() as u64
    }

    /// The bytes that [`from_bytes`](Self::from_bytes) reads. Memories that are not full yet take little.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (packed, held) = (Packed::new(&self.state), self.stream.held());
        let ids = self.logits.len() + self.recent.len() + self.pending.len();
        let mut out = Vec::with_capacity(packed.bytes() + 4 * ids + held.len() + 128);
        out.extend(MAGIC);
        out.extend(self.identity.to_le_bytes());
        out.extend(F32.to_le_bytes());
        packed.write(&mut out);
        list(&mut out, self.logits.iter().map(|x| x.to_le_bytes()));
        list(&mut out, held.iter().map(|&byte| [byte]));
        for ids in [&self.recent, &self.pending] {
            list(&mut out, ids.iter().map(|id| id.to_le_bytes()));
        }
        out.extend(self.draws.to_le_bytes());
        out.extend(Hash::of(&out).to_le_bytes());
        out
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote. Memory is in proportion to the bytes, whatever they claim, but for the blocks
    /// of zeros, of which a bit may stand for 128 bytes.
    ///
    /// # Errors
    /// [`Error::State`] for other bytes, and bytes that are cut short or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let Some(rest) = bytes.strip_prefix(MAGIC) else { return earlier::read(bytes) };
        let (body, sum) = rest.split_last_chunk().ok_or_else(|| unusable("was cut short"))?;
        if Hash::of(&bytes[..bytes.len() - 8]) != u64::from_le_bytes(*sum) {
            return Err(unusable("was cut short or damaged: its checksum does not match"));
        }
        Self::read(Reader(body), true).ok_or_else(|| unusable("is damaged"))?.finite()
    }

    /// The fields after the first; earlier versions have no `pending` tokens and no draws.
    pub(super) fn read(mut rest: Reader<'_>, pending: bool) -> Option<Self> {
        let identity = rest.u64()?;
        if rest.u32()? != F32 {
            return None;
        }
        let state = Packed::read(&mut rest)?.unpack();
        let logits = rest.floats()?;
        let mut stream = Utf8Stream::default();
        stream.push(rest.list(1)?, &mut String::new());
        let recent = rest.ids()?;
        let (pending, draws) = if pending { (rest.ids()?, rest.u64()?) } else { (Vec::new(), 0) };
        rest.0.is_empty().then_some(Self { identity, state, logits, recent, pending, stream, draws })
    }

    /// The same, if all its numbers are finite.
    pub(super) fn finite(self) -> Result<Self, Error> {
        let values = self.state.values().iter().chain(&self.logits);
        if values.into_iter().all(|x| x.is_finite()) { Ok(self) } else { Err(unusable("has values that are not finite")) }
    }
}

/// Why bytes are no state.
pub(super) fn unusable(what: &str) -> Error {
    Error::State(StateError::Other(format!("the saved session {what}; save the session again")))
}

/// A count, and as many items.
fn list<const N: usize>(out: &mut Vec<u8>, items: impl ExactSizeIterator<Item = [u8; N]>) {
    out.extend((items.len() as u32).to_le_bytes());
    items.for_each(|item| out.extend(item));
}
