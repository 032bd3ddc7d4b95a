//! What training minimises: cross-entropy through the tied output table, and the rectified-flow regulariser.

use crate::shape::{Shape, Shaped};

/// A target that is not scored.
pub const IGNORE: u32 = u32::MAX;

/// Linear map and cross-entropy in one: `logits = x · tableᵀ`, never all at once in memory.
///
/// For each row it yields `nll = logsumexp − logit[target]`, `z = logsumexp²` and `smooth = logsumexp − mean logit`,
/// zeros where the target is [`IGNORE`]. With a `mixture` `(u, v)` of each row, as [`Episodic`](super::Episodic) gives it, the
/// model's own nll becomes `nll = −log(exp(u − nll) + exp(v))`. What is differentiated is
/// `scale · Σ_rows [(1 − smoothing) nll + smoothing · smooth + z_weight · z] / (rows that are scored)`.
pub struct CrossEntropy<'a, T, I> {
    /// `[B, T, E]`
    pub x: &'a T,
    /// `[V, E]`
    pub table: &'a T,
    /// Ids `[B, T]`, each below `V` or [`IGNORE`].
    pub targets: &'a I,
    /// `[B, T, 2]` in full precision: what another source of tokens adds to the distribution, if there is one.
    pub mixture: Option<&'a T>,
    /// ε of label smoothing.
    pub smoothing: f32,
    /// λ of the z-loss.
    pub z_weight: f32,
    /// 1, or 1 over the number of accumulated micro-batches.
    pub scale: f32,
}

/// Gradients of [`CrossEntropy`].
pub struct CrossEntropyGrad<'a, T> {
    /// Written, unless unwanted.
    pub x: Option<&'a mut T>,
    /// Added up, unless unwanted.
    pub table: Option<&'a mut T>,
    /// Written; present exactly when the mixture is.
    pub mixture: Option<&'a mut T>,
}

impl<T: Shaped> CrossEntropyGrad<'_, T> {
    /// Checks the shapes against the op's.
    pub fn check<I>(&self, op: &CrossEntropy<'_, T, I>) {
        let same = |d: &Option<&mut T>, x: &T| d.as_ref().is_none_or(|d| d.shape().extents() == x.shape().extents());
        assert!(same(&self.x, op.x) && same(&self.table, op.table), "cross_entropy: gradients");
        assert!(self.mixture.is_some() == op.mixture.is_some(), "cross_entropy: gradient of the mixture");
        assert!(op.mixture.is_none_or(|x| same(&self.mixture, x)), "cross_entropy: gradient of the mixture");
    }
}

/// Extents of [`CrossEntropy`].
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropyDims {
    /// `B · T`
    pub rows: usize,
    /// `E`
    pub width: usize,
    /// `V`
    pub vocab: usize,
    /// Rows that fit the scratch at a time.
    pub chunk: usize,
}

impl<T: Shaped, I: Shaped> CrossEntropy<'_, T, I> {
    /// `losses` is `[B, T, 3]` (nll, z, smooth), `scratch` `[rows at a time, V]`.
    pub fn dims(&self, scratch: Shape, losses: Shape) -> CrossEntropyDims {
        let (x, [_, vocab, width]) = (self.x.shape(), self.table.shape().extents());
        assert!(x.width() == width && self.targets.shape().count() == x.rows(), "cross_entropy: {x}, table {}", self.table.shape());
        assert!(self.mixture.is_none_or(|m| (m.shape().rows(), m.shape().width()) == (x.rows(), 2)), "cross_entropy: mixture");
        assert!(losses.rows() == x.rows() && losses.width() == 3, "cross_entropy: losses {losses}");
        assert!(scratch.width() == vocab && scratch.rows() > 0, "cross_entropy: scratch {scratch} for {vocab} ids");
        CrossEntropyDims { rows: x.rows(), width, vocab, chunk: scratch.rows() }
    }
}

/// A point on the straight path from noise to the target's embedding (rectified flow, Liu et al. 2022):
///
/// ```text
/// x₁ = √E · unit(table[target])    point = (1 − τ) noise + τ x₁    velocity = x₁ − noise
/// ```
///
/// Nothing flows back into the table. Rows whose target is [`IGNORE`] give zeros.
pub struct FlowPoint<'a, T, I> {
    /// Ids `[B, T]`
    pub targets: &'a I,
    /// `[V, E]`
    pub table: &'a T,
    /// `[B, T, E]`, standard normal
    pub noise: &'a T,
    /// `[B, T, 1]`: τ, uniform on `[0, 1)`
    pub time: &'a T,
}

impl<T: Shaped, I: Shaped> FlowPoint<'_, T, I> {
    /// `(rows, E)`
    pub fn dims(&self, point: Shape, velocity: Shape) -> (usize, usize) {
        let [_, _, width] = self.table.shape().extents();
        let rows = self.targets.shape().count();
        assert!(
            (self.time.shape().count(), self.noise.shape().rows(), self.noise.shape().width()) == (rows, rows, width),
            "flow_point: noise"
        );
        assert!(
            point.extents() == self.noise.shape().extents() && point.extents() == velocity.extents(),
            "flow_point: {point}, {velocity}"
        );
        (rows, width)
    }
}

/// `y = silu(x + τ · weight)`, `[B, T, R]`.
pub struct FlowHidden<'a, T> {
    /// `[B, T, R]`
    pub x: &'a T,
    /// `[B, T, 1]`: τ
    pub time: &'a T,
    /// `[R]`
    pub weight: &'a T,
}

/// Gradients of [`FlowHidden`].
pub struct FlowHiddenGrad<'a, T> {
    /// Written.
    pub x: &'a mut T,
    /// Added up.
    pub weight: &'a mut T,
}

impl<T: Shaped> FlowHidden<'_, T> {
    /// `(rows, R)`
    pub fn dims(&self, y: Shape) -> (usize, usize) {
        let x = self.x.shape();
        assert!(
            x.extents() == y.extents() && self.time.shape().count() == x.rows() && self.weight.shape().count() == x.width(),
            "flow_hidden: {x} into {y}"
        );
        (x.rows(), x.width())
    }
}

/// `loss = mean (x − goal)²` over all elements; what is differentiated is `scale · loss`.
pub struct SquaredError<'a, T> {
    /// `[B, T, E]`
    pub x: &'a T,
    /// Of `x`'s shape.
    pub goal: &'a T,
    /// Weight of this loss.
    pub scale: f32,
}

impl<T: Shaped> SquaredError<'_, T> {
    /// `(rows, E)`; `losses` is `[B, T, 1]`: the row's mean.
    pub fn dims(&self, losses: Shape) -> (usize, usize) {
        let x = self.x.shape();
        assert!(x.extents() == self.goal.shape().extents() && losses.count() == x.rows(), "squared_error: {x}, losses {losses}");
        (x.rows(), x.width())
    }
}
