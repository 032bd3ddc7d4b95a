//! The number types that the CPU backend computes in: f32 to use, f64 (a feature) to check gradients with.

use crate::{
    error::OutOfMemory,
    real::Real,
    tensor::{Cpu, Indices, Tensor},
};
#[cfg(feature = "train")]
use hh_core::backend::Backward as Backend;
#[cfg(not(feature = "train"))]
use hh_core::backend::Forward as Backend;

/// An element type whose [`Cpu`] is a backend, with gradients under the feature `train`: the bound of functions that are generic over
/// it.
pub trait Float:
    Real + OnCpu<Machine = Cpu<Self>> + OnCpu<Machine: Backend<Tensor = Tensor<Self>, Indices = Indices, Error = OutOfMemory>>
{
}

impl Float for f32 {}
#[cfg(any(test, feature = "f64"))]
impl Float for f64 {}

/// Lets [`Float`] state that [`Cpu<F>`](Cpu) is a backend, which is implemented for each type by name.
pub trait OnCpu {
    /// `Cpu<Self>`
    type Machine;
}

impl OnCpu for f32 {
    type Machine = Cpu<f32>;
}

#[cfg(any(test, feature = "f64"))]
impl OnCpu for f64 {
    type Machine = Cpu<f64>;
}
