//! The program: runs one command, and reports an error in one sentence.

use crate::commands::Cli;
use crate::interrupt::{Interrupt, STOPPED, survive_file_limits};
use crate::libtorch;
use crate::machine::{Backends, NativeBackends};
use crate::stderr::say;
use crate::stdout;
use anyhow::Result;
use clap::Parser;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::process;

/// The program `hh-runtime` with these arguments, the first of them its name: all backends except libtorch. Returns its exit
/// code; a second Ctrl-C ends the process.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(help) => {
            // Its error would be that of a closed standard output or error, on which nothing can be said.
            let _ = help.print();
            return u8::try_from(help.exit_code()).unwrap_or(2);
        }
    };
    if cli.command.machine().is_some_and(|machine| machine.wants_libtorch()) {
        return finish(libtorch::hand_over(&args[1..]));
    }
    run(cli, &NativeBackends, Interrupt::new(|| process::exit(STOPPED.into())))
}

/// Runs a command on these backends; returns the exit code.
pub fn run(cli: Cli, backends: &impl Backends, interrupt: Interrupt) -> u8 {
    survive_file_limits();
    finish(cli.command.run(backends, interrupt).map(u8::from))
}

/// The exit code of a result; an error is printed to the standard error.
fn finish(done: Result<u8>) -> u8 {
    // What a command left in the buffer of the standard output is lost in silence otherwise.
    match done.and_then(|code| Ok(stdout::lock().flush().map(|()| code)?)) {
        Ok(code) => code,
        Err(e) if is_broken_pipe(&e) => 0,
        Err(e) => {
            say(format_args!("error: {}", sentence(&e)));
            2
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
