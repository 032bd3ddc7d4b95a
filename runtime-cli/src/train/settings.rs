//! The hyper-parameters of training, listed once: flags, fields of a configuration file, defaults, and values for the trainer.

use crate::data::WindowOrder;
use hh_core::config::Config;
use hh_core::schedule::Schedule;
use hh_core::train::{self, HyperParams, Trained};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Generates [`TrainOptions`] and [`Settings`] from one list.
///
/// An entry is `kind name: Type = default`, preceded by the help and the `arg` attribute of its flag. Kind `trainer` is also a
/// field of [`HyperParams`], kind `run` is not. A default may use `model` and the values of entries above it. `=>` adds serde
/// attributes to the field of [`Settings`].
macro_rules! hyper_parameters {
    ($model:ident; $($(#[doc = $doc:expr])+ #[arg $arg:tt] $kind:ident $name:ident: $Type:ty = $default:expr $(=> $(#[$saved:meta])+)?;)*) => {
        /// Hyper-parameters, as flags and as the `[train]` section of a configuration; absent values have defaults.
        #[derive(clap::Args, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
        #[command(next_help_heading = "Training")]
        #[serde(default, deny_unknown_fields)]
        pub struct TrainOptions {
            /// Initialise the weights from a checkpoint or run; its model and tokenizer become the defaults
            #[arg(long, value_name = "FILE")]
            #[serde(skip_serializing_if = "Option::is_none")]
            pub from: Option<PathBuf>,
            $(
                $(#[doc = $doc])+
                #[arg $arg]
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $name: Option<$Type>,
            )*
        }

        /// All hyper-parameters, each with its value.
        #[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
        pub struct Settings {
            /// The checkpoint or run that the weights are initialised from.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub from: Option<PathBuf>,
            $(
                $(#[doc = $doc])+
                $($(#[$saved])+)?
                pub $name: $Type,
            )*
        }

        impl TrainOptions {
            /// The given floating-point values. [`first_wins`](super::options::first_wins) drops values that are not finite, so
            /// check them before.
            pub(super) fn numbers(&self) -> Vec<(&'static str, f64)> {
                let all = [$((stringify!($name), self.$name.and_then(Value::real))),*];
                all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
            }
        }

        impl TrainOptions {
            /// Gives a recipe that a run has written, and that names no order of windows, the one that there was.
            pub(super) fn with_windows_of_old_runs(mut self) -> Self {
                if self.windows.is_none() && is_written(&self) {
                    self.windows = Some(at_random());
                }
                self
            }
        }

        impl Settings {
            /// The values of the options, with defaults for a run of this model.
            pub(super) fn new(o: &TrainOptions, $model: &Config) -> Self {
                $(let $name = o.$name.unwrap_or($default);)*
                Self { from: o.from.clone(), $($name),* }
            }

            /// The hyper-parameters of the trainer.
            pub fn hyper(&self) -> HyperParams {
                let schedule = Schedule { peak_lr: self.lr as f32, min_lr: self.min_lr as f32, warmup: self.warmup, steps: self.steps };
                let mut hyper = HyperParams { schedule, ..HyperParams::default() };
                $(hyper_parameters!(@$kind hyper self $name);)*
                hyper
            }
        }
    };
    (@trainer $hyper:ident $self:ident $name:ident) => { $hyper.$name = $self.$name.core() };
    (@run $hyper:ident $self:ident $name:ident) => {};
}

hyper_parameters! { model;
    /// Optimiser steps [default: 1200]
    #[arg(long, value_name = "N")]
    run steps: u64 = 1200;
    /// Weights to train: all, or those of the episodic memory alone, on a model given with --from [default: all]
    #[arg(long, value_enum, value_name = "PART")]
    trainer only: Only = Only::All => #[serde(default, skip_serializing_if = "Only::is_all")];
    /// Items of the episodic memory from before each sequence: the rows of a batch then run on through the text; 0: the memory
    /// begins with each sequence. [default: 0]
    #[arg(long, value_name = "N")]
    trainer episodic_items: usize = 0 => #[serde(default, skip_serializing_if = "is_none")];
    /// Micro-batch size in sequences [default: 8]
    #[arg(long, value_name = "B")]
    run batch: usize = 8;
    /// Context length in tokens [default: 128]
    #[arg(long, value_name = "T")]
    run context: usize = 128;
    /// Gradient accumulation: micro-batches per step, of all ranks together [default: 1 for each rank]
    #[arg(long, value_name = "N")]
    trainer accumulate: usize = 1;
    /// Local steps (DiLoCo): ranks train apart for N steps, then move together by the mean of their changes; for slow networks. 0
    /// sums gradients in each step [default: 0]
    #[arg(long, value_name = "N")]
    trainer local_steps: usize = 0 => #[serde(default, skip_serializing_if = "is_none")];
    /// Learning rate of the outer step, with --local-steps [default: 0.7]
    #[arg(long, value_name = "LR")]
    trainer outer_lr: f64 = 0.7 => #[serde(default = "outer_lr", skip_serializing_if = "is_outer_lr")];
    /// Nesterov momentum of the outer step, with --local-steps [default: 0.9]
    #[arg(long, value_name = "MOMENTUM")]
    trainer outer_momentum: f64 = 0.9 => #[serde(default = "outer_momentum", skip_serializing_if = "is_outer_momentum")];
    /// Activation checkpointing: keep only the inputs of blocks and recompute the rest in the backward pass; same results, less
    /// memory, more time
    #[arg(long, num_args = 0, default_missing_value = "true")]
    trainer recompute: bool = false => #[serde(default, skip_serializing_if = "std::ops::Not::not")];
    /// What updates the weights: AdamW, or Muon for the matrices of blocks and AdamW for the rest [default: adamw]
    #[arg(long, value_enum, value_name = "NAME")]
    trainer optimizer: Optimizer = Optimizer::Adamw;
    /// Peak learning rate [default: 0.4 / width of the model]
    #[arg(long)]
    run lr: f64 = 0.4 / model.width as f64;
    /// Final learning rate of the cosine schedule [default: a twentieth of --lr]
    #[arg(long)]
    run min_lr: f64 = lr / 20.0;
    /// Linear warm-up steps [default: a twentieth of --steps, at most 200]
    #[arg(long, value_name = "N")]
    run warmup: u64 = (steps / 20).min(200);
    /// AdamW beta1 [default: 0.9]
    #[arg(long)]
    trainer beta1: f64 = 0.9;
    /// AdamW beta2 [default: 0.99]
    #[arg(long)]
    trainer beta2: f64 = 0.99;
    /// AdamW epsilon [default: 1e-8]
    #[arg(long)]
    trainer adam_eps: f64 = 1e-8;
    /// Decoupled weight decay of matrices [default: 0.1]
    #[arg(long)]
    trainer weight_decay: f64 = 0.1;
    /// Peak learning rate of Muon; a matrix of more rows than columns has (rows / columns)^½ times it [default: 0.02]
    #[arg(long, value_name = "LR")]
    trainer muon_lr: f64 = 0.02;
    /// Nesterov momentum of Muon [default: 0.95]
    #[arg(long, value_name = "MOMENTUM")]
    trainer muon_momentum: f64 = 0.95;
    /// Decoupled weight decay of Muon [default: 0.1]
    #[arg(long, value_name = "DECAY")]
    trainer muon_weight_decay: f64 = 0.1;
    /// Newton-Schulz steps of Muon [default: 5]
    #[arg(long, value_name = "N")]
    trainer muon_ns_steps: usize = 5;
    /// Learning rate multiplier of the token embedding [default: 1]
    #[arg(long, value_name = "TIMES")]
    trainer embed_lr_scale: f64 = 1.0 => #[serde(default = "one", skip_serializing_if = "is_one")];
    /// Max gradient norm; 0 disables clipping [default: 1]
    #[arg(long)]
    trainer clip: f64 = 1.0;
    /// Dropout probability [default: 0]
    #[arg(long)]
    trainer dropout: f64 = 0.0;
    /// Label smoothing [default: 0]
    #[arg(long)]
    trainer smoothing: f64 = 0.0;
    /// Weight of the z-loss, which keeps logits small [default: 0]
    #[arg(long)]
    trainer z_weight: f64 = 0.0;
    /// Loss weight of the rectified-flow head; 0 trains without the head [default: 0]
    #[arg(long)]
    trainer flow_weight: f64 = 0.0;
    /// Decay of the exponential moving average of the weights; 0 disables it [default: 0.99]
    #[arg(long)]
    trainer ema: f64 = 0.99;
    /// Seed of initial weights, windows, dropout and noise [default: 1]
    #[arg(long, value_name = "S")]
    trainer seed: u64 = 1;
    /// Order of training windows: each once in an epoch, or at random places [default: shuffled]
    #[arg(long, value_enum, value_name = "ORDER")]
    run windows: WindowOrder = WindowOrder::Shuffled => #[serde(default = "at_random")];
    /// Steps between validations [default: a twentieth of --steps, in whole --local-steps]
    #[arg(long, value_name = "N")]
    run eval_every: u64 = (steps / 20).max(1).next_multiple_of(local_steps.max(1) as u64);
    /// Held-out tokens per validation; the final one uses all [default: 10000]
    #[arg(long, value_name = "N")]
    run eval_tokens: u64 = 10_000;
    /// Steps between checkpoints [default: --eval-every]
    #[arg(long, value_name = "N")]
    run save_every: u64 = eval_every;
    /// Early stopping: end the run after N validations in a row without a better loss; 0 never does [default: 0]
    #[arg(long, value_name = "N")]
    run patience: u64 = 0 => #[serde(default, skip_serializing_if = "is_zero")];
    /// Steps between lines of metrics.jsonl [default: 10]
    #[arg(long, value_name = "N")]
    run log_every: u64 = 10;
}

/// The value of a hyper-parameter.
trait Value {
    /// The type in [`HyperParams`].
    type Core;

    fn core(self) -> Self::Core;
    /// The value, if it is a floating-point number.
    fn real(self) -> Option<f64>;
}

impl Value for f64 {
    type Core = f32;

    fn core(self) -> f32 {
        self as f32
    }
    fn real(self) -> Option<f64> {
        Some(self)
    }
}

/// Values with the same type in [`HyperParams`].
macro_rules! whole {
    ($($Type:ty),*) => {$(
        impl Value for $Type {
            type Core = Self;

            fn core(self) -> Self {
                self
            }
            fn real(self) -> Option<f64> {
                None
            }
        }
    )*};
}
whole!(u64, usize, bool);

whole!(WindowOrder);

/// Which weights a run trains, as a flag and in a recipe.
#[derive(clap::ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Only {
    /// All weights
    #[default]
    All,
    /// Those of the episodic memory
    Episodic,
}

impl Only {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_all(&self) -> bool {
        *self == Self::All
    }
}

impl Value for Only {
    type Core = Trained;

    fn core(self) -> Trained {
        match self {
            Self::All => Trained::All,
            Self::Episodic => Trained::Episodic,
        }
    }
    fn real(self) -> Option<f64> {
        None
    }
}

/// `--optimizer`.
#[derive(clap::ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// AdamW for all tensors
    Adamw,
    /// Muon for the matrices of blocks, AdamW for the rest
    Muon,
}

impl Value for Optimizer {
    type Core = train::Optimizer;

    fn core(self) -> train::Optimizer {
        match self {
            Self::Adamw => train::Optimizer::AdamW,
            Self::Muon => train::Optimizer::Muon,
        }
    }
    fn real(self) -> Option<f64> {
        None
    }
}

/// Whether a run has written these options: then it wrote all of them.
fn is_written(options: &TrainOptions) -> bool {
    serde_json::to_value(options).is_ok_and(|value| serde_json::from_value::<Settings>(value).is_ok())
}

/// The order of recipes that name none, which were written before there was a choice.
fn at_random() -> WindowOrder {
    WindowOrder::Random
}

fn outer_lr() -> f64 {
    0.7
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_outer_lr(lr: &f64) -> bool {
    *lr == outer_lr()
}

fn outer_momentum() -> f64 {
    0.9
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_outer_momentum(momentum: &f64) -> bool {
    *momentum == outer_momentum()
}

fn one() -> f64 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(times: &f64) -> bool {
    *times == 1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none(n: &usize) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}
