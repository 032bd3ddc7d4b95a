//! Benchmarks of the CUDA backend: kernels against their lower bound (floor) and against PyTorch, then training steps, their
//! memory, and losses over a few hundred steps compared with the reference implementation. Prints a table and writes `gpu.json`.
//!
//! `gpu [ORDINAL] [--reference reference.py] [--out gpu.json]` takes a few minutes. PyTorch is measured if the Python named by
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
use std::{error::Error, path::PathBuf, time::Duration};
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

fn main() -> Result<(), Box<dyn Error>> {
    let (mut target, mut reference, mut out) = (Target::Gpu(0), None, PathBuf::from("gpu.json"));
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--reference" => reference = Some(PathBuf::from(words.next().ok_or("--reference needs a file name")?)),
            "--out" => out = words.next().ok_or("--out needs a file name")?.into(),
            name => target = Target::named(name)?,
        }
    }
    let (name, shapes) = target.describe()?;
    let mut peer = match target {
        Target::Gpu(_) => Peer::start(reference.as_deref(), PEER_TIME),
        #[cfg(feature = "emulate")]
        Target::Emulated => Peer::none("PyTorch is not measured"),
    };
    println!("{name}; {}", peer.status);
    let rates = kernels::Rates::measure(&mut target.make()?, &shapes)?;
    println!("copies {:.2} TB/s, multiplies bf16 matrices at {:.0} TFLOP/s\n", rates.bytes / 1e12, rates.operations / 1e12);
    let mut table = Table::begin();
    // Most important first, since PyTorch is measured within a time limit.
    steps::all(|| target.make(), &shapes, &mut peer, &mut table)?;
    curve::draw(|| target.make(), &shapes, &mut peer, &mut table)?;
    kernels::all(|| target.make(), &shapes, &mut peer, &mut kernels::line_to(&rates, &mut table))?;
    bandwidth::all(|| target.make(), &shapes, &mut peer, &mut kernels::line_to(&rates, &mut table))?;
    small::all(|| target.make(), &shapes, &mut peer, &mut kernels::line_to(&rates, &mut table))?;
    table.write(&out, &name, &peer.status, &rates)?;
    Ok(())
}
