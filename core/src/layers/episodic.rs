//! Episodic memory: a Hopfield memory over the whole stream that writes into the output distribution. Its items pair the hidden
//! state of a position with the token that came next; see [`Episodic`].

use super::{ChunkShape, WithGrad, tree::tree};
use crate::{
    backend::{Backward, Device, Forward, Precision},
    config::Config,
    ops::*,
    shape::{Shape, Shaped},
};

tree! {
    /// Weights of the memory.
    pub struct Params(c: &Config; leaf) {
        /// `[m, D]`: from hidden states to keys
        key: T as leaf = leaf("episodic.key.weight", Shape::matrix(c.episodic_width, c.width))?,
        /// `[1]`: log β, inverse temperature of the look-up
        log_beta: T as leaf = leaf("episodic.log_beta", Shape::vector(1))?,
        /// `[D]`: from hidden states to the gate
        gate: T as leaf = leaf("episodic.gate.weight", Shape::vector(c.width))?,
        /// `[1]`: weight of the best match in the gate
        match_weight: T as leaf = leaf("episodic.gate.match", Shape::vector(1))?,
        /// `[1]`: bias of the gate
        gate_bias: T as leaf = leaf("episodic.gate.bias", Shape::vector(1))?,
    }
}

/// Activations of a chunk.
pub struct Acts<T> {
    /// `[B, T, m]`: keys before they are made unit vectors
    pub keys: T,
    /// `[B, T, 1]`: the gate's logit without the best match
    pub gate: T,
    /// `[B, T, 2]`: log(1 − g) and log g M, see [`Episodic`]
    pub mixture: T,
}

/// The items, of all sequences of a batch.
pub struct State<T, I> {
    /// `[B, R, m]`: unit keys
    pub keys: T,
    /// `[B, R]`: the tokens that followed
    pub tokens: T,
    /// `[1]`: how many positions the memory has seen
    pub clock: I,
    /// How many items a position sees; 0 means all that the ring holds.
    pub window: usize,
}

impl<T> Params<T> {
    fn key<'a>(&'a self, hidden: &'a T) -> Matmul<'a, T> {
        Matmul::new(hidden, &self.key)
    }
    fn gate<'a>(&'a self, hidden: &'a T) -> Matmul<'a, T> {
        Matmul { x: hidden, w: &self.gate, bias: Some(&self.gate_bias), add: None }
    }
}

impl<T> Acts<T> {
    /// Allocates the activations of a chunk.
    ///
    /// # Errors
    /// Those of the device, where it is out of memory.
    pub fn new<B: Device<Tensor = T>>(b: &mut B, c: &Config, x: ChunkShape) -> Result<Self, B::Error> {
        Ok(Self { keys: x.full(b, c.episodic_width)?, gate: x.full(b, 1)?, mixture: x.full(b, 2)? })
    }
}

impl<T, I> State<T, I> {
    tree!(leaves(keys as leaf, tokens as leaf,));

    /// An empty memory for chunks of at most `x` that continue sequences: a position sees `earlier` items. With 0 it is for sequences
    /// of one chunk, and a position sees the configuration's window.
    ///
    /// # Errors
    /// Those of the device, where it is out of memory.
    pub fn new<B: Device<Tensor = T, Indices = I>>(b: &mut B, c: &Config, x: ChunkShape, earlier: usize) -> Result<Self, B::Error> {
        let (batch, rows) = (x.batch, earlier.saturating_add(x.time));
        let window = if earlier > 0 { earlier } else { c.episodic_window };
        Ok(Self {
            window,
            keys: b.alloc(Shape::cube(batch, rows, c.episodic_width), Precision::Full)?,
            tokens: b.alloc(Shape::matrix(batch, rows), Precision::Full)?,
            clock: b.alloc_indices(Shape::vector(1))?,
        })
    }

    fn items(&self) -> EpisodicItems<'_, T> {
        EpisodicItems { keys: &self.keys, tokens: &self.tokens }
    }

    fn op<'a>(&'a self, p: &'a Params<T>, gate: &'a T, targets: &'a I) -> Episodic<'a, T, I> {
        let (items, clock) = (self.items(), Some(&self.clock));
        Episodic { items, gate, log_beta: &p.log_beta, match_weight: &p.match_weight, targets, clock, window: self.window }
    }
}

