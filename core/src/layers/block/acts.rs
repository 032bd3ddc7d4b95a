//! What a chunk leaves on its way through a block.

use crate::{
    backend::Device,
    config::Config,
    layers::{ChunkShape, attention, ffn, hopfield, mixer, ssm, tree::when},
};

/// Activations of a block.
pub struct Acts<T> {
    /// `[B, T, D]`: u
    pub normed: T,
    /// `[B, T, rows]`: z, packed as the rows of `in_proj`; attention's q and k are rotated in place
    pub packed: T,
    /// The state-space path.
    pub ssm: Option<ssm::Acts<T>>,
    /// The Hopfield path.
    pub hopfield: Option<hopfield::Acts<T>>,
    /// Attention.
    pub attention: Option<attention::Acts<T>>,
    /// `[B, T, w]`: outputs of the paths, side by side
    pub paths: T,
    /// Norms and gates.
    pub mixer: mixer::Acts<T>,
    /// `[B, T, D]`: between the halves
    pub middle: T,
    /// The feed-forward half.
    pub ffn: ffn::Acts<T>,
}

impl<T> Acts<T> {
    /// Allocates the activations of a chunk.
    pub fn new<B: Device<Tensor = T>>(b: &mut B, c: &Config, layer: usize, x: ChunkShape) -> Result<Self, B::Error> {
        let [ssm, hopfield, attention] = c.on(layer);
        Ok(Self {
            normed: x.alloc(b, c.width)?,
            packed: x.alloc(b, c.in_rows(layer))?,
            ssm: when(ssm, || ssm::Acts::new(b, c, layer, x))?,
            hopfield: when(hopfield, || hopfield::Acts::new(b, c, layer, x))?,
            attention: when(attention, || attention::Acts::new(b, c, layer, x))?,
            paths: x.alloc(b, c.mixed(layer))?,
            mixer: mixer::Acts::new(b, c, layer, x)?,
            middle: x.alloc(b, c.width)?,
            ffn: ffn::Acts::new(b, c, x)?,
        })
    }
}
