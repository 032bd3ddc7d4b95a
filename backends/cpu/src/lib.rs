//! The CPU backend: every kernel forward and backward, generic over f32 and f64.
//!
//! `no_std` + alloc without features; feature `std` adds threads (rayon) and the choice of vector instructions at run time.
#![cfg_attr(not(feature = "std"), no_std)]
extern crate alloc;

mod float;
mod polynomial;
mod simd;
mod tensor;
mod threads;

pub use float::Float;
pub use simd::Level;
pub use tensor::{Cpu, Indices, OutOfMemory, Tensor};
pub use threads::Threads;
