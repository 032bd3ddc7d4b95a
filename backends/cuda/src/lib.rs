//! The hh language model on NVIDIA GPUs, compute capability 8.0 and newer.
//!
//! A kernel `x` is `x.cu`, in CUDA C++, and `x.rs`, which launches it. `launch` is the one address of unsafe code: memory,
//! launches and matrix products, on the driver or, with feature `emulate`, on a device in C++ that runs the same sources.
//! Nothing of NVIDIA's is needed to build this crate; the driver, NVRTC and cuBLASLt are looked for when a program runs.

mod attend;
mod backward;
mod conv;
mod cross_entropy;
mod device;
mod embed;
mod error;
mod flow;
mod forward;
mod gate;
mod hebbian;
mod launch;
mod lookup;
mod matmul;
mod mix;
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
pub use launch::detect::{Found, find, free, look};
pub use recording::Recording;
pub use tensor::{Indices, Tensor};