/// Stores a chunk of normalised hidden states `[B, T, D]` with its tokens `[B, T]`. The caller [advances](advance) the clock, once
/// nothing more is asked about this chunk.
pub fn store<B: Forward>(
    b: &mut B,
    p: &Params<B::Tensor>,
    s: &mut State<B::Tensor, B::Indices>,
    keys: &mut B::Tensor,
    hidden: &B::Tensor,
    tokens: &B::Indices,
) {
    b.matmul(p.key(hidden), keys);
    b.episodic_store(EpisodicStore { keys, tokens, clock: Some(&s.clock) }, &mut s.keys, &mut s.tokens);
}

/// Moves the clock past a chunk of `time` positions.
pub fn advance<B: Forward>(b: &mut B, s: &mut State<B::Tensor, B::Indices>, time: usize) {
    b.advance(time as u32, &mut s.clock);
}

/// [Stores](store) a chunk and leaves in `a.mixture` what the memory says of the targets `[B, T]`.
pub fn forward<B: Forward>(
    b: &mut B,
    p: &Params<B::Tensor>,
    s: &mut State<B::Tensor, B::Indices>,
    a: &mut Acts<B::Tensor>,
    hidden: &B::Tensor,
    [tokens, targets]: [&B::Indices; 2],
) {
    store(b, p, s, &mut a.keys, hidden, tokens);
    b.matmul(p.gate(hidden), &mut a.gate);
    b.episodic(s.op(p, &a.gate, targets), &mut a.mixture);
}

/// [`forward`] read upwards, from the gradient in `a.grad.mixture`; adds to the gradient of the hidden states, if there is one.
/// The state is as [`forward`] left it, the clock not advanced.
pub fn backward<B: Backward>(
    b: &mut B,
    p: WithGrad<Params<B::Tensor>>,
    s: &State<B::Tensor, B::Indices>,
    a: WithGrad<Acts<B::Tensor>>,
    (hidden, mut d_hidden): (&B::Tensor, Option<&mut B::Tensor>),
    targets: &B::Indices,
) {
    let WithGrad { value: p, grad: dp } = p;
    let d = EpisodicGrad { keys: &mut a.grad.keys, gate: &mut a.grad.gate, log_beta: &mut dp.log_beta, match_weight: &mut dp.match_weight };
    b.episodic_grad(s.op(p, &a.value.gate, targets), &a.value.keys, &a.grad.mixture, d);
    let x = d_hidden.as_deref_mut().map_or(GradOut::Skip, GradOut::Add);
    b.matmul_grad(p.gate(hidden), &a.grad.gate, MatmulGrad { x, w: &mut dp.gate, bias: Some(&mut dp.gate_bias) });
    let x = d_hidden.map_or(GradOut::Skip, GradOut::Add);
    b.matmul_grad(p.key(hidden), &a.grad.keys, MatmulGrad { x, w: &mut dp.key, bias: None });
}

/// Turns logits `[B, 1, V]` into the log-probabilities of model and memory together, from the hidden state `[B, 1, D]` of the newest
/// position, which was stored and counted. Leaves in `weights`, `[B, R]`, how much each item had to say.
pub fn log_probs<B: Forward>(
    b: &mut B,
    p: &Params<B::Tensor>,
    s: &State<B::Tensor, B::Indices>,
    hidden: &B::Tensor,
    read: &mut Read<B::Tensor>,
    logits: &mut B::Tensor,
) {
    b.matmul(p.gate(hidden), &mut read.gate);
    let (items, clock, window) = (s.items(), &s.clock, s.window);
    let op = EpisodicLogProbs { items, gate: &read.gate, log_beta: &p.log_beta, match_weight: &p.match_weight, clock, window };
    b.episodic_log_probs(op, &mut read.weights, logits);
}

/// What a look-up for the next token leaves.
pub struct Read<T> {
    /// `[B, 1, 1]`: the gate's logit without the best match
    pub gate: T,
    /// `[B, R]`: the weight of each item, which sum to 1 unless the memory is empty
    pub weights: T,
}

impl<T> Read<T> {
    /// Allocates it.
    ///
    /// # Errors
    /// Those of the device, where it is out of memory.
    pub fn new<B: Device<Tensor = T, Indices = I>, I>(b: &mut B, s: &State<T, I>) -> Result<Self, B::Error>
    where
        T: Shaped,
    {
        let weights = s.tokens.shape();
        Ok(Self { gate: b.alloc(Shape::cube(weights.rows(), 1, 1), Precision::Full)?, weights: b.alloc(weights, Precision::Full)? })
    }
}
