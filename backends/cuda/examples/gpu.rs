//! What a GPU makes of the kernels: each against its floor and against PyTorch, then whole training steps, their memory, and
//! losses over some hundred steps beside those of the reference implementation. Prints a table and writes it as `gpu.json`.
//!
//! `gpu [ORDINAL] [--reference reference.py] [--out gpu.json]`; a built program needs nothing but the GPU and a few minutes. PyTorch answers where
//! the Python that `PYTHON` names, or `python3`, has it. `gpu emulated`, with that feature, goes the same way at tiny shapes: its
//! times say nothing. A floor is the larger of bytes over the copy bandwidth and operations over the bf16 matrix rate, both
//! measured here first.

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
#[path = "gpu/streams.rs"]
mod streams;
#[path = "gpu/table.rs"]
mod table;
#[path = "gpu/timing.rs"]
mod timing;

use hh_cuda::{Compute, Cuda, DeviceError, find};
use peer::Peer;
use shapes::Shapes;
use std::{error::Error, path::PathBuf, time::Duration};
use table::Table;

/// How long PyTorch is asked questions: the whole is to be done in ten minutes.
const PATIENCE: Duration = Duration::from_secs(6 * 60);

/// Where all of it runs.
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
            _ => name.parse().map(Self::Gpu).map_err(|_| format!("{name} is no number of a GPU")),
        }
    }

    fn make(&self) -> Result<Cuda, DeviceError> {
        match *self {
            Self::Gpu(ordinal) => Cuda::new(ordinal, Compute::Bf16),
            #[cfg(feature = "emulate")]
            Self::Emulated => Ok(Cuda::emulated(Compute::Bf16)),
        }
    }

    /// In words, and what is measured there.
    fn introduce(&self) -> Result<(String, Shapes), DeviceError> {
        match *self {
            Self::Gpu(ordinal) => {
                let found = find(ordinal)?;
                let capability = format!("compute capability {}.{}", found.capability / 10, found.capability % 10);
                Ok((format!("{}, {capability}", found.name), Shapes::full()))
            }
            #[cfg(feature = "emulate")]
            Self::Emulated => Ok(("the emulated machine, whose times say nothing".into(), Shapes::tiny())),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut place, mut reference, mut out) = (Target::Gpu(0), None, PathBuf::from("gpu.json"));
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--reference" => reference = Some(PathBuf::from(words.next().ok_or("--reference names no file")?)),
            "--out" => out = words.next().ok_or("--out names no file")?.into(),
            name => place = Target::named(name)?,
        }
    }
    let (name, shapes) = place.introduce()?;
    let mut peer = match place {
        Target::Gpu(_) => Peer::start(reference.as_deref(), PATIENCE),
        #[cfg(feature = "emulate")]
        Target::Emulated => Peer::none("no PyTorch is asked"),
    };
    println!("{name}; {}", peer.word);
    let rates = kernels::Rates::measure(&mut place.make()?, &shapes)?;
    println!("copies {:.2} TB/s, multiplies bf16 matrices at {:.0} TFLOP/s\n", rates.bytes / 1e12, rates.operations / 1e12);
    let mut table = Table::begin();
    // What matters most first: PyTorch is asked until time is up.
    steps::all(|| place.make(), &shapes, &mut peer, &mut table)?;
    curve::draw(|| place.make(), &shapes, &mut peer, &mut table)?;
    kernels::all(|| place.make(), &shapes, &mut peer, &mut kernels::keep(&rates, &mut table))?;
    streams::all(|| place.make(), &shapes, &mut peer, &mut kernels::keep(&rates, &mut table))?;
    small::all(|| place.make(), &shapes, &mut peer, &mut kernels::keep(&rates, &mut table))?;
    table.write(&out, &name, &peer.word, &rates)?;
    Ok(())
}
