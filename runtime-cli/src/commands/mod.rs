//! One file a command: its arguments, with the help that teaches them, and what it does.

pub mod train;

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
pub enum Command {
    /// Train a model on text.
    Train(train::Args),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// One sentence that says what was wrong and what to do.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Train(args) => train::run(args),
        }
    }
}
