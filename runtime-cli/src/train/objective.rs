//! Training objectives other than next-token prediction.

use anyhow::{Result, bail};
use clap::ValueEnum;
use hh_core::embed::{Convention, Pooling};
use hh_core::train::embedding::{Goal, Options};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Training objectives.
#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Next-token prediction.
    #[default]
    Language,
    /// Embeddings, contrastive: each text is close to its positive and far from the others of the batch.
    Contrastive,
    /// Embeddings, distilled from those of a teacher.
    Distill,
}

/// Names of the pooling methods.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum Pooled {
    Mean,
    Last,
    Weighted,
}

fn pooling(name: &str) -> Result<Pooling, String> {
    Ok(match Pooled::from_str(name, false).map_err(|_| "the pooling methods are mean, last and weighted".to_owned())? {
        Pooled::Mean => Pooling::Mean,
        Pooled::Last => Pooling::Last,
        Pooled::Weighted => Pooling::Weighted,
    })
}

/// The objective, as flags and as the `[objective]` section of a configuration; absent values have defaults.
#[derive(clap::Args, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Objective")]
#[serde(default, deny_unknown_fields)]
pub struct ObjectiveOptions {
    /// Training objective: language predicts the next token; contrastive pulls the embeddings of paired texts together; distill
    /// fits those of a teacher [default: language]
    #[arg(long = "objective", value_name = "NAME", value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Columns of --data (.tsv, .csv, .jsonl, .parquet or .txt): anchor, positive, and hard negatives. With one column, the
    /// positives are two dropout views of the anchor (SimCSE), which needs --dropout [default: all columns]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// Embeddings of the teacher, one row per text: a .npy or a .parquet
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher: Option<PathBuf>,
    /// Column of the teacher's .parquet, if several contain vectors
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher_column: Option<String>,
    /// Softmax temperature of the cosine similarities [default: 0.05]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Loss weight of the pairwise similarities within a batch, relative to the cosine loss [default: 10]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair_weight: Option<f64>,
    /// Matryoshka dimensions: prefixes of the embedding that are trained too, as in --dims 256,128,64
    #[arg(long, value_name = "N", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dims: Option<Vec<usize>>,
    /// Pooling of the hidden states of a text: mean, last or weighted [default: mean]
    #[arg(long, value_name = "NAME", value_parser = pooling)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// Prompt prepended to the texts of the first column, and at inference to queries
    #[arg(long, value_name = "TEXT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_prompt: Option<String>,
    /// Prompt prepended to the texts of the other columns and of a teacher, and at inference to documents
    #[arg(long, value_name = "TEXT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document_prompt: Option<String>,
    /// Maximum tokens per forward pass; larger batches are split and run twice (gradient caching) [default: 8192]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_once: Option<usize>,
}

/// The objective of an embedding run, with all values.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "documented at the fields of `ObjectiveOptions`")]
pub struct Objective {
    pub kind: Kind,
    pub pooling: Pooling,
    pub query_prompt: String,
    pub document_prompt: String,
    pub at_once: usize,
    pub dims: Vec<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair_weight: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher_column: Option<String>,
}

impl ObjectiveOptions {
    /// Fills in the defaults; `None` for next-token prediction.
    ///
    /// # Errors
    /// An option of another objective.
    pub(super) fn complete(&self) -> Result<Option<Objective>> {
        let kind = self.kind.unwrap_or_default();
        let belongs = |name: &str, given: bool, to: Kind| {
            let other = to.to_possible_value().expect("a name");
            if given && kind != to { bail!("{name} needs --objective {}", other.get_name()) } else { Ok(()) }
        };
        if kind == Kind::Language {
            return match self {
                Self { columns: None, dims: None, pooling: None, query_prompt: None, document_prompt: None, at_once: None, .. } => {
                    belongs("--teacher", self.teacher.is_some() || self.teacher_column.is_some(), Kind::Distill)?;
                    belongs("--pair-weight", self.pair_weight.is_some(), Kind::Distill)?;
                    belongs("--temperature", self.temperature.is_some(), Kind::Contrastive)?;
                    Ok(None)
                }
                _ => {
                    bail!("--columns, --dims, --pooling, prompts and --at-once are for embeddings: add --objective contrastive or distill")
                }
            };
        }
        belongs("--teacher", self.teacher.is_some() || self.teacher_column.is_some(), Kind::Distill)?;
        belongs("--pair-weight", self.pair_weight.is_some(), Kind::Distill)?;
        belongs("--temperature", self.temperature.is_some(), Kind::Contrastive)?;
        if kind == Kind::Distill && self.teacher.is_none() {
            bail!("--objective distill needs the teacher's embeddings: add --teacher FILE.npy, with one row per text");
        }
        Ok(Some(Objective {
            kind,
            pooling: self.pooling.unwrap_or_default(),
            query_prompt: self.query_prompt.clone().unwrap_or_default(),
            document_prompt: self.document_prompt.clone().unwrap_or_default(),
            at_once: self.at_once.unwrap_or(8192),
            dims: self.dims.clone().unwrap_or_default(),
            columns: self.columns.clone(),
            temperature: (kind == Kind::Contrastive).then(|| self.temperature.unwrap_or(0.05)),
            pair_weight: (kind == Kind::Distill).then(|| self.pair_weight.unwrap_or(10.0)),
            teacher: self.teacher.clone(),
            teacher_column: self.teacher_column.clone(),
        }))
    }

    /// The given floating-point values.
    pub(super) fn numbers(&self) -> impl Iterator<Item = (&'static str, f64)> {
        [("temperature", self.temperature), ("pair_weight", self.pair_weight)].into_iter().filter_map(|(name, x)| Some((name, x?)))
    }
}

impl Objective {
    /// The embedding convention to store in checkpoints: pooling and prompts.
    pub fn convention(&self) -> Convention {
        Convention { pooling: self.pooling, query: self.query_prompt.clone(), document: self.document_prompt.clone() }
    }

    /// The options of the trainer, for batches of `texts` texts with `candidates` candidates each.
    pub(super) fn options(&self, texts: usize, time: usize, candidates: usize) -> Options {
        let goal = match self.kind {
            Kind::Distill => Goal::Distill { pairs: self.pair_weight.unwrap_or_default() as f32 },
            _ => Goal::Contrast { temperature: self.temperature.unwrap_or_default() as f32, candidates },
        };
        Options { goal, pooling: self.pooling, dims: self.dims.clone(), texts, time, at_once: self.at_once }
    }

    /// The unit of its loss.
    pub(super) fn unit(&self) -> &'static str {
        if self.kind == Kind::Distill { "1 − cosine to the teacher" } else { "nats per text" }
    }
}
