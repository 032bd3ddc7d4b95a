//! What is the processor's own: products over quantised weights, bits that do not depend on where a gradient goes. The kernels
//! themselves are tested by the suite in `tests/src/kernels`.

mod matmul;
mod quant;

use crate::{Cpu, Float, Indices, Level, Tensor, Threads};
use hh_core::{
    backend::{Device, Precision},
    rng,
    shape::{Shape, Shaped},
};

/// Numbers on [−1, 1) that f32 holds exactly, others for each seed.
fn numbers(seed: u32, shape: Shape) -> Vec<f64> {
    (0..shape.count()).map(|i| f64::from(rng::uniform([seed, 0, 0, 0], 7, i as u32)) * 2.0 - 1.0).collect()
}

fn tensor<F: Float>(shape: Shape, numbers: &[f64]) -> Tensor<F> {
    let mut t = Cpu::<F>::new(Threads::one()).alloc(shape, Precision::Full).expect("memory");
    assert_eq!(shape.count(), numbers.len());
    t.data_mut().iter_mut().zip(numbers).for_each(|(t, &x)| *t = F::of(x));
    t
}

fn filled<F: Float>(shape: Shape, value: f64) -> Tensor<F> {
    tensor(shape, &vec![value; shape.count()])
}

fn indices(shape: Shape, numbers: &[u32]) -> Indices {
    let mut cpu = Cpu::<f32>::new(Threads::one());
    let mut t = cpu.alloc_indices(shape).expect("memory");
    cpu.upload_indices(numbers, &mut t).expect("no device to lose");
    t
}

/// Relative root mean square below `bound`, and no NaN. Numbers far below the inputs' size, 1, count as rounding errors.
fn close(name: &str, found: &[f64], wanted: &[f64], bound: f64) {
    assert_eq!(found.len(), wanted.len());
    let (error, size) = found.iter().zip(wanted).fold((0.0, 0.0), |(e, s), (f, w)| (e + (f - w) * (f - w), s + w * w));
    assert!(f64::sqrt(error) <= bound * f64::sqrt(size.max(0.1 * wanted.len() as f64)), "{name}: {error:e} of {size:e}");
}
