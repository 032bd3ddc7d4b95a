//! The program: runs one command, and reports an error in one sentence.

use crate::commands::Cli;
use crate::interrupt::Interrupt;
use crate::machine::Backends;
use crate::stderr::say;
use anyhow::Result;
use std::io::{self, ErrorKind};
use std::process::ExitCode;

/// Runs a command on the backends of this program.
pub fn run(cli: Cli, backends: &impl Backends, interrupt: Interrupt) -> ExitCode {
    finish(cli.command.run(backends, interrupt).map(ExitCode::from))
}

/// The exit code of a result; an error is printed to the standard error.
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

/// A reader that closes the pipe early, as `head` does, is no failure.
fn is_broken_pipe(e: &anyhow::Error) -> bool {
    e.chain().any(|e| e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe))
}
