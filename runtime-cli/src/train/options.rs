//! What the command line and a configuration file may say about training; both say it with the same words.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::path::PathBuf;

/// Hyper-parameters, as flags and as the `[train]` section of a configuration. What is absent has a default.
#[derive(clap::Args, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Training")]
#[serde(default, deny_unknown_fields)]
pub struct TrainOptions {
    /// Starts from the weights of a checkpoint or of a run, and with its model and tokenizer where nothing else is said
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// Optimiser steps [default: 1200]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Sequences of a micro-batch [default: 8]
    #[arg(long, value_name = "B")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// Tokens of a sequence [default: 128]
    #[arg(long, value_name = "T")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<usize>,
    /// Micro-batches that one step adds up [default: 1]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accumulate: Option<usize>,
    /// Keep the inputs of blocks alone, and compute the rest anew for the gradient: the same numbers, for less memory and more time
    #[arg(long, num_args = 0, default_missing_value = "true")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recompute: Option<bool>,
    /// Largest learning rate [default: 0.4 / width of the model]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Learning rate at the end of the cosine [default: a twentieth of --lr]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_lr: Option<f64>,
    /// Steps of linear warm-up [default: a twentieth of --steps, 200 at most]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<u64>,
    /// AdamW's decay of the first moment [default: 0.9]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta1: Option<f64>,
    /// AdamW's decay of the second moment [default: 0.99]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta2: Option<f64>,
    /// AdamW's epsilon [default: 1e-8]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adam_eps: Option<f64>,
    /// Decoupled decay of matrices [default: 0.1]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Learning rate of the table of ids, as a multiple of the others' [default: 1]
    #[arg(long, value_name = "TIMES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embed_lr_scale: Option<f64>,
    /// Largest norm of the gradient; 0 is no clipping [default: 1]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// Probability of dropout [default: 0]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// Label smoothing [default: 0]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smoothing: Option<f64>,
    /// Weight of the z-loss, which keeps logits small [default: 0]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub z_weight: Option<f64>,
    /// Weight of the rectified-flow head; 0 trains without one [default: 0]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow_weight: Option<f64>,
    /// Rate of the weights' moving average; 0 is none [default: 0.99]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// Seed of initial weights, windows, dropout and noise [default: 1]
    #[arg(long, value_name = "S")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Steps from one validation to the next [default: a twentieth of --steps]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_every: Option<u64>,
    /// Held-out tokens of a validation on the way; the last one takes all [default: 10000]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_tokens: Option<u64>,
    /// Steps from one checkpoint to the next [default: --eval-every]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save_every: Option<u64>,
    /// Steps from one line of metrics.jsonl to the next [default: 10]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_every: Option<u64>,
}

impl TrainOptions {
    /// The real numbers that are given. [`first_wins`] takes one that is not finite for one that is not given, so look first.
    pub(super) fn numbers(&self) -> Vec<(&'static str, f64)> {
        let all = [
            ("lr", self.lr),
            ("min_lr", self.min_lr),
            ("beta1", self.beta1),
            ("beta2", self.beta2),
            ("adam_eps", self.adam_eps),
            ("weight_decay", self.weight_decay),
            ("embed_lr_scale", self.embed_lr_scale),
            ("clip", self.clip),
            ("dropout", self.dropout),
            ("smoothing", self.smoothing),
            ("z_weight", self.z_weight),
            ("flow_weight", self.flow_weight),
            ("ema", self.ema),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// The text, as flags and as the `[data]` section of a configuration.
#[derive(clap::Args, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Text")]
#[serde(default, deny_unknown_fields)]
pub struct DataOptions {
    /// Text files (.txt, .jsonl, either also .gz or .zst), one folder of shards that `tokenize` wrote, or builtin: a corpus
    /// that the program writes itself [default: builtin]
    #[arg(long = "data", value_name = "FILE", num_args = 1..)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<PathBuf>>,
    /// Held-out text files, or one folder of shards; without, the last part of --data is held out
    #[arg(long, value_name = "FILE", num_args = 1..)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<Vec<PathBuf>>,
    /// The part of --data that is held out; cannot stand beside --validation [default: 0.1]
    #[arg(long, value_name = "PART")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holdout: Option<f64>,
    /// bytes, chars, `words[:MAX]`, bpe:FILE (a tokenizer.json, or GPT-2's vocab.bpe beside its encoder.json) or
    /// `bpe-train:N[:lower]` [default: chars, or that of the shards]
    #[arg(long, value_name = "KIND")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// The field of a .jsonl line that holds the text [default: text]
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_field: Option<String>,
}

/// What `first` says, and where it is silent, what `second` says.
pub(super) fn first_wins<T: Serialize + DeserializeOwned>(first: &T, second: &T) -> T {
    let object = |x: &T| match serde_json::to_value(x).expect("options are JSON") {
        serde_json::Value::Object(map) => map,
        _ => unreachable!("options are structs"),
    };
    let mut merged = object(second);
    merged.extend(object(first));
    serde_json::from_value(merged.into()).expect("of the same type")
}
