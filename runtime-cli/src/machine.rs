//! Which machine runs the model: the flags that every command shares.

use clap::ValueEnum;
use hh_cpu::{Cpu, Threads};
use std::thread::available_parallelism;

/// A backend by its name.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Backend {
    /// The fastest that this build and this machine have.
    #[default]
    Auto,
    /// The processor.
    Cpu,
}

/// Where a model runs.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Machine")]
pub struct Machine {
    /// What computes; auto takes the fastest that `hh-runtime doctor` lists as usable
    #[arg(long, value_enum, default_value_t)]
    pub backend: Backend,
    /// Threads of the cpu backend; results do not depend on it [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

impl Machine {
    /// Threads to use: those asked for, or as many as there are cores.
    pub fn threads(&self) -> usize {
        self.threads.map_or_else(|| available_parallelism().map_or(1, |n| n.get()), usize::from)
    }

    /// The cpu backend, in f32.
    pub fn cpu(&self) -> Cpu<f32> {
        Cpu::new(Threads::new(self.threads()))
    }
}
