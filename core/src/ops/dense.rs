//! Embedding, matrix product, norm, feed-forward gate.

use super::GradOut;
use crate::shape::{Shape, Shaped};

/// `y[b, t] = table[token[b, t]]`, `y` `[B, T, E]`.
pub struct Embed<'a, T, I> {
    /// Ids `[B, T]`, each below `V` (the caller has checked).
    pub tokens: &'a I,
    /// `[V, E]`
    pub table: &'a T,
}

/// Extents of [`Embed`].
#[derive(Clone, Copy, Debug)]
pub struct EmbedDims {
    /// `B · T`
    pub rows: usize,
    /// `E`
    pub width: usize,
}

impl<T: Shaped, I: Shaped> Embed<'_, T, I> {
    /// Checks the output's shape.
    pub fn dims(&self, y: Shape) -> EmbedDims {
        let (tokens, table) = (self.tokens.shape(), self.table.shape());
        assert_eq!((y.rows(), y.width()), (tokens.count(), table.width()), "embed: {tokens} of {table} into {y}");
        EmbedDims { rows: tokens.count(), width: table.width() }
    }
}

/// `y[b, t] += table[clock + t]`: learned absolute positions, `y` `[B, T, D]`.
pub struct Positions<'a, T, I> {
    /// `[max_len, D]`; `clock + T` is at most `max_len` (the caller has checked).
    pub table: &'a T,
    /// How many positions came before, one number for all sequences or `B` of them; none if absent.
    pub clock: Option<&'a I>,
}

impl<T: Shaped, I: Shaped> Positions<'_, T, I> {
    /// `[B, T, D]`
    pub fn dims(&self, y: Shape) -> [usize; 3] {
        let ([_, time, width], table) = (y.extents(), self.table.shape());
        assert!(table.width() == width && time <= table.rows(), "positions: {table} onto {y}");
        if let Some(clock) = self.clock {
            let n = clock.shape().count();
            assert!(n == 1 || n == y.extents()[0], "positions: clock");
        }
        y.extents()
    }
}

/// `y = x · wᵀ (+ bias) (+ add)`, `y` `[…, out]`.
pub struct Matmul<'a, T> {
    /// `[…, in]`
    pub x: &'a T,
    /// `[out, in]`
    pub w: &'a T,
    /// `[out]`
    pub bias: Option<&'a T>,
    /// A residual of `y`'s shape. Its gradient is `dy` itself and none of this kernel's business.
    pub add: Option<&'a T>,
}

impl<'a, T> Matmul<'a, T> {
    /// `x · wᵀ`
    pub fn new(x: &'a T, w: &'a T) -> Self {
        Self { x, w, bias: None, add: None }
    }
}

/// Gradients of [`Matmul`].
pub struct MatmulGrad<'a, T> {
    /// `dy · w`
    pub x: GradOut<'a, T>,
    /// `+= dyᵀ · x`
    pub w: &'a mut T,
    /// `+= Σ dy`; present exactly when the bias is.
    pub bias: Option<&'a mut T>,
}

/// Extents of [`Matmul`].
#[derive(Clone, Copy, Debug)]
pub struct MatmulDims {
    /// Rows of `x` and `y`.
    pub rows: usize,
    /// Columns of `x` and `w`.
    pub inp: usize,
    /// Rows of `w`, columns of `y`.
    pub out: usize,
}

impl<T: Shaped> Matmul<'_, T> {
    /// Checks all shapes against the output's.
    pub fn dims(&self, y: Shape) -> MatmulDims {
        let (x, w) = (self.x.shape(), self.w.shape());
        let [one, out, inp] = w.extents();
        assert!(one == 1 && x.width() == inp && y.width() == out && x.rows() == y.rows(), "matmul: {x} · {w}ᵀ into {y}");
        if let Some(b) = self.bias {
            assert_eq!(b.shape().count(), out, "matmul: bias of {w}");
        }
        if let Some(a) = self.add {
            assert_eq!(a.shape().extents(), y.extents(), "matmul: residual");
        }
        MatmulDims { rows: x.rows(), inp, out }
    }
}

/// `y = gain ∘ x / sqrt(mean(x²) + eps)` over the last extent (Zhang and Sennrich 2019).
pub struct Norm<'a, T> {
    /// `[B, T, D]`
    pub x: &'a T,
    /// `[D]`
    pub gain: &'a T,
    /// Keeps an all-zero row finite.
    pub eps: f32,
}

