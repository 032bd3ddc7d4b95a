//! The one test binary: every kernel and the whole model on the backends of this build, the readers of foreign bytes, and
//! the program.

mod agreement;
mod allocation;
#[cfg(any(feature = "cuda", feature = "tch"))]
mod backends;
mod causality;
#[cfg(feature = "cuda")]
mod cuda;
mod cuts;
mod differences;
mod dropout;
mod embedding;
mod energy;
mod episodes;
mod faults;
mod golden;
mod hooks;
mod inspection;
mod kernels;
mod lengths;
mod optimiser;
mod probe;
mod program;
mod quantised;
mod readers;
mod resume;
mod sums;
#[cfg(feature = "tch")]
mod tch;
mod vectors;

#[global_allocator]
static HEAP: allocation::Counting = allocation::Counting;
