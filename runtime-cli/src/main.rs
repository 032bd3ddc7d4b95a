//! `hh-runtime`: all backends except libtorch, which is in a separate program that this one starts.

use std::process::ExitCode;

fn main() -> ExitCode {
    hh_runtime::program::main(std::env::args_os()).into()
}
