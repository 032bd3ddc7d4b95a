//! `hh-runtime-tch`: `hh-runtime` linked with libtorch. See [`hh_runtime::libtorch`] for why it is a separate program.

use anyhow::Result;
use clap::Parser;
use hh_core::train::Rank;
use hh_runtime::commands::Cli;
use hh_runtime::interrupt::{Interrupt, STOPPED};
use hh_runtime::libtorch::QUESTION;
use hh_runtime::machine::{Backend, BackendJob, Backends, Machine, NativeBackends, Precision};
use hh_runtime::program;
use hh_runtime::train::{MemoryEstimate, Recipe};
use hh_tch::{Compute, DeviceKind, LIBTORCH, Tch, devices};
use std::process::{self, ExitCode};

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|word| word == QUESTION) {
        let seen: Vec<String> = devices().iter().map(DeviceKind::to_string).collect();
        println!("{}: libtorch {LIBTORCH} sees {}", env!("CARGO_PKG_VERSION"), seen.join(", "));
        return ExitCode::SUCCESS;
    }
    program::run(Cli::parse(), &WithTch, Interrupt::new(|| process::exit(STOPPED.into()))).into()
}

/// The libtorch backend, and those of `hh-runtime`.
struct WithTch;

impl Backends for WithTch {
    fn place(&self, machine: &Machine) -> Result<String> {
        match make(machine)? {
            None => NativeBackends.place(machine),
            Some(tch) => match tch.place() {
                DeviceKind::Cpu => Ok(format!("libtorch's cpu, threads: {}", machine.threads())),
                place => Ok(format!("libtorch's {place}")),
            },
        }
    }

    fn memory_estimate(&self, machine: &Machine, recipe: &Recipe, rank: Rank) -> Result<Option<MemoryEstimate>> {
        // The scratch memory of libtorch is unknown.
        if machine.wants_libtorch() { Ok(None) } else { NativeBackends.memory_estimate(machine, recipe, rank) }
    }

    fn run<W: BackendJob>(&self, machine: &Machine, work: W) -> Result<W::Output> {
        match make(machine)? {
            None => NativeBackends.run(machine, work),
            Some(tch) => work.on(|| Ok(Tch::new(tch.place(), compute(machine))?)),
        }
    }
}

fn compute(machine: &Machine) -> Compute {
    match machine.precision {
        Precision::F32 => Compute::F32,
        Precision::Bf16 => Compute::Bf16,
    }
}

/// The libtorch backend, if it is selected.
fn make(machine: &Machine) -> Result<Option<Tch>> {
    machine.check()?;
    let Backend::Tch(device) = &machine.backend else { return Ok(None) };
    let place = device.as_deref().map_or(DeviceKind::Best, |name| name.parse().unwrap_or_default());
    Tch::set_threads(machine.threads());
    Ok(Some(Tch::new(place, compute(machine))?))
}
