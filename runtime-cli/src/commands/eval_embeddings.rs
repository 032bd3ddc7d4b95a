//! `hh-runtime eval-embeddings`: how good a checkpoint's vectors of text are.

use crate::embedding_eval::{Cranfield, Retrieval, Similarity, retrieve, similarity};
use crate::files;
use anyhow::Result;
use clap::ValueEnum;
use hh::{EmbedOptions, Embedder, Pooling};
use serde::Serialize;
use std::io::{self, Write};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  hh-runtime eval-embeddings model.safetensors --sts sts-dev.csv sts-test.csv
      Spearman's correlation of cosines with what people said
  hh-runtime eval-embeddings runs/mine --cranfield cranfield/ --json figures.json
      nDCG@10 and recall@100 of the vectors, of BM25, and of both together
  hh-runtime eval-embeddings model.safetensors --sts sts-dev.csv --dim 64
      what the first 64 numbers of each vector are worth

An STS file has the fields of the STS Benchmark between tabs: score in the fifth, sentences in the sixth and seventh. \
A Cranfield folder has cran.all.1400, cran.qry, and QRelsCorrectedforTRECeval or cranqrel, which count questions by their place \
in cran.qry. Gains of nDCG are 4 for a complete answer down to 1 for minimum interest, 5 for the paper that a question was \
asked from, which the collection marks with -1; recall counts all of these.";

/// Arguments of `eval-embeddings`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A checkpoint, or the folder of a run, which stands for its best.safetensors
    checkpoint: PathBuf,
    /// Sentence pairs with a score, in the format of the STS Benchmark
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "cranfield")]
    sts: Vec<PathBuf>,
    /// A retrieval set, in the format of the Cranfield collection
    #[arg(long, value_name = "FOLDER")]
    cranfield: Option<PathBuf>,
    /// How hidden states become one vector [default: as the model was trained to]
    #[arg(long, value_enum)]
    pooling: Option<PoolingName>,
    /// Numbers of a vector to keep, the first ones [default: all]
    #[arg(long, value_name = "N")]
    dim: Option<usize>,
    /// Read only so many tokens of a text [default: all]
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Threads of the processor; vectors do not depend on it [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Write the figures to a file as JSON, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How hidden states become one vector.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PoolingName {
    /// The mean over the text's positions.
    Mean,
    /// The last position.
    Last,
    /// The mean with weights 1, 2, 3, ….
    Weighted,
}

impl From<PoolingName> for Pooling {
    fn from(name: PoolingName) -> Self {
        match name {
            PoolingName::Mean => Self::Mean,
            PoolingName::Last => Self::Last,
            PoolingName::Weighted => Self::Weighted,
        }
    }
}

#[derive(Serialize)]
struct Report {
    checkpoint: PathBuf,
    dim: usize,
    sts: Vec<Similarity>,
    cranfield: Vec<Retrieval>,
}

/// Judges.
pub fn run(args: Args) -> Result<()> {
    let mut embedder = Embedder::from_file(&args.checkpoint)?;
    if let Some(threads) = args.threads {
        embedder = embedder.with_threads(threads.into());
    }
    let options = EmbedOptions {
        pooling: args.pooling.map(Pooling::from),
        truncate_dim: args.dim,
        max_tokens: args.max_tokens,
        ..EmbedOptions::default()
    };
    let sts = args.sts.iter().map(|file| similarity(&embedder, file, &options)).collect::<Result<_>>()?;
    let cranfield = match &args.cranfield {
        Some(folder) => retrieve(&embedder, &Cranfield::read(folder)?, &options)?,
        None => Vec::new(),
    };
    let report = Report { checkpoint: args.checkpoint, dim: args.dim.unwrap_or(embedder.dim()), sts, cranfield };
    if let Some(path) = &args.json {
        files::write_atomically(path, |w| {
            serde_json::to_writer_pretty(&mut *w, &report)?;
            writeln!(w)
        })?;
    }
    Ok(table(&mut io::stdout().lock(), &report)?)
}

fn table(out: &mut impl Write, report: &Report) -> io::Result<()> {
    writeln!(out, "{}, vectors of {} numbers", report.checkpoint.display(), report.dim)?;
    if !report.sts.is_empty() {
        writeln!(out, "\n{:>14}  {:>7}  {:>11}  sentences", "Spearman x 100", "pairs", "sentences/s")?;
        for s in &report.sts {
            writeln!(out, "{:>14.2}  {:>7}  {:>11.0}  {}", s.spearman, s.pairs, s.sentences_per_second, s.file.display())?;
        }
    }
    if !report.cranfield.is_empty() {
        writeln!(out, "\n{:>8}  {:>10}  {:>9}  searched by", "nDCG@10", "recall@100", "questions")?;
        for r in &report.cranfield {
            writeln!(out, "{:>8.4}  {:>10.4}  {:>9}  {}", r.ndcg_10, r.recall_100, r.questions, r.by)?;
        }
    }
    Ok(())
}
