//! The program: reads the command line, runs one command, and says in one sentence what went wrong.

use crate::commands::Cli;
use crate::interrupt::Interrupt;
use crate::machine::Backends;
use crate::stderr::say;
use anyhow::Result;
use std::io::{self, ErrorKind};
use std::process::ExitCode;

/// Runs a command on the backends that this program has.
pub fn run(cli: Cli, backends: &impl Backends, interrupt: Interrupt) -> ExitCode {
    finish(cli.command.run(backends, interrupt).map(ExitCode::from))
}

/// The exit code of what was done; what went wrong is said.
pub fn finish(done: Result<ExitCode>) -> ExitCode {
    match done {
        Ok(code) => code,
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
