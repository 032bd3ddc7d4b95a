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

/// Coefficients of the Newton-Schulz polynomial `a + b A + c A²` (Jordan et al. 2024): steep at 0, so that few steps raise small
/// singular values, at the price of leaving all of them between about 0.7 and 1.2 instead of at 1.
pub const NEWTON_SCHULZ: [f64; 3] = [3.4445, -4.7750, 2.0315];

/// Muon (Jordan et al. 2024) on the matrices of a model, with the clipping and the moving average of [`AdamW`]. Each
/// [part](MuonLeaf::parts) of a matrix is orthogonalised on its own:
///
/// ```text
/// g = grad · min(1, clip / sqrt(total))       total: sum of squares over all gradients
/// m = μ m + (1 − μ) g      u = μ m + (1 − μ) g                    Nesterov momentum
/// X₀ = u / max(|u|, eps)   |u|: Frobenius norm of the part; Uᵀ in place of U if it has more rows than columns
/// A = X Xᵀ                 Xₖ₊₁ = (a + b A + c A²) Xₖ              `steps` times
/// w = w − lr · rate · ( max(1, rows / columns)^½ · X + decay · w )
/// ema = ema + (1 − ema_rate) · (w − ema)
/// grad = 0
/// ```
pub struct Muon<'a, T> {
    /// `[4]`, in full precision, as [`AdamW::schedule`]: lr is the first, ema_rate the last.
    pub schedule: &'a T,
    /// `[1]`, in full precision: the sum of squares of all gradients.
    pub total: &'a T,
    /// Largest norm of the whole gradient; 0 means no clipping.
    pub clip: f32,
    /// μ
    pub momentum: f32,
    /// Smallest norm that an update is divided by.
    pub eps: f32,
    /// Newton-Schulz steps.
    pub steps: usize,
}

/// A rectangle of a matrix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rectangle {
    /// First row.
    pub row: usize,
    /// Number of rows.
    pub rows: usize,
    /// First column.
    pub column: usize,
    /// Number of columns.
    pub columns: usize,
}

impl Rectangle {
    /// Rows and columns of the factor X: no more rows than columns.
    pub fn flat(&self) -> [usize; 2] {
        [self.rows.min(self.columns), self.rows.max(self.columns)]
    }

    /// `max(1, rows / columns)^½`: an orthogonal matrix that is taller than wide changes its outputs by less.
    pub fn scale(&self) -> f64 {
        libm::sqrt((self.rows as f64 / self.columns as f64).max(1.0))
    }
}

/// What [`Muon`] changes: one matrix's weight, gradient, momentum and average.
pub struct MuonLeaf<'a, T> {
    /// The weight.
    pub weight: &'a mut T,
    /// Its gradient; zero afterwards.
    pub grad: &'a mut T,
    /// Moving average of the gradient.
    pub momentum: &'a mut T,
    /// Moving average of the weight.
    pub ema: &'a mut T,
    /// Decoupled weight decay of this matrix.
    pub decay: f32,
    /// Learning rate of this matrix, as a multiple of the schedule's.
    pub rate: f32,
    /// The matrices that are packed into this one, which cover it.
    pub parts: &'a [Rectangle],
}

impl<T: Shaped> Muon<'_, T> {
    /// Rows and columns.
    pub fn dims(&self, leaf: &MuonLeaf<'_, T>) -> [usize; 2] {
        let shape = leaf.weight.shape();
        assert!(self.schedule.shape().count() == 4 && self.total.shape().count() == 1, "muon: schedule, total");
        for t in [&leaf.grad, &leaf.momentum, &leaf.ema] {
            assert_eq!(t.shape(), shape, "muon: one shape for all");
        }
        let [rows, columns] = [shape.rows(), shape.width()];
        let inside = |p: &Rectangle| p.row + p.rows <= rows && p.column + p.columns <= columns && p.rows * p.columns > 0;
        assert!(shape.rank() == 2 && leaf.parts.iter().all(inside), "muon: parts of a matrix {shape}");
        assert_eq!(leaf.parts.iter().map(|p| p.rows * p.columns).sum::<usize>(), shape.count(), "muon: parts cover the matrix {shape}");
        [rows, columns]
    }
}
