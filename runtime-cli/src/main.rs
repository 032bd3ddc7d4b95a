//! `hh-runtime`: all backends except libtorch, which is in a separate program that this one starts.

use clap::Parser;
use hh_runtime::interrupt::{Interrupt, STOPPED};
use hh_runtime::{commands::Cli, libtorch, machine::NativeBackends, program};
use std::process::{self, ExitCode};

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.command.machine().is_some_and(|machine| machine.wants_libtorch()) {
        return program::finish(libtorch::hand_over());
    }
    program::run(cli, &NativeBackends, Interrupt::new(|| process::exit(STOPPED.into())))
}
