//! One file a layer, each with the same items: `Params`, `Acts`, `State` (where it has them), `forward`, `backward`.
//!
//! What all layers of a pass share is a [`Pass`](crate::pass::Pass). Structs are generic over their leaf: `Params<T>` holds weights, gradients, both moments or the moving average
//! alike, and a `d`-name has the type of what it differentiates. `backward` is `forward` read upwards. A step is a
//! chunk of length 1: there is no second path.

pub mod attention;
pub mod block;
pub mod controller;
pub mod embedding;
pub mod episodic;
pub mod ffn;
pub mod flow;
pub mod hopfield;
pub mod lm_head;
pub mod mixer;
mod residual;
pub mod ssm;
pub(crate) mod tree;

use crate::{
    backend::{Device, Precision},
    shape::Shape,
};

/// Makes one leaf of a parameter tree from its full name (`blocks.3.ssm.log_decay`) and shape.
pub type Leaf<'a, T, E> = &'a mut dyn FnMut(&str, Shape) -> Result<T, E>;

/// A value and its gradient.
pub struct WithGrad<'a, X> {
    /// The value.
    pub value: &'a X,
    /// Its gradient.
    pub grad: &'a mut X,
}

/// How large the activations of a chunk are, and which of them are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkShape {
    /// Sequences.
    pub batch: usize,
    /// Positions.
    pub time: usize,
    /// Keep what the gradient needs.
    pub saved: bool,
}

impl ChunkShape {
    /// Activations `[B, T, width]` in the backend's compute precision.
    pub(crate) fn alloc<B: Device>(self, b: &mut B, width: usize) -> Result<B::Tensor, B::Error> {
        b.alloc(Shape::cube(self.batch, self.time, width), Precision::Compute)
    }

    /// Statistics `[B, T, width]` in full precision.
    pub(crate) fn full<B: Device>(self, b: &mut B, width: usize) -> Result<B::Tensor, B::Error> {
        b.alloc(Shape::cube(self.batch, self.time, width), Precision::Full)
    }

    /// What a kernel leaves for its gradient, `[B, T, width]`, where saving is asked for.
    pub(crate) fn saved<B: Device>(self, b: &mut B, width: usize) -> Result<Option<B::Tensor>, B::Error> {
        if !self.saved {
            return Ok(None);
        }
        b.alloc(Shape::cube(self.batch, self.time, width), Precision::Saved).map(Some)
    }
}

/// Dropout of a training step; absent in evaluation.
pub struct DropoutKey<'a, I> {
    /// Probability of dropping, in `[0, 1)`.
    pub rate: f32,
    /// Key of the step, see [`Draw`](crate::ops::Draw).
    pub key: &'a I,
}

impl<I> Clone for DropoutKey<'_, I> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<I> Copy for DropoutKey<'_, I> {}

impl<'a, I> DropoutKey<'a, I> {
    /// The dropout at one site of the step.
    pub(crate) fn dropout<T>(&self, site: u32, residual: Option<&'a T>) -> crate::ops::Dropout<'a, T, I> {
        crate::ops::Dropout { residual, rate: self.rate, draw: crate::ops::Draw { key: self.key, site } }
    }
}
