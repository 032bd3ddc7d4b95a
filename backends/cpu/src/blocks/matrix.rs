//! How a weight in blocks lies in memory.

use crate::{
    error::OutOfMemory,
    memory::{Arena, Buffer},
};
use hh_core::{
    quant::{Blocks, Format},
    shape::{Shape, Shaped},
};

/// A weight in blocks.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    format: Format,
    shape: Shape,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Own { codes: Buffer<u8>, scales: Buffer<[u8; 2]> },
    Lent(Blocks<'static>),
}

impl Matrix {
    /// A copy.
    pub(crate) fn copied(from: Blocks<'_>, arena: &mut Arena) -> Result<Self, OutOfMemory> {
        let (mut codes, mut scales) = (arena.zeros(from.codes().len())?, arena.zeros(from.scales().len())?);
        codes.copy_from_slice(from.codes());
        scales.copy_from_slice(from.scales());
        Ok(Self { format: from.format(), shape: from.shape(), place: Place::Own { codes, scales } })
    }

    /// Where it lies.
    pub(crate) fn lent(from: Blocks<'static>) -> Self {
        Self { format: from.format(), shape: from.shape(), place: Place::Lent(from) }
    }

    /// To be read.
    pub(crate) fn blocks(&self) -> Blocks<'_> {
        match &self.place {
            Place::Own { codes, scales } => Blocks::new(self.format, self.shape, codes, scales).expect("as many bytes as when it was made"),
            Place::Lent(blocks) => *blocks,
        }
    }
}
