//! The epilogue of a product.

use crate::real::Real;

/// The epilogue of a product: overwrite with optional terms, or accumulate.
#[derive(Clone, Copy)]
pub(crate) enum Write<'a, F> {
    /// `c = a · b (+ bias) (+ add)`
    Set {
        /// One value per column of `c`.
        bias: Option<&'a [F]>,
        /// Of `c`'s shape.
        add: Option<&'a [F]>,
    },
    /// `c += a · b`
    Add,
}

impl<F: Real> Write<'_, F> {
    /// The new value of element `at` of the result, in column `o`, from its `old` value and its sum.
    #[inline(always)]
    pub(crate) fn element(self, old: F, sum: F, at: usize, o: usize) -> F {
        match self {
            Self::Add => old + sum,
            Self::Set { bias, add } => sum + bias.map_or(F::ZERO, |b| b[o]) + add.map_or(F::ZERO, |a| a[at]),
        }
    }
}
