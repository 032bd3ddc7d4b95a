//! Selection of the backend and device: the shared command-line options, and the dispatch to a backend.

use crate::costs::Numbers;
use crate::train::memory_estimate::{self, MemoryEstimate};
use crate::train::{Recipe, Settings};
use anyhow::{Result, bail};
use clap::ValueEnum;
use hh_core::backend::Backward;
use hh_core::train::Rank;
use hh_cpu::{Cpu, Level, Threads};
use hh_cuda::{Compute, Cuda, Found};
use std::str::FromStr;
use std::thread::available_parallelism;

/// A backend and device, parsed from `--backend`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Backend {
    /// The default: the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The NVIDIA GPU with this ordinal.
    Cuda(u16),
    /// libtorch, on the named device, or on the best available one.
    Tch(Option<String>),
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let device =
            |name: &str| ["cpu", "cuda", "mps"].contains(&name) || name.strip_prefix("cuda:").is_some_and(|n| n.parse::<u16>().is_ok());
        match name.split_once(':') {
            None if name == "auto" => Ok(Self::Auto),
            None if name == "cpu" => Ok(Self::Cpu),
            None if name == "cuda" => Ok(Self::Cuda(0)),
            None if name == "tch" => Ok(Self::Tch(None)),
            Some(("cuda", n)) if n.parse::<u16>().is_ok() => Ok(Self::Cuda(n.parse().unwrap_or_default())),
            Some(("tch", of)) if device(of) => Ok(Self::Tch(Some(of.to_owned()))),
            _ => Err("the backends are auto, cpu, cuda, cuda:N, tch, tch:cpu, tch:cuda, tch:cuda:N and tch:mps".to_owned()),
        }
    }
}

/// Data type of matrix products and activations.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// bfloat16; weights in training, states and statistics stay f32.
    Bf16,
}

/// Backend options.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Backend")]
pub struct Machine {
    /// Backend: cpu, an NVIDIA GPU (cuda, cuda:N), or libtorch on its best device (tch) or a given one (tch:cpu, tch:cuda,
    /// tch:cuda:N, tch:mps); auto is cpu. `hh-runtime doctor` lists the available ones
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub backend: Backend,
    /// Compute precision; bf16 needs an NVIDIA GPU or a libtorch device that supports it
    #[arg(long, value_enum, default_value_t)]
    pub precision: Precision,
    /// CPU threads; results of the cpu backend do not depend on it [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Compute on the CPU with the same bits as a browser and a microcontroller do, more slowly
    #[arg(long)]
    pub portable: bool,
}

impl Machine {
    /// Number of CPU threads: `--threads`, or the number of cores.
    pub fn threads(&self) -> usize {
        self.threads.map_or_else(|| available_parallelism().map_or(1, |n| n.get()), usize::from)
    }

    /// Says whether the options go together.
    ///
    /// # Errors
    /// `--portable` with a backend that is not the CPU's.
    pub fn check(&self) -> Result<()> {
        if self.portable && !matches!(self.backend, Backend::Auto | Backend::Cpu) {
            bail!("--portable is for the cpu backend: leave out one of --portable and --backend");
        }
        Ok(())
    }

    /// The flags that select the same backend again, with a leading space; empty for the cpu backend.
    pub fn again(&self) -> String {
        let name = match &self.backend {
            Backend::Auto | Backend::Cpu => return if self.portable { " --portable".to_owned() } else { String::new() },
            Backend::Cuda(n) => format!("cuda:{n}"),
            Backend::Tch(None) => "tch".to_owned(),
            Backend::Tch(Some(device)) => format!("tch:{device}"),
        };
        let precision = if self.precision == Precision::Bf16 { " --precision bf16" } else { "" };
        format!(" --backend {name}{precision}")
    }

    /// Whether the backend is libtorch.
    pub fn wants_libtorch(&self) -> bool {
        matches!(self.backend, Backend::Tch(_))
    }
}

/// A job that is generic over the backend.
pub trait BackendJob {
    /// The result.
    type Output;

    /// Runs the job; `make` creates a backend and may be called repeatedly.
    ///
    /// # Errors
    /// Those of the job, and those of `make`: a device that is unavailable.
    fn on<B: Backward>(self, make: impl Fn() -> Result<B>) -> Result<Self::Output>;
}

/// The backends of a program. This is the only place that selects a backend; everything called from it is generic.
pub trait Backends: Sync {
    /// Describes the selected device for messages.
    ///
    /// # Errors
    /// A device or precision that is unavailable.
    fn place(&self, machine: &Machine) -> Result<String>;

