//! The hyper-parameters of training, listed once: what the command line and a configuration file may say of them, what they are
//! where nothing is said, and what a trainer needs of them.

use hh_core::config::Config;
use hh_core::schedule::Schedule;
use hh_core::train::HyperParams;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Makes [`TrainOptions`] and [`Settings`] from one list.
///
/// A line is `kind name: Type = default`, after the help of its flag and the attributes of its argument. `trainer` is a field of
/// that name of core's hyper-parameters, `run` is not. A default may name the `model` and the values of lines above it. After `=>`
/// stand attributes for reading and writing its value.
macro_rules! hyper_parameters {
    ($model:ident; $($(#[doc = $doc:expr])+ #[arg $arg:tt] $kind:ident $name:ident: $Type:ty = $default:expr $(=> $(#[$saved:meta])+)?;)*) => {
        /// Hyper-parameters, as flags and as the `[train]` section of a configuration. What is absent has a default.
        #[derive(clap::Args, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
        #[command(next_help_heading = "Training")]
        #[serde(default, deny_unknown_fields)]
        pub struct TrainOptions {
            /// Starts from the weights of a checkpoint or of a run, and with its model and tokenizer where nothing else is said
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
            /// The checkpoint or run whose weights the run starts from.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub from: Option<PathBuf>,
            $(
                $(#[doc = $doc])+
                $($(#[$saved])+)?
                pub $name: $Type,
            )*
        }

        impl TrainOptions {
            /// The real numbers that are given. [`first_wins`](super::options::first_wins) takes one that is not finite for one
            /// that is not given, so look first.
            pub(super) fn numbers(&self) -> Vec<(&'static str, f64)> {
                let all = [$((stringify!($name), self.$name.and_then(Value::real))),*];
                all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
            }
        }

        impl Settings {
            /// What these options say of a run of this model, and where they are silent, the defaults.
            pub(super) fn new(o: &TrainOptions, $model: &Config) -> Self {
                $(let $name = o.$name.unwrap_or($default);)*
                Self { from: o.from.clone(), $($name),* }
            }

            /// What a trainer needs of it.
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
    /// Sequences of a micro-batch [default: 8]
    #[arg(long, value_name = "B")]
    run batch: usize = 8;
    /// Tokens of a sequence [default: 128]
    #[arg(long, value_name = "T")]
    run context: usize = 128;
    /// Micro-batches that one step adds up [default: 1]
    #[arg(long, value_name = "N")]
    trainer accumulate: usize = 1;
    /// Keep the inputs of blocks alone, and compute the rest anew for the gradient: the same numbers, for less memory and more time
    #[arg(long, num_args = 0, default_missing_value = "true")]
    trainer recompute: bool = false => #[serde(default, skip_serializing_if = "std::ops::Not::not")];
    /// Largest learning rate [default: 0.4 / width of the model]
    #[arg(long)]
    run lr: f64 = 0.4 / model.width as f64;
    /// Learning rate at the end of the cosine [default: a twentieth of --lr]
    #[arg(long)]
    run min_lr: f64 = lr / 20.0;
    /// Steps of linear warm-up [default: a twentieth of --steps, 200 at most]
    #[arg(long, value_name = "N")]
    run warmup: u64 = (steps / 20).min(200);
    /// AdamW's decay of the first moment [default: 0.9]
    #[arg(long)]
    trainer beta1: f64 = 0.9;
    /// AdamW's decay of the second moment [default: 0.99]
    #[arg(long)]
    trainer beta2: f64 = 0.99;
    /// AdamW's epsilon [default: 1e-8]
    #[arg(long)]
    trainer adam_eps: f64 = 1e-8;
    /// Decoupled decay of matrices [default: 0.1]
    #[arg(long)]
    trainer weight_decay: f64 = 0.1;
    /// Learning rate of the table of ids, as a multiple of the others' [default: 1]
    #[arg(long, value_name = "TIMES")]
    trainer embed_lr_scale: f64 = 1.0 => #[serde(default = "one", skip_serializing_if = "is_one")];
    /// Largest norm of the gradient; 0 is no clipping [default: 1]
    #[arg(long)]
    trainer clip: f64 = 1.0;
    /// Probability of dropout [default: 0]
    #[arg(long)]
    trainer dropout: f64 = 0.0;
    /// Label smoothing [default: 0]
    #[arg(long)]
    trainer smoothing: f64 = 0.0;
    /// Weight of the z-loss, which keeps logits small [default: 0]
    #[arg(long)]
    trainer z_weight: f64 = 0.0;
    /// Weight of the rectified-flow head; 0 trains without one [default: 0]
    #[arg(long)]
    trainer flow_weight: f64 = 0.0;
    /// Rate of the weights' moving average; 0 is none [default: 0.99]
    #[arg(long)]
    trainer ema: f64 = 0.99;
    /// Seed of initial weights, windows, dropout and noise [default: 1]
    #[arg(long, value_name = "S")]
    trainer seed: u64 = 1;
    /// Steps from one validation to the next [default: a twentieth of --steps]
    #[arg(long, value_name = "N")]
    run eval_every: u64 = (steps / 20).max(1);
    /// Held-out tokens of a validation on the way; the last one takes all [default: 10000]
    #[arg(long, value_name = "N")]
    run eval_tokens: u64 = 10_000;
    /// Steps from one checkpoint to the next [default: --eval-every]
    #[arg(long, value_name = "N")]
    run save_every: u64 = eval_every;
    /// Steps from one line of metrics.jsonl to the next [default: 10]
    #[arg(long, value_name = "N")]
    run log_every: u64 = 10;
}

/// The value of a hyper-parameter.
trait Value {
    /// What core takes in its place.
    type Core;

    fn core(self) -> Self::Core;
    /// The value, where it is a real number.
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

/// Values that core takes as they are.
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

fn one() -> f64 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(times: &f64) -> bool {
    *times == 1.0
}
