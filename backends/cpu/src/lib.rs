//! The CPU backend: every kernel forward and, with the feature `train`, backward, for f32, and with the feature `f64` for f64.
//!
//! `no_std` + alloc without features; feature `std` adds threads and run-time SIMD dispatch.
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(not(feature = "train"), allow(dead_code, unused_imports, reason = "gradients stand beside the kernels that they belong to"))]
extern crate alloc;

mod adamw;
mod add;
mod attend;
mod average;
#[cfg(feature = "train")]
mod backward;
mod buffer;
mod channels;
mod conv;
mod cross_entropy;
mod dropout;
mod embed;
mod episodic;
mod error;
mod float;
mod flow_hidden;
mod flow_point;
mod forward;
mod gate;
mod hebbian;
mod last;
mod lookup;
mod matmul;
mod mix;
mod muon;
mod norm;
mod polynomial;
mod pool;
mod positions;
mod quant;
mod random;
mod real;
mod recall;
mod reduce;
mod rotate;
mod scan;
mod scratch;
mod share;
mod simd;
mod squared_error;
mod strip;
mod sum_squares;
mod swiglu;
mod tensor;
#[cfg(all(test, feature = "std"))]
mod tests;
mod threads;
mod tile;
#[cfg(feature = "std")]
mod workers;

pub use error::OutOfMemory;
pub use float::{Float, OnCpu};
pub use real::Real;
pub use simd::Level;
pub use tensor::{Cpu, Indices, Tensor};
pub use threads::Threads;
