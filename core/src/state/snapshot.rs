//! The recurrent state as bytes.
//!
//! Little-endian: `HHSTATE1`, then the layout (fingerprint of the configuration u64, batch u32, context u32, segments
//! u32), position u64, number of values u64, the values as f32, and the FNV-1a hash (u64) of all that came before. The state of a
//! model with an episodic memory begins with `HHSTATE2`, and between values and hash it has the number of positions that the memory
//! has seen (u64).

use super::{Reader, hash};
use crate::{
    config::Config,
    error::{Error, StateError},
};
use alloc::vec::Vec;

const MAGIC: &[u8; 8] = b"HHSTATE1";
const MAGIC_WITH_MEMORY: &[u8; 8] = b"HHSTATE2";
const HEADER: usize = 8 + 8 + 4 + 4 + 4 + 8 + 8;

/// Which sessions a snapshot fits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    fingerprint: u64,
    batch: u32,
    context: u32,
    segments: u32,
}

/// A copy of everything that a session remembers.
#[derive(Clone, PartialEq, Debug)]
pub struct Snapshot {
    pub(crate) layout: Layout,
    pub(crate) position: u64,
    pub(crate) values: Vec<f32>,
    /// Positions that the episodic memory has seen, if there is one.
    pub(crate) seen: Option<u64>,
}

impl Layout {
    /// Bytes of a layout in a file.
    pub(super) const BYTES: usize = 20;

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[..8].copy_from_slice(&self.fingerprint.to_le_bytes());
        for (to, n) in out[8..].chunks_exact_mut(4).zip([self.batch, self.context, self.segments]) {
            to.copy_from_slice(&n.to_le_bytes());
        }
        out
    }

    pub(super) fn read(rest: &mut Reader<'_>) -> Option<Self> {
        Some(Self { fingerprint: rest.u64()?, batch: rest.u32()?, context: rest.u32()?, segments: rest.u32()? })
    }

    pub(crate) fn new(c: &Config, batch: usize, context: usize, segments: usize) -> Self {
        Self { fingerprint: hash(c.to_json().as_bytes()), batch: batch as u32, context: context as u32, segments: segments as u32 }
    }
}

impl Snapshot {
    /// Positions that the session had seen.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// All values, part by part; a part of zeros at the start of a text.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Positions that the memories of its session held.
    pub fn context(&self) -> usize {
        self.layout.context as usize
    }

    /// Passes over the blocks in its session.
    pub fn segments(&self) -> usize {
        self.layout.segments as usize
    }

    /// Whether both are of the same model and layout.
    pub fn is_like(&self, other: &Self) -> bool {
        self.layout == other.layout && self.values.len() == other.values.len()
    }

    /// A snapshot of the same layout with other values, as many as these.
    ///
    /// # Panics
    /// If they are fewer or more.
    #[must_use]
    pub fn replaced(&self, position: u64, values: Vec<f32>) -> Self {
        assert_eq!(values.len(), self.values.len(), "values of a snapshot");
        Self { layout: self.layout, position, values, seen: self.seen }
    }

    /// Bytes that [`to_bytes`](Self::to_bytes) gives.
    pub fn byte_len(&self) -> usize {
        HEADER + 4 * self.values.len() + if self.seen.is_some() { 16 } else { 8 }
    }

    /// The snapshot as bytes, to keep in a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Layout { fingerprint, batch, context, segments } = self.layout;
        let mut out = Vec::with_capacity(self.byte_len());
        out.extend(if self.seen.is_some() { MAGIC_WITH_MEMORY } else { MAGIC });
        out.extend(fingerprint.to_le_bytes());
        for n in [batch, context, segments] {
            out.extend(n.to_le_bytes());
        }
        out.extend(self.position.to_le_bytes());
        out.extend((self.values.len() as u64).to_le_bytes());
        for v in &self.values {
            out.extend(v.to_le_bytes());
        }
        out.extend(self.seen.into_iter().flat_map(u64::to_le_bytes));
        out.extend(hash(&out).to_le_bytes());
        out
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`Error::State`] where the bytes are no saved state, were cut short, or were damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let tail = match bytes.first_chunk::<8>() {
            Some(MAGIC) => 8,
            Some(MAGIC_WITH_MEMORY) => 16,
            _ => return Err(StateError::NotAState.into()),
        };
        if bytes.len() < HEADER + tail {
            return Err(StateError::Length { found: bytes.len(), expected: None }.into());
        }
        let u32_at = |i: usize| u32::from_le_bytes(bytes[i..i + 4].try_into().expect("4 bytes"));
        let u64_at = |i: usize| u64::from_le_bytes(bytes[i..i + 8].try_into().expect("8 bytes"));
        let expected = u64_at(36).checked_mul(4).and_then(|n| n.checked_add((HEADER + tail) as u64));
        if expected != Some(bytes.len() as u64) {
            return Err(StateError::Length { found: bytes.len(), expected: Some(expected.unwrap_or(u64::MAX)) }.into());
        }
        let (body, sum) = bytes.split_at(bytes.len() - 8);
        if hash(body).to_le_bytes() != sum {
            return Err(StateError::Checksum.into());
        }
        let values: Vec<f32> =
            bytes[HEADER..bytes.len() - tail].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("4 bytes"))).collect();
        if values.iter().any(|v| !v.is_finite()) {
            return Err(StateError::NotFinite.into());
        }
        let layout = Layout { fingerprint: u64_at(8), batch: u32_at(16), context: u32_at(20), segments: u32_at(24) };
        let seen = (tail == 16).then(|| u64_at(bytes.len() - 16));
        Ok(Self { layout, position: u64_at(28), values, seen })
    }

    pub(crate) fn fits(&self, layout: &Layout, values: usize, memory: bool) -> Result<(), Error> {
        let Layout { fingerprint, batch, context, segments } = self.layout;
        if fingerprint != layout.fingerprint {
            return Err(StateError::OtherModel.into());
        }
        if self.layout != *layout {
            let session = [layout.batch, layout.context, layout.segments];
            return Err(StateError::OtherLayout { state: [batch, context, segments], session }.into());
        }
        if self.values.len() != values || self.seen.is_some() != memory {
            return Err(StateError::OtherMemory { state: self.values.len(), session: values }.into());
        }
        Ok(())
    }
}
