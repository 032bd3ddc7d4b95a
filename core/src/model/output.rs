//! The output distribution: the LM head and, where a model has one, the episodic memory.

use super::Params;
use crate::{
    backend::{Backward, Device, Forward},
    config::Config,
    layers::{
        ChunkShape, WithGrad,
        episodic::{self, State},
        lm_head::{self, Loss},
        tree::when,
    },
};

/// Activations between the hidden states of a chunk and its losses.
pub struct Output<T> {
    head: lm_head::Acts<T>,
    episodic: Option<episodic::Acts<T>>,
    scratch: T,
    /// `[B, T, 3]`: nll, z and smooth of each row, see [`CrossEntropy`](crate::ops::CrossEntropy)
    pub losses: T,
}

/// Gradients of [`Output`]'s activations.
pub struct OutputGrad<T> {
    head: lm_head::Acts<T>,
    episodic: Option<episodic::Acts<T>>,
}

/// Weights of the losses, see [`Loss`].
#[derive(Clone, Copy, Debug)]
pub struct LossWeights {
    /// ε of label smoothing.
    pub smoothing: f32,
    /// λ of the z-loss.
    pub z_weight: f32,
    /// 1, or 1 over the number of accumulated micro-batches.
    pub scale: f32,
}

impl LossWeights {
    /// The nll alone.
    pub const EVALUATION: Self = Self { smoothing: 0.0, z_weight: 0.0, scale: 1.0 };
}

/// Ids of a chunk, `[B, T]` each.
#[derive(Debug)]
pub struct Ids<'a, I> {
    /// What the model reads.
    pub tokens: &'a I,
    /// What it should predict.
    pub targets: &'a I,
}

impl<I> Clone for Ids<'_, I> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<I> Copy for Ids<'_, I> {}

/// The items of an episodic memory on a backend.
pub type Memory<B> = State<<B as Device>::Tensor, <B as Device>::Indices>;

/// An empty episodic memory for chunks of `x`, if the model has one; see [`State::new`].
///
/// # Errors
/// Those of the device, where it is out of memory.
pub fn memory<B: Device>(b: &mut B, c: &Config, x: ChunkShape, earlier: usize) -> Result<Option<Memory<B>>, B::Error> {
    when(c.episodic_width > 0, || State::new(b, c, x, earlier))
}

impl<T> OutputGrad<T> {
    /// Allocates the gradients of a chunk.
    ///
    /// # Errors
    /// Those of the device, where it is out of memory.
    pub fn new<B: Device<Tensor = T>>(b: &mut B, c: &Config, x: ChunkShape) -> Result<Self, B::Error> {
        let episodic = when(c.episodic_width > 0, || episodic::Acts::new(b, c, x))?;
        Ok(Self { head: lm_head::Acts::new(b, c, x)?, episodic })
    }
}

impl<T> Output<T> {
    /// Allocates the activations of a chunk.
    ///
    /// # Errors
    /// Those of the device, where it is out of memory.
    pub fn new<B: Device<Tensor = T>>(b: &mut B, c: &Config, x: ChunkShape) -> Result<Self, B::Error> {
        let OutputGrad { head, episodic } = OutputGrad::new(b, c, x)?;
        Ok(Self { head, episodic, scratch: lm_head::scratch(b, c, x)?, losses: x.full(b, 3)? })
    }

    /// What the loss kernels take, for given targets.
    fn loss<'a, I>(mixture: Option<&'a T>, targets: &'a I, w: LossWeights, scratch: &'a mut T, losses: &'a mut T) -> Loss<'a, T, I> {
        let LossWeights { smoothing, z_weight, scale } = w;
        Loss { targets, mixture, smoothing, z_weight, scale, scratch, losses }
    }

