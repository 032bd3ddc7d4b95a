//! Activations of a chunk in all layers.

use crate::{
    backend::Device,
    config::Config,
    layers::{ChunkShape, block, controller, embedding, tree::each},
};
use alloc::vec::Vec;

/// Activations of a chunk. Training keeps those of every block; otherwise blocks of one geometry share theirs.
pub struct Acts<T> {
    /// Of the token embedding.
    pub embedding: embedding::Acts<T>,
    /// `[B, T, D]`: h0, the first segment's input
    pub start: T,
    /// `[B, T, D]`: what block `l` leaves stands in `stream[l % stream.len()]`
    pub stream: Vec<T>,
    /// Activations of blocks; block `l` uses `blocks[of[l]]`.
    pub blocks: Vec<block::Acts<T>>,
    /// Which of `blocks` a layer uses.
    pub of: Vec<usize>,
    /// `[B, T, D]`: normalised last hidden states
    pub hidden: T,
    /// Between segments.
    pub controller: Option<controller::Acts<T>>,
}

impl<T> Acts<T> {
    /// Allocates the activations of a chunk. With `x.saved` each block keeps its own; without, blocks of one geometry share.
    ///
    /// # Errors
    /// Those of the device, where it is out of memory.
    pub fn new<B: Device<Tensor = T>>(b: &mut B, c: &Config, x: ChunkShape) -> Result<Self, B::Error> {
        Self::sharing(b, c, x, !x.saved)
    }

    /// Allocates a chunk with gradients, of which each block keeps its input only: the rest is shared by blocks of one
    /// geometry, and [`backward`](super::backward) recomputes it (Chen et al. 2016).
    ///
    /// # Errors
    /// Those of the device, where it is out of memory.
    pub fn recomputed<B: Device<Tensor = T>>(b: &mut B, c: &Config, x: ChunkShape) -> Result<Self, B::Error> {
        Self::sharing(b, c, x, true)
    }

    fn sharing<B: Device<Tensor = T>>(b: &mut B, c: &Config, x: ChunkShape, shared: bool) -> Result<Self, B::Error> {
        let (mut first, mut of) = (Vec::new(), Vec::new());
        for layer in 0..c.layers {
            let known = first.iter().position(|&l: &usize| shared && (c.widths(l), c.depth(l)) == (c.widths(layer), c.depth(layer)));
            of.push(known.unwrap_or(first.len()));
            if known.is_none() {
                first.push(layer);
            }
        }
        let streams = if x.saved { c.layers } else { c.layers.min(2) };
        Ok(Self {
            embedding: embedding::Acts::new(b, c, x)?,
            start: x.alloc(b, c.width)?,
            stream: (0..streams).map(|_| x.alloc(b, c.width)).collect::<Result<_, _>>()?,
            blocks: each(first.len(), |i| block::Acts::new(b, c, first[i], x))?,
            of,
            hidden: x.alloc(b, c.width)?,
            controller: if c.controller_width > 0 { Some(controller::Acts::new(b, c, x)?) } else { None },
        })
    }

    /// Whether another block has left its activations where those of `layer` were.
    pub(super) fn overwritten(&self, layer: usize) -> bool {
        self.of[layer + 1..].contains(&self.of[layer])
    }

    /// Where the stream of block `layer` begins: its input and its output.
    pub(super) fn around(&mut self, layer: usize, first: bool) -> (&T, &mut T, &mut block::Acts<T>, Option<&T>) {
        let n = self.stream.len();
        let entry = match &self.controller {
            Some(c) if !first => c.entry.as_ref().unwrap_or(&self.start),
            _ => &self.start,
        };
        let control = self.controller.as_ref().filter(|_| !first).map(|c| &c.control);
        let block = &mut self.blocks[self.of[layer]];
        if layer == 0 {
            return (entry, &mut self.stream[0], block, control);
        }
        let [x, y] = self.stream.get_disjoint_mut([(layer - 1) % n, layer % n]).expect("two streams at least where there are two layers");
        (x, y, block, control)
    }
}
