//! One step of training: forward, losses, backward, clipping, AdamW or Muon, moving average.
//!
//! What all objectives share is here; [`language`] predicts tokens, [`embedding`] makes texts' vectors what they should be.

pub mod embedding;
mod hyper;
pub mod language;
mod losses;
mod muon;
mod outer;
mod sums;

pub use embedding::EmbeddingWorkspace;
pub use hyper::{HyperParams, Optimizer, Rank, Trained};
pub use language::LanguageWorkspace;
pub use losses::Losses;
pub use outer::Outer;
use sums::Sums;
pub use sums::partial_sums;

use crate::{
    backend::{Backward, Device, Forward, Precision},
    config::Config,
    error::Error,
    layers::{embedding::TABLE, episodic},
    model::{self, Params},
    ops::{AdamW, AdamWLeaf, Muon, MuonLeaf, Rectangle},
    schedule,
    shape::Shape,
};
use alloc::vec::Vec;

/// Smallest norm that Muon divides an update by, as in PyTorch.
const MUON_EPS: f32 = 1e-7;

/// Everything that training changes: weights, gradients, both moments, average; and the room `R` that an objective needs for one
/// micro-batch.
pub struct Trainer<B: Backward, R = LanguageWorkspace<B>> {
    /// The machine.
    pub backend: B,
    config: Config,
    hyper: HyperParams,
    /// Steps taken.
    step: u64,
    /// Number of the next micro-batch of the step at hand, counted over all ranks.
    micro: usize,
    train_state: TrainState<B::Tensor>,
    sums: Sums<B::Tensor>,
    /// With local steps.
    outer: Option<Outer>,
    leaves: Vec<LeafPlan>,
    /// `[1]`: Σ g² of the step last applied
    total: B::Tensor,
    /// `[4]`: what [`AdamW`] reads of the step
    schedule: B::Tensor,
    recorded: Recorded<B>,
    workspace: R,
}

/// The tensors of an objective's micro-batch.
pub trait Workspace<B: Device> {
    /// The episodic memory that runs on from one micro-batch to the next, where there is one: all that a step leaves to later ones
    /// beside the [`TrainState`].
    fn memory_mut(&mut self) -> Option<&mut episodic::State<B::Tensor, B::Indices>> {
        None
    }
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

/// How the optimiser treats a tensor.
struct LeafPlan {
    /// Decoupled weight decay.
    decay: f32,
    /// Learning rate, as a multiple of the schedule's.
    rate: f32,
    /// The matrices that Muon orthogonalises; `None` where AdamW updates the tensor.
    muon: Option<Vec<Rectangle>>,
}

impl LeafPlan {
    fn new(c: &Config, h: &HyperParams, name: &str, shape: Shape) -> Self {
        if h.only == Trained::Episodic && !name.starts_with("episodic.") {
            return Self { decay: 0.0, rate: 0.0, muon: None };
        }
        match muon_parts(c, h, name, shape) {
            Some(parts) => Self { decay: h.muon_weight_decay, rate: h.muon_lr / h.schedule.peak_lr, muon: Some(parts) },
            None => Self {
                decay: if shape.rank() == 2 && name.ends_with("weight") { h.weight_decay } else { 0.0 },
                rate: if name == TABLE { h.embed_lr_scale } else { 1.0 },
                muon: None,
            },
        }
    }
}

fn muon_parts(c: &Config, h: &HyperParams, name: &str, shape: Shape) -> Option<Vec<Rectangle>> {
    if h.optimizer == Optimizer::Muon && h.only == Trained::All { muon::parts(c, name, shape) } else { None }
}

/// Second moments of a model, all zeros. Muon has none: its tensors are of one element.
///
/// # Errors
/// The device's, where it has no memory.
pub fn second_moments<B: Device>(b: &mut B, c: &Config, h: &HyperParams) -> Result<Params<B::Tensor>, B::Error> {
    Params::new(c, &mut |name, shape| {
        let shape = if muon_parts(c, h, name, shape).is_some() { Shape::vector(1) } else { shape };
        b.alloc(shape, Precision::Full)
    })
}

/// Five trees with the same leaves, of one shape each, except [`second_moments`] that Muon has no use for.
pub struct TrainState<T> {
    /// The weights.
    pub weights: Params<T>,
    /// Their gradients.
    pub grads: Params<T>,
    /// First moments; momentum of Muon.
    pub first: Params<T>,
    /// Second moments, see [`second_moments`].
    pub second: Params<T>,
    /// Moving average of the weights.
    pub ema: Params<T>,
}

impl<T> TrainState<T> {
    /// The five trees by name, as a file that resumes training calls them.
    pub fn named(&self) -> [(&'static str, &Params<T>); 4] {
        [("weights", &self.weights), ("first", &self.first), ("second", &self.second), ("ema", &self.ema)]
    }

    /// What the optimiser changes, tensor by tensor, and how.
    fn leaves<'a>(&'a mut self, plans: &'a [LeafPlan]) -> impl Iterator<Item = (AdamWLeaf<'a, T>, &'a LeafPlan)> {
        let Self { weights, grads, first, second, ema } = self;
        let moments = first.leaves_mut().zip(second.leaves_mut());
        let all = weights.leaves_mut().zip(grads.leaves_mut()).zip(moments).zip(ema.leaves_mut()).zip(plans);
        all.map(|((((weight, grad), (first, second)), ema), plan)| {
            (AdamWLeaf { weight, grad, first, second, ema, decay: plan.decay, rate: plan.rate }, plan)
        })
    }

