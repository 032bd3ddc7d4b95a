//! The program: runs one command, and reports an error in one sentence.

use crate::commands::Cli;
use crate::interrupt::{Interrupt, survive_file_limits};
use crate::machine::Backends;
use crate::stderr::say;
use crate::stdout;
use anyhow::Result;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

/// Runs a command on the backends of this program.
pub fn run(cli: Cli, backends: &impl Backends, interrupt: Interrupt) -> ExitCode {
    survive_file_limits();
    finish(cli.command.run(backends, interrupt).map(ExitCode::from))
}

/// The exit code of a result; an error is printed to the standard error.
pub fn finish(done: Result<ExitCode>) -> ExitCode {
    // What a command left in the buffer of the standard output is lost in silence otherwise.
    match done.and_then(|code| Ok(stdout::lock().flush().map(|()| code)?)) {
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