/// Gradients of [`Norm`].
pub struct NormGrad<'a, T> {
    /// Written, together with the residual's gradient where one is given.
    pub x: &'a mut T,
    /// Added up.
    pub gain: &'a mut T,
}

impl<T: Shaped> Norm<'_, T> {
    /// `(rows, width)`
    pub fn dims(&self, y: Shape) -> (usize, usize) {
        let (x, gain) = (self.x.shape(), self.gain.shape());
        assert!(x.extents() == y.extents() && gain.count() == x.width(), "norm: {x} with gain {gain} into {y}");
        (x.rows(), x.width())
    }
}

/// `y = silu(a) ∘ b` with `a | b` packed (Shazeer 2020), `y` `[B, T, F]`.
pub struct Swiglu<'a, T> {
    /// `[B, T, 2F]`
    pub packed: &'a T,
}

impl<T: Shaped> Swiglu<'_, T> {
    /// `(rows, F)`
    pub fn dims(&self, y: Shape) -> (usize, usize) {
        let x = self.packed.shape();
        assert!(x.width() == 2 * y.width() && x.rows() == y.rows(), "swiglu: {x} into {y}");
        (x.rows(), y.width())
    }
}

/// A weighted sum over each sequence's positions: `y[first + b] = Σ_t weights[b, t] · x[b, t]`. With 1/n at a text's own positions
/// and 0 at what fills its row up, its mean. The weights have no gradient.
pub struct Average<'a, T> {
    /// `[B, T, D]`
    pub x: &'a T,
    /// `[B, T, 1]`, in full precision
    pub weights: &'a T,
    /// The row of `y` that the first sequence goes to.
    pub first: usize,
}

impl<T: Shaped> Average<'_, T> {
    /// `[B, T, D]`; `y` is `[N, D]` with `first + B ≤ N`, and its other rows stay as they are.
    pub fn dims(&self, y: Shape) -> [usize; 3] {
        let (x, weights) = (self.x.shape(), self.weights.shape());
        let [batch, time, width] = x.extents();
        assert!(
            weights.extents() == [batch, time, 1] && width == y.width() && self.first + batch <= y.rows(),
            "average: {x} by {weights} into {y} from row {}",
            self.first
        );
        x.extents()
    }
}

/// `y = residual + mask ∘ y / (1 − rate)`, in place; element `i` is kept where number `i` of the draw is at least `rate`.
pub struct Dropout<'a, T, I> {
    /// Of `y`'s shape; zero if absent.
    pub residual: Option<&'a T>,
    /// Probability of dropping, in `[0, 1)`.
    pub rate: f32,
    /// Where the mask comes from.
    pub draw: super::Draw<'a, I>,
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Of(Shape);

    impl Shaped for Of {
        fn shape(&self) -> Shape {
            self.0
        }
    }

    /// Extents of [`Positions`] for a table of 8 rows of 4, onto that output.
    fn positions(y: Shape, clock: Option<usize>) -> [usize; 3] {
        let clock = clock.map(|n| Of(Shape::vector(n)));
        Positions { table: &Of(Shape::matrix(8, 4)), clock: clock.as_ref() }.dims(y)
    }

    #[test]
    fn positions_fit_their_table() {
        assert_eq!(positions(Shape::cube(3, 8, 4), None), [3, 8, 4]);
        assert_eq!(positions(Shape::cube(3, 5, 4), Some(1)), [3, 5, 4]);
        assert_eq!(positions(Shape::cube(3, 5, 4), Some(3)), [3, 5, 4]);
    }

    #[test]
    #[should_panic = "positions: [8, 4] onto [3, 9, 4]"]
    fn positions_beyond_the_table_are_refused() {
        positions(Shape::cube(3, 9, 4), None);
    }

    #[test]
    #[should_panic = "positions: [8, 4] onto [3, 8, 5]"]
    fn positions_of_another_width_are_refused() {
        positions(Shape::cube(3, 8, 5), None);
    }

    #[test]
    #[should_panic = "positions: clock"]
    fn positions_have_one_clock_or_one_for_each_sequence() {
        positions(Shape::cube(3, 8, 4), Some(2));
    }
}
