//! The CUDA backend of hh, for NVIDIA GPUs of compute capability 8.0 and newer.
//!
//! Kernel `x` is `x.cu`, in CUDA C++, and `x.rs`, which launches it. All unsafe code is in `launch`: memory, kernel launches
//! and matrix products, on the driver or, with feature `emulate`, on an emulated device in C++ that runs the same sources.
//! Building this crate needs no NVIDIA software; the driver, NVRTC and cuBLASLt are loaded at run time.

mod add;
mod attend;
mod backward;
mod conv;
mod cross_entropy;
mod device;
mod embed;
mod episodic;
mod error;
mod flow;
mod forward;
mod gate;
mod hebbian;
mod launch;
mod lookup;
mod matmul;
mod mix;
mod muon;
mod norm;
mod optimise;
mod pool;
mod random;
mod recall;
mod recording;
mod refine;
mod rotate;
mod scan;
mod scratch;
mod sums;
mod swiglu;
mod tensor;

pub use device::{Compute, Cuda};
pub use error::DeviceError;
pub use launch::{
    compile::{check_compiler, precompile},
    detect::{Found, find, free, look},
};
pub use recording::Recording;
pub use tensor::{Indices, Tensor};
