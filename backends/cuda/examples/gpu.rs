//! Benchmarks of the CUDA backend: kernels against their lower bound (floor) and against PyTorch, then training steps, their
//! memory, and losses over a few hundred steps compared with the reference implementation. Prints a table and writes `gpu.jsonl`,
//! a line for each row as it is measured.
//!
//! `gpu [ORDINAL] [--stage steps,kernels,peers] [--reference reference.py] [--out gpu.jsonl]` takes a few minutes. PyTorch is measured if the Python named by
//! `PYTHON`, or `python3`, has it. `gpu emulated`, with feature `emulate`, runs the same at tiny shapes: its times are
//! meaningless. A floor is the larger of bytes over the copy bandwidth and operations over the bf16 matrix rate, both measured
//! first.

#[path = "gpu/bandwidth.rs"]
mod bandwidth;
#[path = "gpu/curve.rs"]
mod curve;
#[path = "gpu/kernels.rs"]
mod kernels;
#[path = "gpu/peer.rs"]
mod peer;
#[path = "gpu/shapes.rs"]
mod shapes;
#[path = "gpu/small.rs"]
mod small;
#[path = "gpu/steps.rs"]
mod steps;
#[path = "gpu/table.rs"]
mod table;
#[path = "gpu/timing.rs"]
mod timing;

use hh_cuda::{Compute, Cuda, DeviceError, find};
use peer::Peer;
use shapes::Shapes;
use std::{
    error::Error,
    fmt::Display,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};
use table::Table;

/// Time limit for measurements of PyTorch, so that the whole takes at most ten minutes.
const PEER_TIME: Duration = Duration::from_secs(6 * 60);

/// The device to measure.
enum Target {
    Gpu(usize),
    #[cfg(feature = "emulate")]
    Emulated,
}

impl Target {
    fn named(name: &str) -> Result<Self, String> {
        match name {
            #[cfg(feature = "emulate")]
            "emulated" => Ok(Self::Emulated),
            _ => name.parse().map(Self::Gpu).map_err(|_| format!("{name} is not the ordinal of a GPU")),
        }
    }

    fn make(&self) -> Result<Cuda, DeviceError> {
        match *self {
            Self::Gpu(ordinal) => Cuda::new(ordinal, Compute::Bf16),
            #[cfg(feature = "emulate")]
            Self::Emulated => Ok(Cuda::emulated(Compute::Bf16)),
        }
    }

    /// The device's description, and the shapes to measure.
    fn describe(&self) -> Result<(String, Shapes), DeviceError> {
        match *self {
            Self::Gpu(ordinal) => {
                let found = find(ordinal)?;
                let capability = format!("compute capability {}.{}", found.capability / 10, found.capability % 10);
                Ok((format!("{}, {capability}", found.name), Shapes::full()))
            }
            #[cfg(feature = "emulate")]
            Self::Emulated => Ok(("the emulated device, whose times are meaningless".into(), Shapes::tiny())),
        }
    }
}

/// What to measure.
#[derive(Clone, Copy)]
struct Stages {
    steps: bool,
    kernels: bool,
    /// PyTorch, of whatever is measured.
    peers: bool,
}

impl Stages {
    /// `steps`, `kernels` and `peers`, separated by commas; `peers` alone measures all, this backend briefly.
    fn named(names: &str) -> Result<Self, String> {
        let mut stages = Self { steps: false, kernels: false, peers: false };
        for name in names.split(',') {
            match name {
                "steps" => stages.steps = true,
                "kernels" => stages.kernels = true,
                "peers" => stages.peers = true,
                _ => return Err(format!("{name} is no stage: choose of steps, kernels and peers")),
            }
        }
        Ok(stages)
    }
}

/// Runs a measurement; an error or a panic is noted, and the next measurement begins.
fn measure<E: Display>(name: &str, table: &mut Table, work: impl FnOnce(&mut Table) -> Result<(), E>) {
    match catch_unwind(AssertUnwindSafe(|| work(table))) {
        Ok(Ok(())) => {}
        Ok(Err(e)) => table.fault(name, e),
        Err(_) => table.fault(name, "panicked; see the message above"),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("gpu: {e}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let (mut target, mut reference, mut out) = (Target::Gpu(0), None, PathBuf::from("gpu.jsonl"));
    let mut stages = Stages { steps: true, kernels: true, peers: true };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--reference" => reference = Some(PathBuf::from(value()?)),
            "--out" => out = value()?.into(),
            "--stage" => stages = Stages::named(&value()?)?,
            name => target = Target::named(name)?,
        }
    }
    let (name, mut shapes) = target.describe()?;
    if stages.peers && !(stages.steps || stages.kernels) {
        shapes.min_seconds *= 0.1;
        (stages.steps, stages.kernels) = (true, true);
    }
    let mut peer = match target {
        Target::Gpu(_) if stages.peers => Peer::start(reference.as_deref(), PEER_TIME),
        _ => Peer::none("PyTorch is not measured"),
    };
    println!("{name}; {}", peer.status);
    let mut table = Table::begin(&out, &name, &peer.status)?;
    let rates = kernels::Rates::measure(&mut target.make()?, &shapes)?;
    table.rates(&rates);
    // Most important first, since PyTorch is measured within a time limit.
    if stages.steps {
        for &step in &shapes.steps {
            measure(step.0, &mut table, |table| steps::measure(|| target.make(), &shapes, step, &mut peer, table));
        }
        measure("loss curve", &mut table, |table| curve::draw(|| target.make(), &shapes, &mut peer, table));
    }
    if stages.kernels {
        for (name, run) in [&kernels::ALL[..], &bandwidth::ALL, &small::ALL].concat() {
            let once = |table: &mut Table| run(&mut target.make()?, &shapes, &mut peer, &mut kernels::line_to(&rates, table));
            measure(name, &mut table, once);
        }
    }
    Ok(())
}
