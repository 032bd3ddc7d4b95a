//! What a machine must be able to do, in three rungs: hold tensors, run a model, train one.
//!
//! Rules that every kernel obeys:
//! - **One write rule.** Outputs and activation gradients are written (`=`), parameter gradients add up (`+=`).
//!   [`GradOut`] and in-place kernels say so where they differ.
//! - Nothing is allocated and nothing waits for the device after construction; launches are asynchronous. What
//!   changes between steps lives in tensors, so that a step can be recorded once and replayed.
//! - A broken shape is a bug of the caller and panics (in `dims()` of the op); a broken machine is an `Err` of
//!   `alloc`, `upload` or `download`, the first fault since the last call surfacing there.
//! - A kernel is a function of its arguments: same inputs, same bits, whatever the number of threads.
//!
//! `state` is `None` where a chunk starts from nothing and what it leaves is not wanted (training); gradients are
//! defined for such chunks only.

use crate::ops::*;
use crate::quant::QuantView;
use crate::shape::{Shape, Shaped};
use alloc::vec;

/// What precision a tensor is held in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Precision {
    /// The backend's choice for products and activations: f32, bf16, int8 weights.
    Compute,
    /// f32 at least: states, statistics, losses, master weights.
    Full,
    /// Weights that training changes: f32 at least, since a step changes them by less than the digits of a compute precision can
    /// tell. A backend whose products are of less may keep a copy for them.
    Master,
    /// What a kernel leaves for its own gradient, which alone reads it: in any form, and nothing at all on a backend whose
    /// gradients recompute it.
    Saved,
    /// What a kernel writes and reads within one call, such as the logits of [`CrossEntropy`]: in any form and layout, since nothing
    /// else reads it.
    Scratch,
}

/// Most logits in memory at a time on a backend that does not choose otherwise.
const LOGITS_AT_ONCE: usize = 1 << 22;

/// Holds tensors and moves them.
pub trait Device: Sized {
    /// Numbers on the device.
    type Tensor: Shaped;
    /// u32 numbers on the device: token ids, clocks, random keys.
    type Indices: Shaped;
    /// What can go wrong with the machine.
    type Error: core::error::Error + Send + Sync + 'static;

