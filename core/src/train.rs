//! One step of training: forward, losses, backward, clipping, AdamW, moving average.
//!
//! What all objectives share is here; [`language`] predicts tokens, [`embedding`] makes texts' vectors what they should be.

pub mod embedding;
mod hyper;
pub mod language;
mod losses;

pub use embedding::EmbeddingWorkspace;
pub use hyper::{HyperParams, Trained};
pub use language::LanguageWorkspace;
pub use losses::Losses;

use crate::{
    backend::{Backward, Forward, Precision},
    config::Config,
    error::Error,
    layers::embedding::TABLE,
    model::{self, Params},
    ops::{AdamW, AdamWLeaf},
    schedule,
    shape::Shape,
};
use alloc::{string::String, vec::Vec};

/// Everything that training changes: weights, gradients, both moments, average; and the room `R` that an objective needs for one
/// micro-batch.
pub struct Trainer<B: Backward, R = LanguageWorkspace<B>> {
    /// The machine.
    pub backend: B,
    config: Config,
    hyper: HyperParams,
    /// Steps taken.
    step: u64,
    /// Micro-batches of the step at hand that are done.
    micro: usize,
    train_state: TrainState<B::Tensor>,
    /// Of each leaf: its decay, and its learning rate as a multiple of the schedule's.
    leaves: Vec<[f32; 2]>,
    /// `[1]`: Σ g² of the step last applied
    total: B::Tensor,
    /// `[4]`: what [`AdamW`] reads of the step
    schedule: B::Tensor,
    recorded: Recorded<B>,
    workspace: R,
}

/// What is kept of the parts of a step, each of which is the same work every time.
struct Recorded<B: Forward> {
    /// From a micro-batch in the room to its gradients; of texts, from their pooled states to the gradients of those.
    gradients: B::Recording,
    /// From the gradients to the weights.
    update: B::Recording,
    /// Losses of a micro-batch in the room, with the weights and with their average.
    losses: [B::Recording; 2],
    /// Texts through the model and back.
    parts: embedding::Recorded<B>,
}

impl<B: Forward> Default for Recorded<B> {
    fn default() -> Self {
        Self { gradients: Default::default(), update: Default::default(), losses: Default::default(), parts: Default::default() }
    }
}

/// Five trees of one shape.
pub struct TrainState<T> {
    /// The weights.
    pub weights: Params<T>,
    /// Their gradients.
    pub grads: Params<T>,
    /// First moments.
    pub first: Params<T>,
    /// Second moments.
    pub second: Params<T>,
    /// Moving average of the weights.
    pub ema: Params<T>,
}

impl<T> TrainState<T> {
    /// The five trees by name, as a file that resumes training calls them.
    pub fn named(&self) -> [(&'static str, &Params<T>); 4] {
        [("weights", &self.weights), ("first", &self.first), ("second", &self.second), ("ema", &self.ema)]
    }

    /// What [`AdamW`] changes, tensor by tensor, with decays and rates in the same order.
    fn leaves(&mut self, decays_and_rates: &[[f32; 2]]) -> impl Iterator<Item = AdamWLeaf<'_, T>> {
        let Self { weights, grads, first, second, ema } = self;
        let moments = first.leaves_mut().zip(second.leaves_mut());
        let all = weights.leaves_mut().zip(grads.leaves_mut()).zip(moments).zip(ema.leaves_mut()).zip(decays_and_rates);
        all.map(|((((weight, grad), (first, second)), ema), &[decay, rate])| AdamWLeaf { weight, grad, first, second, ema, decay, rate })
    }

