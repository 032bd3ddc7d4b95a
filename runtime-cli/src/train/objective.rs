//! What a run minimises, where that is not the next token.

use anyhow::{Result, bail};
use clap::ValueEnum;
use hh_core::embed::{Convention, Pooling};
use hh_core::train::embedding::{Goal, Options};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// An objective by its name.
#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The next token.
    #[default]
    Language,
    /// Text vectors: a text near its partner, and far from all others of the batch.
    Contrastive,
    /// Text vectors: a teacher's.
    Distill,
}

/// How hidden states become one vector, by name.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum Pooled {
    Mean,
    Last,
    Weighted,
}

fn pooling(name: &str) -> Result<Pooling, String> {
    Ok(match Pooled::from_str(name, false).map_err(|_| "there are mean, last and weighted".to_owned())? {
        Pooled::Mean => Pooling::Mean,
        Pooled::Last => Pooling::Last,
        Pooled::Weighted => Pooling::Weighted,
    })
}

/// The objective, as flags and as the `[objective]` section of a configuration. What is absent has a default.
#[derive(clap::Args, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Objective")]
#[serde(default, deny_unknown_fields)]
pub struct ObjectiveOptions {
    /// What is minimised: language is the next token; contrastive brings the vectors of texts near those of their partners, and
    /// distill near a teacher's [default: language]
    #[arg(long = "objective", value_name = "NAME", value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Columns of --data, a .tsv, .csv, .jsonl, .parquet or .txt: a text, its partner, and texts that are no partners of it. With
    /// one column a text is its own partner, told apart by --dropout alone (SimCSE) [default: all columns]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// The teacher's vectors, a row for each text: a .npy, or a .parquet
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher: Option<PathBuf>,
    /// The column of the teacher's .parquet, if there are several with vectors
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher_column: Option<String>,
    /// What cosines are divided by before they are compared [default: 0.05]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Weight of the similarities inside a batch beside the cosine to the teacher [default: 10]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair_weight: Option<f64>,
    /// Shorter vectors that should be good as well: the first numbers of the whole one, as in --dims 256,128,64
    #[arg(long, value_name = "N", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dims: Option<Vec<usize>>,
    /// How the hidden states of a text become one vector: mean, last or weighted [default: mean]
    #[arg(long, value_name = "NAME", value_parser = pooling)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// Stands before the texts of the first column, and later before every text that asks
    #[arg(long, value_name = "TEXT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_prompt: Option<String>,
    /// Stands before the texts of the other columns, and of a teacher; and later before every text that is to be found
    #[arg(long, value_name = "TEXT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document_prompt: Option<String>,
    /// Tokens that go through the model at once; a batch of more goes through in parts, and twice [default: 8192]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_once: Option<usize>,
}

/// The objective of a run that trains text vectors, with all values.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields of `ObjectiveOptions`, each with its value")]
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
    /// All values; `None` where the next token is the objective.
    ///
    /// # Errors
    /// One sentence for what belongs to another objective.
    pub(super) fn complete(&self) -> Result<Option<Objective>> {
        let kind = self.kind.unwrap_or_default();
        let belongs = |name: &str, given: bool, to: Kind| {
            let wanted = to.to_possible_value().expect("a name");
            if given && kind != to { bail!("{name} belongs to --objective {}", wanted.get_name()) } else { Ok(()) }
        };
        if kind == Kind::Language {
            return match self {
                Self { columns: None, dims: None, pooling: None, query_prompt: None, document_prompt: None, at_once: None, .. } => {
                    belongs("--teacher", self.teacher.is_some() || self.teacher_column.is_some(), Kind::Distill)?;
                    belongs("--pair-weight", self.pair_weight.is_some(), Kind::Distill)?;
                    belongs("--temperature", self.temperature.is_some(), Kind::Contrastive)?;
                    Ok(None)
                }
                _ => bail!("columns, dims, pooling, prompts and --at-once are of text vectors: add --objective contrastive or distill"),
            };
        }
        belongs("--teacher", self.teacher.is_some() || self.teacher_column.is_some(), Kind::Distill)?;
        belongs("--pair-weight", self.pair_weight.is_some(), Kind::Distill)?;
        belongs("--temperature", self.temperature.is_some(), Kind::Contrastive)?;
        if kind == Kind::Distill && self.teacher.is_none() {
            bail!("--objective distill needs the teacher's vectors: give them by --teacher FILE.npy, a row for each text");
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

    /// The real numbers that are given.
    pub(super) fn numbers(&self) -> impl Iterator<Item = (&'static str, f64)> {
        [("temperature", self.temperature), ("pair_weight", self.pair_weight)].into_iter().filter_map(|(name, x)| Some((name, x?)))
    }
}

impl Objective {
    /// What a checkpoint says of its vectors.
    pub fn convention(&self) -> Convention {
        Convention { pooling: self.pooling, query: self.query_prompt.clone(), document: self.document_prompt.clone() }
    }

    /// What a trainer needs of it, for batches of `texts` that have `candidates` each.
    pub(super) fn options(&self, texts: usize, time: usize, candidates: usize) -> Options {
        let goal = match self.kind {
            Kind::Distill => Goal::Distill { pairs: self.pair_weight.unwrap_or_default() as f32 },
            _ => Goal::Contrast { temperature: self.temperature.unwrap_or_default() as f32, candidates },
        };
        Options { goal, pooling: self.pooling, dims: self.dims.clone(), texts, time, at_once: self.at_once }
    }

    /// What its loss is measured in.
    pub(super) fn unit(&self) -> &'static str {
        if self.kind == Kind::Distill { "1 − cosine to the teacher" } else { "nats per text" }
    }
}
