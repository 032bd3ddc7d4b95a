//! Against the reference implementation's autograd: hidden states, logits, losses and every gradient.

use hh_core::backend::Backward;
use hh_tests::{
    against::{results, wanted},
    compare::{F32, F64, all_within, distance},
    golden::{Golden, names},
    model::{Numbers, cpu},
};

/// Gradients smaller than this count as zero but for rounding; those of a model like these are around 0.01 to 1.
const FLOOR: f64 = 1e-3;

#[test]
fn f64_agrees_with_the_reference_to_rounding() {
    names().iter().for_each(|name| check(cpu::<f64>(1), name, F64.model).unwrap_or_else(|e| panic!("{name}: {e}")));
}

#[test]
fn f32_agrees_with_the_reference() {
    names().iter().for_each(|name| check(cpu::<f32>(1), name, F32.model).unwrap_or_else(|e| panic!("{name}: {e}")));
}

/// Compares one case; says what differs.
pub(crate) fn check<B: Backward<Tensor: Numbers>>(b: B, name: &str, bound: f64) -> Result<(), String> {
    let golden = Golden::read(name);
    let distances = results(b, &golden).into_iter().map(|(name, found)| {
        let far = distance(&found, wanted(&golden, &name), FLOOR);
        // Losses of a training step come to the host as f32.
        let far = if name.starts_with("trained.") && far < 3e-7 { 0.0 } else { far };
        (name, far)
    });
    all_within(bound, distances.collect())
}
