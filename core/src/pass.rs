//! What all layers of one pass through the model share.

use crate::{backend::Device, config::Config, layers::DropoutKey};

/// A block in a pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockId {
    /// Which pass over the blocks, from 0 on.
    pub segment: usize,
    /// Which block, from 0 on.
    pub layer: usize,
}

/// One pass through the model: where its kernels run, of which architecture it is, and what is done on the way. The default
/// ([`Pass::new`]) is that of evaluation: the configuration's number of segments, no dropout, no hooks.
pub struct Pass<'a, B: Device, H = ()> {
    /// Runs the kernels.
    pub backend: &'a mut B,
    /// The architecture.
    pub config: &'a Config,
    /// How often the residual stream goes through all blocks.
    pub segments: usize,
    /// The block that is at work.
    pub block: BlockId,
    /// `[1]`: how many positions came before the chunk; absent where it starts from nothing. The model sets it from the state.
    pub clock: Option<&'a B::Indices>,
    /// Dropout of a training step; absent in evaluation.
    pub dropout: Option<DropoutKey<'a, B::Indices>>,
    /// Called in the middle of the pass.
    pub hooks: H,
}

impl<'a, B: Device> Pass<'a, B> {
    /// A pass of evaluation over a chunk.
    pub fn new(backend: &'a mut B, config: &'a Config) -> Self {
        let block = BlockId { segment: 0, layer: 0 };
        Self { backend, config, segments: config.segments, block, clock: None, dropout: None, hooks: () }
    }

    /// The same pass with [hooks](crate::hooks::Hooks).
    pub fn with_hooks<H>(self, hooks: H) -> Pass<'a, B, H> {
        let Self { backend, config, segments, block, clock, dropout, hooks: () } = self;
        Pass { backend, config, segments, block, clock, dropout, hooks }
    }
}
