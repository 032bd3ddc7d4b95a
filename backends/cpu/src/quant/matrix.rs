//! Storage of a block-quantised weight.

use crate::{
    buffer::{Arena, Buffer},
    error::OutOfMemory,
};
use hh_core::{
    quant::{Format, QuantView},
    shape::{Shape, Shaped},
};

/// A block-quantised weight.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    format: Format,
    shape: Shape,
    storage: Storage,
}

#[derive(Clone, Debug)]
enum Storage {
    Owned { codes: Buffer<u8>, scales: Buffer<[u8; 2]> },
    Borrowed(QuantView<'static>),
}

impl Matrix {
    /// A copy in memory from `arena`.
    pub(crate) fn copied(from: QuantView<'_>, arena: &mut Arena) -> Result<Self, OutOfMemory> {
        let (mut codes, mut scales) = (arena.zeros(from.codes().len())?, arena.zeros(from.scales().len())?);
        codes.copy_from_slice(from.codes());
        scales.copy_from_slice(from.scales());
        Ok(Self { format: from.format(), shape: from.shape(), storage: Storage::Owned { codes, scales } })
    }

    /// A view without a copy.
    pub(crate) fn borrowed(from: QuantView<'static>) -> Self {
        Self { format: from.format(), shape: from.shape(), storage: Storage::Borrowed(from) }
    }

    /// A view of the codes and scales.
    pub(crate) fn blocks(&self) -> QuantView<'_> {
        match &self.storage {
            Storage::Owned { codes, scales } => {
                QuantView::new(self.format, self.shape, codes, scales).expect("the sizes were checked at construction")
            }
            Storage::Borrowed(blocks) => *blocks,
        }
    }
}
