//! How a model is trained.

use crate::{
    collective::share,
    config::Config,
    error::{ConfigError, Error},
    schedule::Schedule,
};
use alloc::{format, string::String};
use core::ops::Range;

/// Which weights training changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Trained {
    /// All of them.
    #[default]
    All,
    /// Those of the episodic memory; the others stay as they are.
    Episodic,
}

/// Most Newton-Schulz steps: as in PyTorch, below a hundred.
const MAX_NS_STEPS: usize = 99;

/// What updates the weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Optimizer {
    /// [`AdamW`](crate::ops::AdamW) on all tensors.
    #[default]
    AdamW,
    /// [`Muon`](crate::ops::Muon) on the matrices of the blocks, AdamW on the others: embeddings, vectors, convolutions, gates.
    Muon,
}

/// Which of the processes that train a model together this one is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rank {
    /// Its number, below `size`.
    pub rank: usize,
    /// Number of processes.
    pub size: usize,
}

impl Default for Rank {
    /// One process by itself.
    fn default() -> Self {
        Self { rank: 0, size: 1 }
    }
}

/// What training minimises and how.
#[derive(Clone, Debug, PartialEq)]
pub struct HyperParams {
    /// What updates the weights.
    pub optimizer: Optimizer,
    /// Learning rate over time: AdamW's.
    pub schedule: Schedule,
    /// β₁
    pub beta1: f32,
    /// β₂
    pub beta2: f32,
    /// AdamW's ε
    pub adam_eps: f32,
    /// Largest learning rate of Muon, where the schedule has its own.
    pub muon_lr: f32,
    /// μ of Muon
    pub muon_momentum: f32,
    /// Decoupled decay of the matrices that Muon updates.
    pub muon_weight_decay: f32,
    /// Newton-Schulz steps of Muon.
    pub muon_ns_steps: usize,
    /// Rate of the weights' moving average, reached after a warm-up; 0 is the weights themselves.
    pub ema: f32,
    /// Decoupled decay of the matrices that AdamW updates; vectors have none.
    pub weight_decay: f32,
    /// Learning rate of the token embedding, as a multiple of the others': its rows are met seldom, and are small beside what the
    /// blocks add to them.
    pub embed_lr_scale: f32,
    /// Max gradient norm; 0 disables clipping.
    pub clip: f32,
    /// Probability of dropout on the embedding and both residual branches.
    pub dropout: f32,
    /// ε of label smoothing.
    pub smoothing: f32,
    /// λ of the z-loss.
    pub z_weight: f32,
    /// λ of the rectified-flow head.
    pub flow_weight: f32,
    /// Which weights are trained.
    pub only: Trained,
    /// Items of the episodic memory from before the sequence, which the rows of a batch must continue; 0 is a memory that begins with
    /// each sequence.
    pub episodic_items: usize,
    /// Micro-batches that one step adds up, those of all ranks together.
    pub accumulate: usize,
    /// Which of these this process computes, see [`share`](Self::share).
    pub rank: Rank,
    /// Steps that ranks make apart before they move together, see [`outer_step`](super::Trainer::outer_step); 0 sums gradients
    /// over the ranks in each step.
    pub local_steps: usize,
    /// η of the outer step.
    pub outer_lr: f32,
    /// μ of the outer step.
    pub outer_momentum: f32,
    /// Keep only the inputs of blocks and recompute the rest for the gradient: the same numbers with less memory and more time.
    pub recompute: bool,
    /// Seeds dropout and noise.
    pub seed: u64,
}

