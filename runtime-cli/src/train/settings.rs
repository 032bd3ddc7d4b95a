//! Hyper-parameters: what they are where nobody says so, and what a trainer needs of them.

use super::options::TrainOptions;
use hh_core::config::Config;
use hh_core::schedule::Schedule;
use hh_core::train::HyperParams;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// All hyper-parameters.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields of `TrainOptions`, each with its value")]
pub struct Settings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    pub steps: u64,
    pub batch: usize,
    pub context: usize,
    pub accumulate: usize,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recompute: bool,
    pub lr: f64,
    pub min_lr: f64,
    pub warmup: u64,
    pub beta1: f64,
    pub beta2: f64,
    pub adam_eps: f64,
    pub weight_decay: f64,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub embed_lr_scale: f64,
    pub clip: f64,
    pub dropout: f64,
    pub smoothing: f64,
    pub z_weight: f64,
    pub flow_weight: f64,
    pub ema: f64,
    pub seed: u64,
    pub eval_every: u64,
    pub eval_tokens: u64,
    pub save_every: u64,
    pub log_every: u64,
}

fn one() -> f64 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(times: &f64) -> bool {
    *times == 1.0
}

impl Settings {
    /// What these options say of a run of this model, and where they are silent, the defaults.
    pub(super) fn new(o: &TrainOptions, model: &Config) -> Self {
        let steps = o.steps.unwrap_or(1200);
        let lr = o.lr.unwrap_or(0.4 / model.width as f64);
        let eval_every = o.eval_every.unwrap_or((steps / 20).max(1));
        Self {
            from: o.from.clone(),
            steps,
            batch: o.batch.unwrap_or(8),
            context: o.context.unwrap_or(128),
            accumulate: o.accumulate.unwrap_or(1),
            recompute: o.recompute.unwrap_or_default(),
            lr,
            min_lr: o.min_lr.unwrap_or(lr / 20.0),
            warmup: o.warmup.unwrap_or((steps / 20).min(200)),
            beta1: o.beta1.unwrap_or(0.9),
            beta2: o.beta2.unwrap_or(0.99),
            adam_eps: o.adam_eps.unwrap_or(1e-8),
            weight_decay: o.weight_decay.unwrap_or(0.1),
            embed_lr_scale: o.embed_lr_scale.unwrap_or(1.0),
            clip: o.clip.unwrap_or(1.0),
            dropout: o.dropout.unwrap_or(0.0),
            smoothing: o.smoothing.unwrap_or(0.0),
            z_weight: o.z_weight.unwrap_or(0.0),
            flow_weight: o.flow_weight.unwrap_or(0.0),
            ema: o.ema.unwrap_or(0.99),
            seed: o.seed.unwrap_or(1),
            eval_every,
            eval_tokens: o.eval_tokens.unwrap_or(10_000),
            save_every: o.save_every.unwrap_or(eval_every),
            log_every: o.log_every.unwrap_or(10),
        }
    }

    /// What a trainer needs of it.
    pub fn hyper(&self) -> HyperParams {
        HyperParams {
            schedule: Schedule { peak_lr: self.lr as f32, min_lr: self.min_lr as f32, warmup: self.warmup, steps: self.steps },
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            adam_eps: self.adam_eps as f32,
            ema: self.ema as f32,
            weight_decay: self.weight_decay as f32,
            embed_lr_scale: self.embed_lr_scale as f32,
            clip: self.clip as f32,
            dropout: self.dropout as f32,
            smoothing: self.smoothing as f32,
            z_weight: self.z_weight as f32,
            flow_weight: self.flow_weight as f32,
            accumulate: self.accumulate,
            recompute: self.recompute,
            seed: self.seed,
        }
    }
}
