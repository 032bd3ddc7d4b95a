//! One file a command: its arguments, with the help that teaches them, and what it does.

pub mod ablate;
#[cfg(not(all(feature = "plots", feature = "tables")))]
mod absent;
pub mod data;
pub mod doctor;
#[cfg(feature = "tables")]
pub mod embed;
pub mod eval;
pub mod eval_embeddings;
pub mod export;
pub mod info;
pub mod probe;
#[cfg(feature = "plots")]
pub mod report;
pub mod sample;
pub mod task;
mod text;
pub mod tokenize;
pub mod train;

#[cfg(not(all(feature = "plots", feature = "tables")))]
use crate::features::Feature;
use crate::interrupt::{Ending, Interrupt};
use crate::machine::{Backends, Machine};
use clap::{Parser, Subcommand};

/// Train, evaluate and sample small hybrid language models: state space, Hopfield memory and attention in every block.
///
/// Start with `hh-runtime train`, which needs no data, no network and under three minutes.
#[derive(Parser)]
#[command(name = "hh-runtime", version, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one of them in a process")]
pub enum Command {
    /// Train a model on text
    #[command(long_about = train::ABOUT)]
    Train(train::Args),
    /// Write text from a checkpoint
    Sample(sample::Args),
    /// Score a checkpoint on a text: nll, perplexity, bits per byte
    Eval(eval::Args),
    /// Knock out one part of a model after the other, and score the same text again
    #[command(long_about = probe::ABOUT)]
    Probe(probe::Args),
    /// Make a vector of every text in a file
    #[cfg(feature = "tables")]
    Embed(embed::Args),
    /// Make a vector of every text in a file
    #[cfg(not(feature = "tables"))]
    #[command(about = Feature::Tables.absent())]
    Embed(absent::Args),
    /// Judge a checkpoint's vectors of text: likeness of sentences, finding of documents
    EvalEmbeddings(eval_embeddings::Args),
    /// Train a model anew without each of its parts, at equal size, and compare
    #[command(long_about = ablate::ABOUT)]
    Ablate(ablate::Args),
    /// Write a page of what a folder of runs, ablations, probes and tasks came to
    #[cfg(feature = "plots")]
    Report(report::Args),
    /// Write a page of what a folder of runs, ablations, probes and tasks came to
    #[cfg(not(feature = "plots"))]
    #[command(about = Feature::Plots.absent())]
    Report(absent::Args),
    /// Tell what a checkpoint or a preset is and costs
    Info(info::Args),
    /// Write a checkpoint without what only training needs, in f32, f16 or bf16
    Export(export::Args),
    /// Write a text of any size as shards of ids
    Tokenize(tokenize::Args),
    /// Get texts to train on
    Data(data::Args),
    /// Ask a model what it can keep in mind: memory tasks
    #[command(long_about = task::ABOUT)]
    Task(task::Args),
    /// Tell what this machine can do, what is missing, and why
    Doctor(doctor::Args),
}

impl Command {
    /// The machine that the command asks for, if it runs a model.
    pub fn machine(&self) -> Option<&Machine> {
        match self {
            Self::Train(args) => Some(&args.machine),
            Self::Sample(args) => Some(&args.machine),
            Self::Eval(args) => Some(&args.machine),
            Self::Probe(args) => Some(&args.machine),
            Self::Ablate(args) => Some(&args.machine),
            Self::Task(args) => Some(args.machine()),
            _ => None,
        }
    }

    /// Runs the command.
    ///
    /// # Errors
    /// One sentence that says what was wrong and what to do.
    pub fn run(self, backends: &impl Backends, interrupt: Interrupt) -> anyhow::Result<Ending> {
        match self {
            Self::Train(args) => return train::run(args, backends, interrupt),
            Self::Sample(args) => sample::run(args, backends, interrupt)?,
            Self::Eval(args) => eval::run(args, backends)?,
            Self::Probe(args) => return probe::run(args, backends, interrupt),
            #[cfg(feature = "tables")]
            Self::Embed(args) => return embed::run(args, interrupt),
            #[cfg(not(feature = "tables"))]
            Self::Embed(args) => absent::run(args, Feature::Tables)?,
            Self::EvalEmbeddings(args) => eval_embeddings::run(args)?,
            Self::Ablate(args) => return ablate::run(args, backends, interrupt),
            #[cfg(feature = "plots")]
            Self::Report(args) => report::run(args)?,
            #[cfg(not(feature = "plots"))]
            Self::Report(args) => absent::run(args, Feature::Plots)?,
            Self::Info(args) => info::run(args)?,
            Self::Export(args) => export::run(args)?,
            Self::Tokenize(args) => tokenize::run(args)?,
            Self::Data(args) => data::run(args)?,
            Self::Task(args) => return task::run(args, backends, interrupt),
            Self::Doctor(args) => doctor::run(args)?,
        }
        Ok(Ending::Done)
    }
}