    /// What [`AdamW`] changes.
    fn adamw<'a>(&'a mut self, plans: &'a [LeafPlan]) -> impl Iterator<Item = AdamWLeaf<'a, T>> {
        self.leaves(plans).filter_map(|(leaf, plan)| plan.muon.is_none().then_some(leaf))
    }

    /// What [`Muon`] changes.
    fn muon<'a>(&'a mut self, plans: &'a [LeafPlan]) -> impl Iterator<Item = MuonLeaf<'a, T>> {
        self.leaves(plans).filter_map(|(leaf, plan)| {
            let AdamWLeaf { weight, grad, first, ema, decay, rate, .. } = leaf;
            plan.muon.as_ref().map(|parts| MuonLeaf { weight, grad, momentum: first, ema, decay, rate, parts })
        })
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
            let train_state =
                [model::zeros(b, &config)?, model::zeros(b, &config)?, second_moments(b, &config, &hyper)?, model::zeros(b, &config)?];
            let sums = Sums::new(b, &config, &hyper)?;
            Ok((train_state, sums, b.alloc(Shape::vector(1), Precision::Full)?, b.alloc(Shape::vector(4), Precision::Full)?))
        };
        let ([grads, first, second, mut ema], sums, total, schedule) = make().map_err(Error::device)?;
        for (from, to) in weights.leaves().zip(ema.leaves_mut()) {
            backend.copy(from, to);
        }
        let local = hyper.local_steps > 0;
        let outer = if local { Some(Outer::new(&mut backend, &weights).map_err(Error::device)?) } else { None };
        let leaves = model::shapes(&config).iter().map(|(name, shape)| LeafPlan::new(&config, &hyper, name, *shape)).collect();
        let train_state = TrainState { weights, grads, first, second, ema };
        Ok(Self {
            micro: hyper.share().start,
            backend,
            config,
            hyper,
            step: 0,
            train_state,
            sums,
            outer,
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

    /// What a stopped run saves and a resumed one restores: the trees, the memory that [runs on](Workspace::memory_mut), and the
    /// machine that holds them.
    #[expect(clippy::type_complexity, reason = "three parts that are borrowed together, and apart from each other")]
    pub fn resume_state_mut(&mut self) -> (&mut B, &mut TrainState<B::Tensor>, Option<&mut episodic::State<B::Tensor, B::Indices>>)
    where
        R: Workspace<B>,
    {
        self.recorded = Recorded::default();
        (&mut self.backend, &mut self.train_state, self.workspace.memory_mut())
    }

    /// Applies the gradients that were added up and ends the step: those of this process, or after
    /// [`all_reduce`](Self::all_reduce) those of all ranks.
    ///
    /// # Errors
    /// [`Error::Device`] where the machine fails.
    pub fn apply(&mut self) -> Result<(), Error> {
        let (b, h) = (&mut self.backend, &self.hyper);
        let t = (self.step + 1) as f64;
        let bias = |beta: f32| (1.0 / (1.0 - libm::pow(beta as f64, t))) as f32;
        let now = [h.schedule.lr(self.step), bias(h.beta1), bias(h.beta2), schedule::ema_rate(h.ema, self.step)];
        b.upload(&now, &mut self.schedule).map_err(Error::device)?;
        self.sums.close(b, &mut self.train_state.grads);
        let (total, schedule, train_state, leaves) = (&mut self.total, &self.schedule, &mut self.train_state, &self.leaves);
        b.repeat(&mut self.recorded.update, |b| {
            b.sum_squares(train_state.grads.leaves(), total);
            let op = AdamW { schedule, total, clip: h.clip, beta1: h.beta1, beta2: h.beta2, eps: h.adam_eps };
            b.adamw(op, train_state.adamw(leaves));
            if h.optimizer == Optimizer::Muon {
                let (momentum, steps) = (h.muon_momentum, h.muon_ns_steps);
                let op = Muon { schedule, total, clip: h.clip, momentum, eps: MUON_EPS, steps };
                b.muon(op, train_state.muon(leaves));
            }
        });
        self.step += 1;
        self.micro = self.hyper.share().start;
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
