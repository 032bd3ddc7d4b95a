//! Which machine runs the model: the flags that every command shares, and who follows them.

use crate::costs::Numbers;
use crate::train::memory_estimate::{self, MemoryEstimate};
use crate::train::{Recipe, Settings};
use anyhow::{Result, bail};
use clap::ValueEnum;
use hh_core::backend::Backward;
use hh_cpu::{Cpu, Threads};
use hh_cuda::{Compute, Cuda, Found};
use std::str::FromStr;
use std::thread::available_parallelism;

/// A backend by its name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Backend {
    /// The processor: the cuda backend, which has not been on a device yet, runs where it is asked for.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The NVIDIA GPU of that number.
    Cuda(u16),
    /// libtorch, on the device of that name, or on the best that there is.
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
            _ => Err("there are auto, cpu, cuda, cuda:N, tch, tch:cpu, tch:cuda, tch:cuda:N and tch:mps".to_owned()),
        }
    }
}

/// What products and activations are computed in.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// bfloat16; weights in training, states and statistics stay f32.
    Bf16,
}

/// Where a model runs.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Machine")]
pub struct Machine {
    /// What computes: cpu, an NVIDIA GPU (cuda, cuda:N), or libtorch's best device (tch) or a chosen one (tch:cpu, tch:cuda,
    /// tch:cuda:N, tch:mps); auto is cpu. `hh-runtime doctor` tells what is there
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub backend: Backend,
    /// What it computes in; bf16 on NVIDIA GPUs, and on devices of libtorch that know it
    #[arg(long, value_enum, default_value_t)]
    pub precision: Precision,
    /// Threads of the processor; results of the cpu backend do not depend on it [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

impl Machine {
    /// Threads to use: those asked for, or as many as there are cores.
    pub fn threads(&self) -> usize {
        self.threads.map_or_else(|| available_parallelism().map_or(1, |n| n.get()), usize::from)
    }

    /// The flags that ask for the same backend again, with a space before them; none for the cpu backend.
    pub fn again(&self) -> String {
        let name = match &self.backend {
            Backend::Auto | Backend::Cpu => return String::new(),
            Backend::Cuda(n) => format!("cuda:{n}"),
            Backend::Tch(None) => "tch".to_owned(),
            Backend::Tch(Some(device)) => format!("tch:{device}"),
        };
        let precision = if self.precision == Precision::Bf16 { " --precision bf16" } else { "" };
        format!(" --backend {name}{precision}")
    }

    /// Whether libtorch is asked for.
    pub fn wants_libtorch(&self) -> bool {
        matches!(self.backend, Backend::Tch(_))
    }
}

/// Something to be done on whichever backend the command line asks for.
pub trait BackendJob {
    /// What comes of it.
    type Output;

    /// Does it; `make` makes the backend, as often as it is wanted.
    ///
    /// # Errors
    /// The work's own, and those of `make`: a device that is not there.
    fn on<B: Backward>(self, make: impl Fn() -> Result<B>) -> Result<Self::Output>;
}

/// The backends that a program has. A backend is chosen here, once; below, everything is generic over it.
pub trait Backends: Sync {
    /// Where the work would be done, in words.
    ///
    /// # Errors
    /// One sentence where it cannot be done there.
    fn place(&self, machine: &Machine) -> Result<String>;

    /// What training by this recipe will take of the machine's memory, where that can be told before.
    ///
    /// # Errors
    /// One sentence with the numbers where there is less.
    fn memory_estimate(&self, machine: &Machine, recipe: &Recipe) -> Result<Option<MemoryEstimate>>;

    /// Does the work there.
    ///
    /// # Errors
    /// The work's own; one sentence where it cannot be done there.
    fn run<W: BackendJob>(&self, machine: &Machine, work: W) -> Result<W::Output>;
}

/// What needs no program of its own: the processor, and NVIDIA GPUs.
pub struct NativeBackends;

/// The GPU that the command line asks for, `None` if that is the processor.
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
        if machine.wants_libtorch() {
            bail!("libtorch is in a program of its own, {}: start that one", crate::libtorch::PROGRAM);
        }
        if let Some(gpu) = gpu(machine)? {
            let precision = if machine.precision == Precision::Bf16 { "bf16" } else { "f32" };
            return Ok(format!("{}, cuda:{}, in {precision}", gpu.name, gpu.ordinal));
        }
        if machine.precision != Precision::F32 {
            bail!("the cpu backend computes in f32; --precision bf16 goes with --backend cuda or --backend tch");
        }
        Ok(format!("the CPU, threads: {}", machine.threads()))
    }

    fn memory_estimate(&self, machine: &Machine, recipe: &Recipe) -> Result<Option<MemoryEstimate>> {
        // Texts get room as their lengths come.
        if recipe.objective.is_some() {
            return Ok(None);
        }
        let c = &recipe.model;
        let Some(gpu) = gpu(machine)? else { return Ok(Some(MemoryEstimate::of(c, &recipe.train, Numbers::SINGLE))) };
        let compute = compute(machine);
        let numbers = if compute == Compute::Bf16 { Numbers::HALF } else { Numbers::SINGLE };
        let estimate = |t: &Settings| MemoryEstimate::of(c, t, numbers).with_scratch(Cuda::planned(compute), c, t, |b| b.held()[1]);
        memory_estimate::check(&gpu.name, hh_cuda::free(gpu.ordinal)?, &recipe.train, estimate)?;
        estimate(&recipe.train).map(Some)
    }

    fn run<W: BackendJob>(&self, machine: &Machine, work: W) -> Result<W::Output> {
        self.place(machine)?;
        if let Some(gpu) = gpu(machine)? {
            return work.on(|| Ok(Cuda::new(gpu.ordinal, compute(machine))?));
        }
        let threads = Threads::new(machine.threads());
        work.on(|| Ok(Cpu::<f32>::new(threads.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_what_its_name_says() {
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
        for (name, wanted) in names {
            assert_eq!(name.parse::<Backend>(), wanted, "{name}");
        }
        for name in ["", "tch:", "tch:gpu", "tch:cuda:", "tch:cuda:x", "cpu:0", "Cpu", "cuda:", "cuda:x"] {
            assert!(name.parse::<Backend>().is_err(), "{name}");
        }
    }
}
