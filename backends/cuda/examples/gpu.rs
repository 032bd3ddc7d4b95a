//! What a GPU makes of the kernels: each against its floor, and whole training steps. Prints a table and writes `gpu.json`.
//!
//! `cargo run --release -p hh-cuda --example gpu [ORDINAL]`; a built program needs nothing but the GPU, and a few minutes.
//! A floor is the larger of bytes over the copy bandwidth and operations over the bf16 matrix rate, both measured here first.

#[path = "gpu/kernels.rs"]
mod kernels;
#[path = "gpu/steps.rs"]
mod steps;
#[path = "gpu/timing.rs"]
mod timing;

use hh_cuda::{Compute, Cuda, find};
use std::{error::Error, fs};

/// One line of the table.
struct Line {
    name: String,
    /// Seconds of one run.
    seconds: f64,
    /// Seconds that nothing can beat, where that is known.
    floor: Option<f64>,
    /// What else is to be said: tokens a second.
    note: String,
}

impl Line {
    fn print(&self) {
        let floor =
            self.floor.map_or(String::new(), |floor| format!("{:9.1} us floor, {:3.0} %", floor * 1e6, 100.0 * floor / self.seconds));
        println!("{:44} {:11.1} us {floor} {}", self.name, self.seconds * 1e6, self.note);
    }

    fn json(&self) -> String {
        let floor = self.floor.map_or("null".to_owned(), |floor| format!("{floor:e}"));
        format!(r#"{{"name": "{}", "seconds": {:e}, "floor": {floor}, "note": "{}"}}"#, self.name, self.seconds, self.note)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let ordinal = std::env::args().nth(1).map_or(Ok(0), |n| n.parse())?;
    let found = find(ordinal)?;
    println!("{}, compute capability {}.{}", found.name, found.capability / 10, found.capability % 10);
    let make = || Cuda::new(ordinal, Compute::Bf16);
    let rates = kernels::Rates::measure(&mut make()?)?;
    println!("copies {:.2} TB/s, multiplies bf16 matrices at {:.0} TFLOP/s\n", rates.bytes / 1e12, rates.operations / 1e12);
    let mut lines = Vec::new();
    let mut keep = |line: Line| {
        line.print();
        lines.push(line.json());
    };
    kernels::all(make, &rates, &mut keep)?;
    steps::all(make, &mut keep)?;
    let report = format!(
        "{{\"device\": \"{}\", \"bytes_per_second\": {:e}, \"operations_per_second\": {:e}, \"lines\": [\n{}\n]}}\n",
        found.name,
        rates.bytes,
        rates.operations,
        lines.join(",\n")
    );
    fs::write("gpu.json", report)?;
    Ok(())
}
