//! Arguments of the kernels of refine.cuh, shared by both Hopfield memories.

use crate::{
    Cuda, Tensor,
    launch::{Arg, LaunchDims, Variant},
    lookup::{Memory, Tiles},
    tensor::Mat,
};
use hh_core::{ops::MemoryDims, shape::Shaped};

/// `Refinement` of refine.cuh.
pub(crate) struct Refinement {
    pub(crate) qpv: Mat,
    pub(crate) memory: Memory,
    pub(crate) view: Arg,
    /// Address of the mixture over refinements, `[B, T, K]`.
    pub(crate) weights: u64,
    pub(crate) log_beta: Mat,
    pub(crate) decay: Mat,
    pub(crate) carry: Carry,
    pub(crate) dims: MemoryDims,
}

/// `Carry` of carry.cuh.
#[derive(Clone, Copy)]
pub(crate) struct Carry {
    of: Mat,
    chunks: usize,
}

impl Carry {
    /// No carried state.
    pub(crate) const NONE: Self = Self { of: Mat::NONE, chunks: 1 };

    /// Scratch for both matrices of all chunks; none for a single chunk.
    pub(crate) fn new(b: &mut Cuda, dims: &MemoryDims) -> Self {
        let MemoryDims { batch, time, heads, head_dim, .. } = *dims;
        let chunks = Tiles::blocks(time);
        if chunks > 1 { Self { of: b.take_compute(batch * heads * chunks * head_dim, 2 * head_dim), chunks } } else { Self::NONE }
    }

    pub(crate) fn is_some(&self) -> bool {
        self.chunks > 1
    }

    pub(crate) fn arg(&self) -> Arg {
        Arg::group(&[self.of.into(), self.chunks.into()])
    }
}

impl Refinement {
    pub(crate) fn arg(&self) -> Arg {
        let MemoryDims { time, head_dim, depth, .. } = self.dims;
        let sizes = [time, head_dim, depth].map(Arg::from);
        Arg::group(&[
            self.qpv.into(),
            self.memory.arg(),
            self.view,
            self.weights.into(),
            self.log_beta.into(),
            self.decay.into(),
            self.carry.arg(),
            sizes[0],
            sizes[1],
            sizes[2],
        ])
    }

    /// The gradient of the mixture's logits from the reads of all refinements.
    pub(crate) fn depth_grad(&self, b: &mut Cuda, reads: Mat, dy: Mat, d: &mut Tensor) {
        let MemoryDims { batch, time, width, depth, .. } = self.dims;
        let rows = batch * time;
        let args = [self.weights.into(), reads.into(), dy.into(), rows.into(), width.into(), depth.into(), d.mat().into()];
        b.run("memory", "depth_backward", Variant::Plain, LaunchDims::warps(rows), &args);
    }
}

/// Address of the softmax of each row's K logits.
pub(crate) fn weights(b: &mut Cuda, logits: &Tensor, depth: usize) -> u64 {
    let rows = logits.shape().rows();
    let weights = b.take(4 * rows * depth);
    let args = [logits.mat().into(), rows.into(), depth.into(), weights.into()];
    b.run("memory", "depth_forward", Variant::Plain, LaunchDims::threads(rows, 256), &args);
    weights
}

/// `Saved` of refine.cuh: activations of the forward pass.
pub(crate) struct Saved {
    pub(crate) reads: Mat,
    pub(crate) moved: Mat,
    pub(crate) log_sum: Mat,
}

impl Saved {
    /// Nothing is saved.
    pub(crate) const NONE: Self = Self { reads: Mat::NONE, moved: Mat::NONE, log_sum: Mat::NONE };

    pub(crate) fn arg(&self) -> Arg {
        Arg::group(&[self.reads.into(), self.moved.into(), self.log_sum.into()])
    }
}

/// `RowPass` of refine.cuh: outputs of the pass over rows that the pass over columns reads.
pub(crate) struct RowPass {
    arg: Arg,
}

impl RowPass {
    pub(crate) fn new(b: &mut Cuda, dims: &MemoryDims) -> Self {
        let MemoryDims { batch, time, width, heads, depth, .. } = *dims;
        let rows = batch * time;
        let [scaled, d_read, d_moved] = [(); 3].map(|()| Arg::from(b.take_compute(depth * rows, width)));
        let delta = b.take(4 * depth * rows * heads);
        Self { arg: Arg::group(&[scaled, d_read, d_moved, delta.into(), rows.into()]) }
    }

    pub(crate) fn arg(&self) -> Arg {
        self.arg
    }
}