    /// Losses of a chunk of normalised hidden states `[B, T, D]`, left in `self.losses`. The memory, present where the model has one,
    /// stores the chunk; its clock is left to the caller.
    pub fn losses<B: Forward<Tensor = T>>(
        &mut self,
        b: &mut B,
        p: &Params<T>,
        memory: Option<&mut State<T, B::Indices>>,
        hidden: &T,
        ids: Ids<'_, B::Indices>,
    ) {
        self.recall(b, p, memory, hidden, ids);
        let mixture = self.episodic.as_ref().map(|a| &a.mixture);
        let loss = Self::loss(mixture, ids.targets, LossWeights::EVALUATION, &mut self.scratch, &mut self.losses);
        lm_head::losses(b, &p.embedding, &mut self.head, hidden, loss);
    }

    fn recall<B: Forward<Tensor = T>>(
        &mut self,
        b: &mut B,
        p: &Params<T>,
        memory: Option<&mut State<T, B::Indices>>,
        hidden: &T,
        ids: Ids<'_, B::Indices>,
    ) {
        if let (Some(a), Some(p)) = (&mut self.episodic, &p.episodic) {
            let memory = memory.expect("a model with an episodic memory has a state of it");
            episodic::forward(b, p, memory, a, hidden, [ids.tokens, ids.targets]);
        }
    }

    /// [`losses`](Self::losses) and all gradients: writes that of the hidden states, adds to those of the weights.
    pub fn gradients<B: Backward<Tensor = T>>(
        &mut self,
        d: &mut OutputGrad<T>,
        b: &mut B,
        p: WithGrad<Params<T>>,
        mut memory: Option<&mut State<T, B::Indices>>,
        hidden: WithGrad<T>,
        (ids, weights): (Ids<'_, B::Indices>, LossWeights),
    ) {
        let WithGrad { value: p, grad: dp } = p;
        self.recall(b, p, memory.as_deref_mut(), hidden.value, ids);
        lm_head::project(b, &p.embedding, &mut self.head, hidden.value);
        let mixture = self.episodic.as_ref().map(|a| &a.mixture);
        let loss = Self::loss(mixture, ids.targets, weights, &mut self.scratch, &mut self.losses);
        let head = WithGrad { value: &self.head, grad: &mut d.head };
        let embedding = WithGrad { value: &p.embedding, grad: &mut dp.embedding };
        let to = WithGrad { value: hidden.value, grad: &mut *hidden.grad };
        lm_head::backward(b, embedding, head, to, loss, d.episodic.as_mut().map(|d| &mut d.mixture));
        self.memory_gradients(d, b, WithGrad { value: p, grad: dp }, memory, (hidden.value, Some(hidden.grad)), ids);
    }

    /// [`losses`](Self::losses) and the gradients of the memory's weights alone, all others being frozen.
    pub fn gradients_of_memory<B: Backward<Tensor = T>>(
        &mut self,
        d: &mut OutputGrad<T>,
        b: &mut B,
        p: WithGrad<Params<T>>,
        mut memory: Option<&mut State<T, B::Indices>>,
        hidden: &T,
        (ids, weights): (Ids<'_, B::Indices>, LossWeights),
    ) {
        self.recall(b, p.value, memory.as_deref_mut(), hidden, ids);
        if let (Some(a), Some(d)) = (&self.episodic, &mut d.episodic) {
            let loss = Self::loss(Some(&a.mixture), ids.targets, weights, &mut self.scratch, &mut self.losses);
            lm_head::mixture_grad(b, &p.value.embedding, &mut self.head, hidden, loss, &mut d.mixture);
        }
        self.memory_gradients(d, b, p, memory, (hidden, None), ids);
    }

    fn memory_gradients<B: Backward<Tensor = T>>(
        &mut self,
        d: &mut OutputGrad<T>,
        b: &mut B,
        p: WithGrad<Params<T>>,
        memory: Option<&mut State<T, B::Indices>>,
        hidden: (&T, Option<&mut T>),
        ids: Ids<'_, B::Indices>,
    ) {
        let weights = (&p.value.episodic, &mut p.grad.episodic);
        if let (Some(a), Some(d), Some(memory), (Some(p), Some(dp))) = (&self.episodic, &mut d.episodic, memory, weights) {
            let (p, a) = (WithGrad { value: p, grad: dp }, WithGrad { value: a, grad: d });
            episodic::backward(b, p, memory, a, hidden, ids.targets);
        }
    }
}
