//! The program: reads the command line, runs one command, and says in one sentence what went wrong.

pub mod commands;

use clap::Parser;
use hh_runtime::speak::say;
use std::io::{self, ErrorKind};
use std::process::ExitCode;

fn main() -> ExitCode {
    match commands::Cli::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) if is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            say(format_args!("error: {}", sentence(&e)));
            ExitCode::from(2)
        }
    }
}

/// The chain of causes on one line.
fn sentence(e: &anyhow::Error) -> String {
    format!("{e:#}").lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// Whoever read the output has had enough, as `head` does: that is no failure.
fn is_broken_pipe(e: &anyhow::Error) -> bool {
    e.chain().any(|e| e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe))
}