    /// The same, to be read into.
    pub fn named_mut(&mut self) -> [(&'static str, &mut Params<T>); 4] {
        [("weights", &mut self.weights), ("first", &mut self.first), ("second", &mut self.second), ("ema", &mut self.ema)]
    }
}

impl<B: Backward, R> Trainer<B, R> {
    /// A trainer at step 0 with these weights and this room.
    fn with_workspace(mut backend: B, config: Config, hyper: HyperParams, weights: Params<B::Tensor>, workspace: R) -> Result<Self, Error> {
        let b = &mut backend;
        let mut make = || -> Result<_, B::Error> {
            let train_state = [model::zeros(b, &config)?, model::zeros(b, &config)?, model::zeros(b, &config)?, model::zeros(b, &config)?];
            Ok((train_state, b.alloc(Shape::vector(1), Precision::Full)?, b.alloc(Shape::vector(4), Precision::Full)?))
        };
        let ([grads, first, second, mut ema], total, schedule) = make().map_err(Error::device)?;
        for (from, to) in weights.leaves().zip(ema.leaves_mut()) {
            backend.copy(from, to);
        }
        let of_leaf = |(name, shape): &(String, Shape)| {
            if hyper.only == Trained::Episodic && !name.starts_with("episodic.") {
                return [0.0, 0.0];
            }
            let decay = if shape.rank() == 2 && name.ends_with("weight") { hyper.weight_decay } else { 0.0 };
            [decay, if name == TABLE { hyper.embed_lr_scale } else { 1.0 }]
        };
        let leaves = model::shapes(&config).iter().map(of_leaf).collect();
        let train_state = TrainState { weights, grads, first, second, ema };
        Ok(Self {
            backend,
            config,
            hyper,
            step: 0,
            micro: 0,
            train_state,
            leaves,
            total,
            schedule,
            recorded: Recorded::default(),
            workspace,
        })
    }

    /// The key of draw number `draw`: four numbers.
    fn key(&self, draw: u64) -> [u32; 4] {
        [self.hyper.seed as u32, (self.hyper.seed >> 32) as u32, draw as u32, (draw >> 32) as u32]
    }

    /// Steps taken.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Goes on counting from `step`, for a run that is resumed; the trees must be what they were.
    pub fn resume_at(&mut self, step: u64) {
        self.step = step;
    }

    /// The architecture.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How it trains.
    pub fn hyper(&self) -> &HyperParams {
        &self.hyper
    }

    /// Weights, gradients, moments, average.
    pub fn train_state(&self) -> &TrainState<B::Tensor> {
        &self.train_state
    }

    /// Weights, gradients, moments, average, and the machine that holds them.
    pub fn train_state_mut(&mut self) -> (&mut B, &mut TrainState<B::Tensor>) {
        // Whoever is handed the trees may put other tensors there.
        self.recorded = Recorded::default();
        (&mut self.backend, &mut self.train_state)
    }

    /// Applies the gradients that were added up and ends the step.
    ///
    /// # Errors
    /// [`Error::Device`] where the machine fails.
    pub fn apply(&mut self) -> Result<(), Error> {
        let (b, h) = (&mut self.backend, &self.hyper);
        let t = (self.step + 1) as f64;
        let bias = |beta: f32| (1.0 / (1.0 - libm::pow(beta as f64, t))) as f32;
        let now = [h.schedule.lr(self.step), bias(h.beta1), bias(h.beta2), schedule::ema_rate(h.ema, self.step)];
        b.upload(&now, &mut self.schedule).map_err(Error::device)?;
        let (total, schedule, train_state, leaves) = (&mut self.total, &self.schedule, &mut self.train_state, &self.leaves);
        b.repeat(&mut self.recorded.update, |b| {
            b.sum_squares(train_state.grads.leaves(), total);
            let op = AdamW { schedule, total, clip: h.clip, beta1: h.beta1, beta2: h.beta2, eps: h.adam_eps };
            b.adamw(op, train_state.leaves(leaves));
        });
        self.step += 1;
        self.micro = 0;
        Ok(())
    }

    /// Norm of the gradient of the step last [applied](Self::apply), before clipping. Waits for the device.
    ///
    /// # Errors
    /// [`Error::Device`] where the machine fails.
    pub fn grad_norm(&mut self) -> Result<f32, Error> {
        let mut total = [0.0];
        self.backend.download(&self.total, &mut total).map_err(Error::device)?;
        Ok(libm::sqrtf(total[0]))
    }
}