    /// A new tensor, all zeros.
    fn alloc(&mut self, shape: Shape, precision: Precision) -> Result<Self::Tensor, Self::Error>;
    /// How many of `rows` (at least 1) have their logits over `vocab` ids in memory at a time, where memory is to be bounded. Each
    /// such chunk reads and writes the gradient of the whole table, so a backend with large caches takes few rows, a GPU many.
    fn logit_rows(&self, rows: usize, vocab: usize) -> usize {
        (LOGITS_AT_ONCE / vocab).clamp(1, rows)
    }
    /// New indices, all zeros.
    fn alloc_indices(&mut self, shape: Shape) -> Result<Self::Indices, Self::Error>;
    /// Copies from the host; `src` has as many elements as `dst` (panics otherwise). The host's slice is free on return.
    fn upload(&mut self, src: &[f32], dst: &mut Self::Tensor) -> Result<(), Self::Error>;
    /// Copies indices from the host.
    fn upload_indices(&mut self, src: &[u32], dst: &mut Self::Indices) -> Result<(), Self::Error>;
    /// A new matrix from one in blocks, which is kept so by a backend that has products over blocks, and widened by others
    /// ([`widened`]). [`Embed`], [`Matmul`] and [`CrossEntropy`] read it, and nothing writes it.
    fn upload_quantised(&mut self, src: QuantView<'_>) -> Result<Self::Tensor, Self::Error>;
    /// Waits for all queued work, then copies to the host.
    fn download(&mut self, src: &Self::Tensor, dst: &mut [f32]) -> Result<(), Self::Error>;
    /// Waits for all queued work, then copies indices to the host.
    fn download_indices(&mut self, src: &Self::Indices, dst: &mut [u32]) -> Result<(), Self::Error>;
    /// Sets every element.
    fn fill(&mut self, value: f32, dst: &mut Self::Tensor);
    /// Copies between two tensors of one shape.
    fn copy(&mut self, src: &Self::Tensor, dst: &mut Self::Tensor);
}

/// A matrix in blocks as ordinary numbers on a device: what a backend without products over blocks does with them.
///
/// # Errors
/// Those of the device.
pub fn widened<B: Device>(b: &mut B, blocks: QuantView<'_>) -> Result<B::Tensor, B::Error> {
    let mut host = vec![0.0; blocks.shape().count()];
    blocks.widen(&mut host);
    let mut tensor = b.alloc(blocks.shape(), Precision::Compute)?;
    b.upload(&host, &mut tensor)?;
    Ok(tensor)
}

/// Reads weights where they lie, for as long as the program runs: in a microcontroller's flash.
pub trait ZeroCopy: Device {
    /// As [`upload_quantised`](Device::upload_quantised), of memory that stays.
    fn borrow_quantised(&mut self, blocks: QuantView<'static>) -> Self::Tensor;
    /// A tensor of f32 values, little-endian in memory that stays, which cannot be written; `None` where they cannot be read in place.
    ///
    /// # Panics
    /// If there are not as many values as the shape says.
    fn borrow_f32(&mut self, shape: Shape, bytes: &'static [u8]) -> Option<Self::Tensor>;
}

/// Runs a model.
pub trait Forward: Device {
    /// What is kept of work that repeats: `()` where nothing is.
    type Recording: Default;
    /// Queues what `work` queues: the same kernels on the same tensors each time that it is called with this recording. After its
    /// first time it allocates nothing and moves nothing to or from the host. So a backend may keep what was queued, and queue
    /// that instead of calling `work`.
    fn repeat(&mut self, recording: &mut Self::Recording, work: impl FnOnce(&mut Self)) {
        let _ = recording;
        work(self);
    }

    /// See [`Embed`].
    fn embed(&mut self, op: Embed<Self::Tensor, Self::Indices>, y: &mut Self::Tensor);
    /// See [`Positions`]; in place.
    fn positions(&mut self, op: Positions<Self::Tensor, Self::Indices>, y: &mut Self::Tensor);
    /// See [`Matmul`].
    fn matmul(&mut self, op: Matmul<Self::Tensor>, y: &mut Self::Tensor);
    /// See [`Norm`].
    fn norm(&mut self, op: Norm<Self::Tensor>, y: &mut Self::Tensor);
    /// See [`Conv`].
    fn conv(&mut self, op: Conv<Self::Tensor>, state: Option<&mut Self::Tensor>, y: &mut Self::Tensor);
    /// See [`Scan`].
    fn scan(
        &mut self,
        op: Scan<Self::Tensor>,
        state: Option<&mut Self::Tensor>,
        saved: Option<&mut Self::Tensor>,
        y: ColumnsMut<Self::Tensor>,
    );
    /// See [`Rotate`]; in place.
    fn rotate(&mut self, op: Rotate<Self::Indices>, x: ColumnsMut<Self::Tensor>);
    /// See [`Attend`].
    fn attend(
        &mut self,
        op: Attend<Self::Tensor>,
        ring: Option<Ring<Self::Tensor, Self::Indices>>,
        saved: Option<&mut Self::Tensor>,
        y: ColumnsMut<Self::Tensor>,
    );
    /// See [`Recall`].
    fn recall(
        &mut self,
        op: Recall<Self::Tensor>,
        state: Option<RecallState<Self::Tensor, Self::Indices>>,
        saved: Option<&mut RecallSaved<Self::Tensor>>,
        y: ColumnsMut<Self::Tensor>,
    );
    /// See [`Hebbian`].
    fn hebbian(&mut self, op: Hebbian<Self::Tensor>, state: Option<HebbianState<Self::Tensor>>, y: ColumnsMut<Self::Tensor>);
    /// See [`Gate`].
    fn gate(&mut self, op: Gate<Self::Tensor>, gates: &mut Self::Tensor);
    /// See [`Mix`].
    fn mix(&mut self, op: Mix<Self::Tensor>, y: &mut Self::Tensor);
    /// See [`Dropout`]; in place. In this rung since forward is written once; only training asks for it.
    fn dropout(&mut self, op: Dropout<Self::Tensor, Self::Indices>, y: &mut Self::Tensor);
    /// See [`Swiglu`].
    fn swiglu(&mut self, op: Swiglu<Self::Tensor>, y: &mut Self::Tensor);
    /// See [`Pool`].
    fn pool(&mut self, op: Pool<Self::Tensor>, state: Option<&mut Self::Tensor>, y: &mut Self::Tensor);
    /// The last position of each sequence: `y[b, 0] = x[b, T−1]`, `[B, T, D]` to `[B, 1, D]`.
    fn last(&mut self, x: &Self::Tensor, y: &mut Self::Tensor);
    /// See [`Average`]; writes `B` rows of `y`.
    fn average(&mut self, op: Average<Self::Tensor>, y: &mut Self::Tensor);
    /// See [`EpisodicStore`]; into a ring of keys `[B, R, m]` and tokens `[B, R]`.
    fn episodic_store(&mut self, op: EpisodicStore<Self::Tensor, Self::Indices>, keys: &mut Self::Tensor, tokens: &mut Self::Tensor);
    /// See [`Episodic`]; `mixture` `[B, T, 2]`, in full precision.
    fn episodic(&mut self, op: Episodic<Self::Tensor, Self::Indices>, mixture: &mut Self::Tensor);
    /// See [`EpisodicLogProbs`]; `weights` `[B, R]` is written (a, zero for what is not seen), `logits` `[B, 1, V]` changed in place.
    fn episodic_log_probs(
        &mut self,
        op: EpisodicLogProbs<Self::Tensor, Self::Indices>,
        weights: &mut Self::Tensor,
        logits: &mut Self::Tensor,
    );
    /// See [`CrossEntropy`]; `scratch` `[rows at a time, V]`, `losses` `[B, T, 3]`.
    fn cross_entropy(&mut self, op: CrossEntropy<Self::Tensor, Self::Indices>, scratch: &mut Self::Tensor, losses: &mut Self::Tensor);
    /// `clock += by` (wrapping), once a chunk is done.
    fn advance(&mut self, by: u32, clock: &mut Self::Indices);
}

/// Trains a model: one gradient for every kernel of [`Forward`], none optional.
pub trait Backward: Forward {
    /// `d_table[token] += dy`.
    fn embed_grad(&mut self, op: Embed<Self::Tensor, Self::Indices>, dy: &Self::Tensor, d_table: &mut Self::Tensor);
    /// `d_table[clock + t] += dy`.
    fn positions_grad(&mut self, op: Positions<Self::Tensor, Self::Indices>, dy: &Self::Tensor, d_table: &mut Self::Tensor);
    /// See [`MatmulGrad`].
    fn matmul_grad(&mut self, op: Matmul<Self::Tensor>, dy: &Self::Tensor, d: MatmulGrad<Self::Tensor>);
    /// `d.x = residual + ∂norm`: `residual` is the gradient that goes past the norm.
    fn norm_grad(&mut self, op: Norm<Self::Tensor>, dy: &Self::Tensor, residual: Option<&Self::Tensor>, d: NormGrad<Self::Tensor>);
    /// See [`ConvGrad`].
    fn conv_grad(&mut self, op: Conv<Self::Tensor>, dy: &Self::Tensor, d: ConvGrad<Self::Tensor>);
    /// See [`ScanGrad`].
    fn scan_grad(&mut self, op: Scan<Self::Tensor>, saved: &Self::Tensor, dy: Columns<Self::Tensor>, d: ScanGrad<Self::Tensor>);
    /// `y` is what [`Forward::attend`] wrote, `d` the gradient of the packed `q | k | v`, written.
    fn attend_grad(
        &mut self,
        op: Attend<Self::Tensor>,
        y: Columns<Self::Tensor>,
        saved: &Self::Tensor,
        dy: Columns<Self::Tensor>,
        d: ColumnsMut<Self::Tensor>,
    );
    /// See [`RecallGrad`].
    fn recall_grad(
        &mut self,
        op: Recall<Self::Tensor>,
        saved: &RecallSaved<Self::Tensor>,
        dy: Columns<Self::Tensor>,
        d: RecallGrad<Self::Tensor>,
    );
    /// See [`HebbianGrad`].
    fn hebbian_grad(&mut self, op: Hebbian<Self::Tensor>, dy: Columns<Self::Tensor>, d: HebbianGrad<Self::Tensor>);
    /// `gates` is what [`Forward::gate`] wrote.
    fn gate_grad(&mut self, op: Gate<Self::Tensor>, gates: &Self::Tensor, dy: &Self::Tensor, d: GateGrad<Self::Tensor>);
    /// See [`MixGrad`].
    fn mix_grad(&mut self, op: Mix<Self::Tensor>, dy: &Self::Tensor, d: MixGrad<Self::Tensor>);
    /// `dx` is the gradient of the packed input, written.
    fn swiglu_grad(&mut self, op: Swiglu<Self::Tensor>, dy: &Self::Tensor, dx: &mut Self::Tensor);
    /// `y` is what [`Forward::pool`] wrote.
    fn pool_grad(&mut self, op: Pool<Self::Tensor>, y: &Self::Tensor, dy: &Self::Tensor, d: PoolGrad<Self::Tensor>);
    /// `dx[b, t] = weights[b, t] · dy[first + b]`, written.
    fn average_grad(&mut self, op: Average<Self::Tensor>, dy: &Self::Tensor, dx: &mut Self::Tensor);
    /// See [`EpisodicGrad`]; `keys` `[B, T, m]` is what [`Forward::episodic_store`] read.
    fn episodic_grad(
        &mut self,
        op: Episodic<Self::Tensor, Self::Indices>,
        keys: &Self::Tensor,
        d_mixture: &Self::Tensor,
        d: EpisodicGrad<Self::Tensor>,
    );
    /// Losses as [`Forward::cross_entropy`], and the gradients in the same pass.
    fn cross_entropy_grad(
        &mut self,
        op: CrossEntropy<Self::Tensor, Self::Indices>,
        scratch: &mut Self::Tensor,
        losses: &mut Self::Tensor,
        d: CrossEntropyGrad<Self::Tensor>,
    );

    /// `dx = mask ∘ dy / (1 − rate)` with the mask of the same draw; the residual's gradient is `dy` itself.
    fn dropout_grad(&mut self, op: Dropout<Self::Tensor, Self::Indices>, dy: &Self::Tensor, dx: &mut Self::Tensor);
    /// Standard normal numbers; number `i` is the one that [`rng::normal`](crate::rng::normal) gives.
    fn normal(&mut self, draw: Draw<Self::Indices>, y: &mut Self::Tensor);
    /// Numbers uniform on `[0, 1)`; number `i` is the one that [`rng::uniform`](crate::rng::uniform) gives.
    fn uniform(&mut self, draw: Draw<Self::Indices>, y: &mut Self::Tensor);
    /// See [`FlowPoint`].
    fn flow_point(&mut self, op: FlowPoint<Self::Tensor, Self::Indices>, point: &mut Self::Tensor, velocity: &mut Self::Tensor);
    /// See [`FlowHidden`].
    fn flow_hidden(&mut self, op: FlowHidden<Self::Tensor>, y: &mut Self::Tensor);
    /// See [`FlowHiddenGrad`].
    fn flow_hidden_grad(&mut self, op: FlowHidden<Self::Tensor>, dy: &Self::Tensor, d: FlowHiddenGrad<Self::Tensor>);
    /// See [`SquaredError`]; `losses` `[B, T, 1]` and `dx`, both written.
    fn squared_error(&mut self, op: SquaredError<Self::Tensor>, losses: &mut Self::Tensor, dx: &mut Self::Tensor);

    /// `y += x`, two tensors of one shape in full precision.
    fn add(&mut self, x: &Self::Tensor, y: &mut Self::Tensor);
    /// `total = Σ x²` over all numbers of these tensors, `total` `[1]`. Of all at once, so that a backend may do so.
    fn sum_squares<'a>(&mut self, of: impl Iterator<Item = &'a Self::Tensor>, total: &mut Self::Tensor)
    where
        Self: 'a;
    /// See [`AdamW`]; on all leaves at once, so that a backend may do so.
    fn adamw<'a>(&mut self, op: AdamW<Self::Tensor>, leaves: impl Iterator<Item = AdamWLeaf<'a, Self::Tensor>>)
    where
        Self: 'a;
    /// See [`Muon`]; on all matrices at once, so that a backend may do so.
    fn muon<'a>(&mut self, op: Muon<Self::Tensor>, leaves: impl Iterator<Item = MuonLeaf<'a, Self::Tensor>>)
    where
        Self: 'a;
}
