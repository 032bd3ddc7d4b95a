//! The commands, one per file: arguments with their help texts, and the implementation.

pub mod ablate;
#[cfg(not(all(feature = "plots", feature = "serve", feature = "tables")))]
mod absent;
pub mod completions;
pub mod data;
pub mod doctor;
#[cfg(feature = "tables")]
pub mod embed;
mod embedding;
pub mod eval;
pub mod eval_embeddings;
pub mod export;
pub mod info;
pub mod memory;
pub mod probe;
#[cfg(feature = "plots")]
pub mod report;
pub mod sample;
#[cfg(feature = "serve")]
pub mod serve;
#[cfg(feature = "tables")]
mod tables;
pub mod task;
mod text;
pub mod tokenize;
pub mod train;

#[cfg(not(all(feature = "plots", feature = "serve", feature = "tables")))]
use crate::features::Feature;
use crate::interrupt::{Ending, Interrupt};
use crate::machine::{Backends, Machine};
use clap::{Parser, Subcommand};

/// Train, evaluate and sample small hybrid language models: state space, Hopfield memory and attention in every block.
///
/// Start with `hh-runtime train`: it needs no data and no network, and takes under three minutes.
#[derive(Parser)]
#[command(name = "hh-runtime", version, max_term_width = 110)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand)]
#[expect(clippy::large_enum_variant, reason = "a process has one instance")]
pub enum Command {
    /// Train a model on text
    #[command(long_about = train::ABOUT)]
    Train(train::Args),
    /// Generate text from a checkpoint
    Sample(sample::Args),
    /// List, search, forget and export what an episodic memory holds
    #[command(long_about = memory::ABOUT)]
    Memory(memory::Args),
    /// Evaluate a checkpoint on a text: nll, perplexity, bits per byte
    Eval(eval::Args),
    /// Knock out one part of a trained model at a time and score the same text again
    #[command(long_about = probe::ABOUT)]
    Probe(probe::Args),
    /// Compute an embedding of every text in a file
    #[cfg(feature = "tables")]
    Embed(embed::Args),
    /// Compute an embedding of every text in a file
    #[cfg(not(feature = "tables"))]
    #[command(about = Feature::Tables.absent())]
    Embed(absent::Args),
    /// Evaluate a checkpoint's embeddings: semantic similarity (STS) and retrieval
    EvalEmbeddings(eval_embeddings::Args),
    /// Retrain a model without each of its parts, at equal size, and compare
    #[command(long_about = ablate::ABOUT)]
    Ablate(ablate::Args),
    /// Write an HTML report about a folder of runs, ablations, probes and tasks
    #[cfg(feature = "plots")]
    Report(report::Args),
    /// Write an HTML report about a folder of runs, ablations, probes and tasks
    #[cfg(not(feature = "plots"))]
    #[command(about = Feature::Plots.absent())]
    Report(absent::Args),
    /// Answer embeddings and completions over HTTP, with the interface of OpenAI's
    #[cfg(feature = "serve")]
    #[command(long_about = serve::ABOUT)]
    Serve(serve::Args),
    /// Answer embeddings and completions over HTTP, with the interface of OpenAI's
    #[cfg(not(feature = "serve"))]
    #[command(about = Feature::Serve.absent())]
    Serve(absent::Args),
    /// Show parameters, state size and FLOPs of a checkpoint or preset
    Info(info::Args),
    /// Export a checkpoint for inference, in f32, f16, bf16, q8 or q4
    Export(export::Args),
    /// Tokenize a text of any size into shards of token ids
    Tokenize(tokenize::Args),
    /// Download training texts or write the built-in corpus
    Data(data::Args),
    /// Run synthetic memory benchmarks
    #[command(long_about = task::ABOUT)]
    Task(task::Args),
    /// Show the available devices and their speed, and why others are unavailable
    Doctor(doctor::Args),
    /// Print completions for a shell: bash, elvish, fish, powershell or zsh
    Completions(completions::CompletionsArgs),
    /// Write manual pages to a folder
    Man(completions::ManArgs),
}

impl Command {
    /// The device options of a command that runs a model on a chosen device.
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
    /// Those of the command; displayed with their causes (`{:#}`), they are one sentence.
    pub fn run(self, backends: &impl Backends, interrupt: Interrupt) -> anyhow::Result<Ending> {
        match self {
            Self::Train(args) => return train::run(args, backends, interrupt),
            Self::Sample(args) => sample::run(args, backends, interrupt)?,
            Self::Memory(args) => memory::run(args)?,
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
            #[cfg(feature = "serve")]
            Self::Serve(args) => return serve::run(args, interrupt),
            #[cfg(not(feature = "serve"))]
            Self::Serve(args) => absent::run(args, Feature::Serve)?,
            Self::Info(args) => info::run(args)?,
            Self::Export(args) => export::run(args)?,
            Self::Tokenize(args) => tokenize::run(args)?,
            Self::Data(args) => data::run(args)?,
            Self::Task(args) => return task::run(args, backends, interrupt),
            Self::Doctor(args) => doctor::run(args)?,
            Self::Completions(args) => completions::completions(&args)?,
            Self::Man(args) => completions::man(&args)?,
        }
        Ok(Ending::Done)
    }
}
