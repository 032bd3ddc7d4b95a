//! The optimiser's kernel.

use crate::shape::Shaped;

/// AdamW (Loshchilov and Hutter 2019) on the tensors of a model, with clipping and the moving average of the weights:
///
/// ```text
/// g = grad · min(1, clip / sqrt(total))       total: sum of squares over all gradients
/// m = β₁ m + (1 − β₁) g      v = β₂ v + (1 − β₂) g²
/// w = w − lr · rate · ( m̂ / (sqrt(v̂) + eps) + decay · w )      m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)
/// ema = ema + (1 − ema_rate) · (w − ema)
/// grad = 0
/// ```
pub struct AdamW<'a, T> {
    /// `[4]`, in full precision: lr, 1 / (1 − β₁ᵗ), 1 / (1 − β₂ᵗ), ema_rate. In a tensor, since it changes between steps.
    pub schedule: &'a T,
    /// `[1]`, in full precision: the sum of squares of all gradients.
    pub total: &'a T,
    /// Largest norm of the whole gradient; 0 means no clipping.
    pub clip: f32,
    /// β₁
    pub beta1: f32,
    /// β₂
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
}

/// What [`AdamW`] changes: one tensor's weight, gradient, moments and average.
pub struct AdamWLeaf<'a, T> {
    /// The weight.
    pub weight: &'a mut T,
    /// Its gradient; zero afterwards.
    pub grad: &'a mut T,
    /// First moment.
    pub first: &'a mut T,
    /// Second moment.
    pub second: &'a mut T,
    /// Moving average of the weight.
    pub ema: &'a mut T,
    /// Decoupled weight decay of this tensor.
    pub decay: f32,
    /// Learning rate of this tensor, as a multiple of the schedule's.
    pub rate: f32,
}

impl<T: Shaped> AdamW<'_, T> {
    /// Number of elements.
    pub fn dims(&self, leaf: &AdamWLeaf<'_, T>) -> usize {
        let shape = leaf.weight.shape();
        assert!(self.schedule.shape().count() == 4 && self.total.shape().count() == 1, "adamw: schedule, total");
        for t in [&leaf.grad, &leaf.first, &leaf.second, &leaf.ema] {
            assert_eq!(t.shape(), shape, "adamw: one shape for all");
        }
        shape.count()
    }
}
