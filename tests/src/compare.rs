//! How far numbers are from those that they should be, and how far they may be.

/// The tolerance table: how far results in some precision may be from those in f64, as a [`distance`].
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Of what one kernel computes, and of its gradients.
    pub kernel: f64,
    /// Of logits, losses and gradients of a small model: there rounding errors go through all layers.
    pub model: f64,
}

/// Of f64: two orders of summation.
pub const F64: Tolerance = Tolerance { kernel: 1e-11, model: 1e-9 };
/// Of f32.
pub const F32: Tolerance = Tolerance { kernel: 2e-5, model: 5e-4 };
/// Of bf16 products and activations, with all else in f32: 8 bits, so 0.4 % for each rounding. Of a model, its gradient as a
/// whole: the models here are made to be touchy, and magnify rounding errors a hundredfold, so that little more is left than
/// where the gradient points.
pub const BF16: Tolerance = Tolerance { kernel: 5e-2, model: 3e-1 };

/// Root mean square of the error, relative to that of what is wanted; NaN counts as infinitely far.
///
/// Where the wanted numbers are smaller than `floor` in root mean square, the error is relative to `floor`: the
/// gradient of a weight that nothing depends on is zero but for rounding.
pub fn distance(found: &[f64], wanted: &[f64], floor: f64) -> f64 {
    assert_eq!(found.len(), wanted.len(), "numbers to compare");
    let mean = |sum: f64| (sum / wanted.len().max(1) as f64).sqrt();
    let error = mean(found.iter().zip(wanted).map(|(f, w)| (f - w) * (f - w)).sum());
    let size = mean(wanted.iter().map(|w| w * w).sum());
    if error.is_finite() { error / size.max(floor) } else { f64::INFINITY }
}

/// The numbers that differ by more than `bound`, worst first, in one sentence; `Ok` if there are none.
///
/// # Errors
/// That sentence.
pub fn all_within(bound: f64, mut distances: Vec<(String, f64)>) -> Result<(), String> {
    distances.sort_by(|a, b| b.1.total_cmp(&a.1));
    let far: Vec<String> = distances.iter().filter(|(_, d)| *d > bound).map(|(name, d)| format!("{name} {d:.1e}")).collect();
    if far.is_empty() {
        Ok(())
    } else {
        Err(format!("{} of {} differ by more than {bound:.0e}: {}", far.len(), distances.len(), far.join(", ")))
    }
}
