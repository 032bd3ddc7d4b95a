//! Hooks: observe and change tensors in the middle of a forward pass.
//!
//! A hook gets the tensors as they lie on the device, at places that are named by what flows there, and so works on every
//! backend: it downloads, looks or changes, and uploads. A pass without hooks is the pass with `()`, which compiles to nothing:
//! there is no second composition that could drift from the first.

pub use crate::pass::BlockId;
use crate::{backend::Device, layers::block::acts::Acts};
use core::convert::Infallible;

/// What is done in the middle of [`model::forward`](crate::model::forward). Each hook does nothing unless it is written.
pub trait Hooks<B: Device> {
    /// What can go wrong; the pass ends there.
    type Error;

    /// The packed columns of all paths, `[B, T, rows]`, after the input projection: what each path reads. Nothing else reads them.
    ///
    /// # Errors
    /// The hook's own.
    fn packed(&mut self, b: &mut B, at: BlockId, packed: &mut B::Tensor) -> Result<(), Self::Error> {
        let _ = (b, at, packed);
        Ok(())
    }

    /// The activations of a block that is done. Blocks may share them: the next one overwrites what it finds.
    ///
    /// # Errors
    /// The hook's own.
    fn block(&mut self, b: &mut B, at: BlockId, acts: &Acts<B::Tensor>) -> Result<(), Self::Error> {
        let _ = (b, at, acts);
        Ok(())
    }

    /// The controller's running summary after pass `segment`, `[B, T, C]`: all that the next pass hears of this one. The biases of
    /// its gates and what is added to its input follow from it.
    ///
    /// # Errors
    /// The hook's own.
    fn summary(&mut self, b: &mut B, segment: usize, summary: &mut B::Tensor) -> Result<(), Self::Error> {
        let _ = (b, segment, summary);
        Ok(())
    }
}

impl<B: Device> Hooks<B> for () {
    type Error = Infallible;
}

impl<B: Device, H: Hooks<B>> Hooks<B> for &mut H {
    type Error = H::Error;

    fn packed(&mut self, b: &mut B, at: BlockId, packed: &mut B::Tensor) -> Result<(), H::Error> {
        (**self).packed(b, at, packed)
    }

    fn block(&mut self, b: &mut B, at: BlockId, acts: &Acts<B::Tensor>) -> Result<(), H::Error> {
        (**self).block(b, at, acts)
    }

    fn summary(&mut self, b: &mut B, segment: usize, summary: &mut B::Tensor) -> Result<(), H::Error> {
        (**self).summary(b, segment, summary)
    }
}