    /// Estimates the memory that training with this recipe takes on the device of this rank; `None` if it cannot be estimated.
    ///
    /// # Errors
    /// A device that is unavailable or has less free memory.
    fn memory_estimate(&self, machine: &Machine, recipe: &Recipe, rank: Rank) -> Result<Option<MemoryEstimate>>;

    /// Runs a job on the selected backend.
    ///
    /// # Errors
    /// Those of the job, and a device or precision that is unavailable.
    fn run<W: BackendJob>(&self, machine: &Machine, work: W) -> Result<W::Output>;
}

/// The backends of `hh-runtime` itself: CPU and NVIDIA GPUs.
pub struct NativeBackends;

/// The selected GPU; `None` if the backend is another one.
fn gpu(machine: &Machine) -> Result<Option<Found>> {
    match machine.backend {
        Backend::Cuda(n) => Ok(Some(hh_cuda::find(n.into())?)),
        Backend::Auto | Backend::Cpu | Backend::Tch(_) => Ok(None),
    }
}

fn compute(machine: &Machine) -> Compute {
    match machine.precision {
        Precision::F32 => Compute::F32,
        Precision::Bf16 => Compute::Bf16,
    }
}

impl Backends for NativeBackends {
    fn place(&self, machine: &Machine) -> Result<String> {
        machine.check()?;
        if machine.wants_libtorch() {
            bail!("libtorch is in the separate program {}: run that one", crate::libtorch::PROGRAM);
        }
        if let Some(gpu) = gpu(machine)? {
            let precision = if machine.precision == Precision::Bf16 { "bf16" } else { "f32" };
            return Ok(format!("{}, cuda:{}, in {precision}", gpu.name, gpu.ordinal));
        }
        if machine.precision != Precision::F32 {
            bail!("the cpu backend computes in f32; --precision bf16 needs --backend cuda or --backend tch");
        }
        Ok(format!("the CPU, threads: {}", machine.threads()))
    }

    fn memory_estimate(&self, machine: &Machine, recipe: &Recipe, rank: Rank) -> Result<Option<MemoryEstimate>> {
        // Embedding objectives allocate by the lengths of the texts, which are not known yet.
        if recipe.objective.is_some() {
            return Ok(None);
        }
        let c = &recipe.model;
        let Some(gpu) = gpu(machine)? else { return Ok(Some(MemoryEstimate::of(c, &recipe.train, rank, Numbers::SINGLE))) };
        let compute = compute(machine);
        let numbers = if compute == Compute::Bf16 { Numbers::HALF } else { Numbers::SINGLE };
        let estimate = |t: &Settings| MemoryEstimate::of(c, t, rank, numbers).with_scratch(Cuda::planned(compute), c, t, |b| b.held()[1]);
        memory_estimate::check(&gpu.name, hh_cuda::free(gpu.ordinal)?, &recipe.train, estimate)?;
        estimate(&recipe.train).map(Some)
    }

    fn run<W: BackendJob>(&self, machine: &Machine, work: W) -> Result<W::Output> {
        self.place(machine)?;
        if let Some(gpu) = gpu(machine)? {
            return work.on(|| Ok(Cuda::new(gpu.ordinal, compute(machine))?));
        }
        let threads = Threads::new(machine.threads());
        let level = if machine.portable { Level::portable() } else { Level::detect() };
        work.on(|| Ok(Cpu::<f32>::with_level(threads.clone(), level)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backend_names_are_parsed() {
        let tch = |device: Option<&str>| Ok(Backend::Tch(device.map(str::to_owned)));
        let names = [
            ("auto", Ok(Backend::Auto)),
            ("cpu", Ok(Backend::Cpu)),
            ("cuda", Ok(Backend::Cuda(0))),
            ("cuda:3", Ok(Backend::Cuda(3))),
            ("tch", tch(None)),
            ("tch:cpu", tch(Some("cpu"))),
            ("tch:cuda", tch(Some("cuda"))),
            ("tch:cuda:3", tch(Some("cuda:3"))),
            ("tch:mps", tch(Some("mps"))),
        ];
        for (name, expected) in names {
            assert_eq!(name.parse::<Backend>(), expected, "{name}");
        }
        for name in ["", "tch:", "tch:gpu", "tch:cuda:", "tch:cuda:x", "cpu:0", "Cpu", "cuda:", "cuda:x"] {
            assert!(name.parse::<Backend>().is_err(), "{name}");
        }
    }
}
