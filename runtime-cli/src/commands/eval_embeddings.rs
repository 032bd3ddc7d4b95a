//! `hh-runtime eval-embeddings`: evaluates a checkpoint's embeddings on STS and retrieval.

use super::embedding::{self, PoolingName};
use crate::embedding_eval::{Cranfield, Retrieval, Similarity, retrieve, similarity};
use crate::files;
use crate::loading::Source;
use crate::stdout;
use anyhow::Result;
use hh::{EmbedOptions, Embedder, Pooling};
use serde::Serialize;
use std::io::{self, Write};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  hh-runtime eval-embeddings model.safetensors --sts sts-dev.csv sts-test.csv
      Spearman correlation of cosine similarities with human ratings
  hh-runtime eval-embeddings runs/mine --cranfield cranfield/ --json figures.json
      nDCG@10 and recall@100 of embeddings, BM25, and both combined
  hh-runtime eval-embeddings --sts sts-dev.parquet --dim 64
      the built-in English model, with the first 64 dimensions of each embedding

An STS file is tab-separated as in the STS Benchmark (the score is field 5, the sentences are fields 6 and 7), or a table: .jsonl, \
.json, .parquet, or .csv and .tsv with a header, with columns such as sentence1, sentence2 and score. \
A Cranfield folder has cran.all.1400, cran.qry, and QRelsCorrectedforTRECeval or cranqrel, which number queries by their \
position in cran.qry. nDCG gains are 4 for a complete answer down to 1 for minimum interest, and 5 for a query's source paper, \
which the collection marks with -1; recall counts all of these.";

/// Arguments of `eval-embeddings`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A checkpoint, a run folder (its best.safetensors is used), a Hugging Face folder, or hf://owner/name of the Hub [default: the built-in English model, if built with the
    /// feature `english`]
    #[arg(value_name = "MODEL")]
    checkpoint: Option<PathBuf>,
    /// Scored sentence pairs: lines of the STS Benchmark, or a table
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "cranfield")]
    sts: Vec<PathBuf>,
    /// Retrieval collection, in the format of Cranfield
    #[arg(long, value_name = "FOLDER")]
    cranfield: Option<PathBuf>,
    /// Pooling over positions [default: the model's]
    #[arg(long, value_enum)]
    pooling: Option<PoolingName>,
    /// Keep only the first N dimensions [default: all]
    #[arg(long, value_name = "N")]
    dim: Option<usize>,
    /// Truncate each text to N tokens [default: no limit]
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// CPU threads; results do not depend on it [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Also write the results to a JSON file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    #[serde(serialize_with = "crate::files::display")]
    checkpoint: PathBuf,
    dim: usize,
    sts: Vec<Similarity>,
    cranfield: Vec<Retrieval>,
}

/// Evaluates, prints a table, and writes the JSON file if one is given.
///
/// # Errors
/// An invalid checkpoint, data set or option, or a file that cannot be written.
pub fn run(args: Args) -> Result<()> {
    let mut embedder = match &args.checkpoint {
        Some(checkpoint) => Embedder::from_file(Source::open(checkpoint)?.path())?,
        None => embedding::english()?,
    };
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
    let checkpoint = args.checkpoint.unwrap_or_else(|| "english".into());
    let report = Report { checkpoint, dim: args.dim.unwrap_or(embedder.dim()), sts, cranfield };
    if let Some(path) = &args.json {
        files::write_atomically(path, |w| {
            serde_json::to_writer_pretty(&mut *w, &report)?;
            writeln!(w)
        })?;
    }
    Ok(table(&mut stdout::lock(), &report)?)
}

fn table(out: &mut impl Write, report: &Report) -> io::Result<()> {
    writeln!(out, "{}, {} dimensions", report.checkpoint.display(), report.dim)?;
    if !report.sts.is_empty() {
        writeln!(out, "\n{:>14}  {:>7}  {:>11}  sentences", "Spearman x 100", "pairs", "sentences/s")?;
        for s in &report.sts {
            writeln!(out, "{:>14.2}  {:>7}  {:>11.0}  {}", s.spearman, s.pairs, s.sentences_per_second, s.file.display())?;
        }
    }
    if !report.cranfield.is_empty() {
        writeln!(out, "\n{:>8}  {:>10}  {:>9}  ranked by", "nDCG@10", "recall@100", "queries")?;
        for r in &report.cranfield {
            writeln!(out, "{:>8.4}  {:>10.4}  {:>9}  {}", r.ndcg_10, r.recall_100, r.questions, r.by)?;
        }
    }
    Ok(())
}