impl Default for HyperParams {
    /// AdamW as it is usual, a constant rate of 1e-3, and no regulariser but the decay of weights.
    fn default() -> Self {
        Self {
            optimizer: Optimizer::AdamW,
            schedule: Schedule { peak_lr: 1e-3, min_lr: 1e-3, warmup: 0, steps: 1 },
            beta1: 0.9,
            beta2: 0.99,
            adam_eps: 1e-8,
            muon_lr: 0.02,
            muon_momentum: 0.95,
            muon_weight_decay: 0.1,
            muon_ns_steps: 5,
            ema: 0.0,
            weight_decay: 0.1,
            embed_lr_scale: 1.0,
            clip: 1.0,
            dropout: 0.0,
            smoothing: 0.0,
            z_weight: 0.0,
            flow_weight: 0.0,
            only: Trained::All,
            episodic_items: 0,
            accumulate: 1,
            rank: Rank::default(),
            local_steps: 0,
            outer_lr: 0.7,
            outer_momentum: 0.9,
            recompute: false,
            seed: 1,
        }
    }
}

impl HyperParams {
    /// Micro-batches whose mean a step minimises: those of all ranks, or in local steps those of this one.
    pub(super) fn terms(&self) -> usize {
        if self.local_steps > 0 { self.share().len() } else { self.accumulate }
    }

    /// Numbers of the micro-batches of a step that this process computes.
    pub fn share(&self) -> Range<usize> {
        share(self.accumulate, self.rank.rank, self.rank.size)
    }

    /// Says what is wrong with hyper-parameters, field by field.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first invalid field, its value, and what it must be.
    pub fn validate(&self, c: &Config) -> Result<(), Error> {
        self.schedule.validate()?;
        let fail = |what: String| Err(ConfigError::Contradiction(what).into());
        for (name, value, below) in [
            ("beta1", self.beta1, 1.0),
            ("beta2", self.beta2, 1.0),
            ("dropout", self.dropout, 1.0),
            ("smoothing", self.smoothing, 1.0),
            ("ema", self.ema, 1.0),
            ("adam_eps", self.adam_eps, 1.0),
            ("weight_decay", self.weight_decay, 1e3),
            ("muon_lr", self.muon_lr, 1e3),
            ("muon_momentum", self.muon_momentum, 1.0),
            ("muon_weight_decay", self.muon_weight_decay, 1e3),
            ("embed_lr_scale", self.embed_lr_scale, 1e3),
            ("outer_lr", self.outer_lr, 1e3),
            ("outer_momentum", self.outer_momentum, 1.0),
            ("clip", self.clip, f32::INFINITY),
            ("z_weight", self.z_weight, 1e3),
            ("flow_weight", self.flow_weight, 1e3),
        ] {
            if !(value >= 0.0 && value < below) {
                return Err(ConfigError::field(name, value, format_args!("at least 0 and below {below}")).into());
            }
        }
        if self.flow_weight > 0.0 && c.flow_hidden == 0 {
            return fail(format!(
                "flow_weight is {} but the model has no rectified-flow head: set flow_hidden, or flow_weight to 0",
                self.flow_weight
            ));
        }
        if c.episodic_width == 0 && (self.only == Trained::Episodic || self.episodic_items > 0) {
            return fail("the model has no episodic memory to train: set episodic_width".into());
        }
        if self.only == Trained::Episodic && self.flow_weight > 0.0 {
            return fail("a rectified-flow head is not trained with the episodic memory alone: set flow_weight to 0".into());
        }
        if !(1..=MAX_NS_STEPS).contains(&self.muon_ns_steps) {
            return Err(ConfigError::field("muon_ns_steps", self.muon_ns_steps, format_args!("between 1 and {MAX_NS_STEPS}")).into());
        }
        if self.accumulate == 0 {
            return Err(ConfigError::field("accumulate", 0, "at least 1").into());
        }
        let Rank { rank, size } = self.rank;
        if rank >= size {
            return fail(format!("rank is {rank}, but there are {size} ranks, counted from 0"));
        }
        if self.accumulate < size {
            return fail(format!(
                "a step has {} micro-batches, too few for {size} ranks: increase accumulate, or use fewer ranks",
                self.accumulate
            ));
        }
        if self.episodic_items > 0 && size > 1 {
            return fail(format!(
                "with episodic_items each micro-batch continues the one before it, which {size} ranks cannot: use one, or set it to 0"
            ));
        }
        Ok(())
    }
}
