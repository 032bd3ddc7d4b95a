//! The libtorch backend: CPU, CUDA and MPS devices.
//!
//! Every kernel is written once, as a formula in torch operations. [`Forward`](hh_core::backend::Forward) evaluates it;
//! [`Backward`](hh_core::backend::Backward) recomputes it under torch's autograd, so that gradients do not depend on
//! derivations of this project: the other backends are checked against them. Only matrix products have hand-written
//! gradients, since recomputing would need one more product; a test compares them with autograd.

mod adamw;
mod attend;
mod average;
mod backward;
mod conv;
mod cross_entropy;
mod device;
mod device_kind;
mod draw;
mod dropout;
mod embed;
mod episodic;
mod error;
mod flow;
mod forward;
mod gate;
mod heads;
mod hebbian;
mod matmul;
mod mix;
mod muon;
mod norm;
mod pool;
mod positions;
mod recall;
mod replay;
mod ring;
mod rotate;
mod scan;
mod squared_error;
mod swiglu;
mod tensor;
#[cfg(test)]
mod tests;
mod value;

pub use device::{Compute, Tch};
pub use device_kind::{DeviceKind, LIBTORCH, devices};
pub use error::DeviceError;
pub use tensor::{Indices, Tensor};
