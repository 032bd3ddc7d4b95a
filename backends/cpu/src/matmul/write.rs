//! How a product is written.

use crate::real::Real;

/// How a product is written.
#[derive(Clone, Copy)]
pub(crate) enum Write<'a, F> {
    /// `c = a · b (+ bias) (+ add)`
    Set {
        /// A number for each column of `c`.
        bias: Option<&'a [F]>,
        /// Of `c`'s shape.
        add: Option<&'a [F]>,
    },
    /// `c += a · b`
    Add,
}

impl<F: Real> Write<'_, F> {
    /// What element `at` of the result, in column `o`, becomes of `old` once its sum is known.
    #[inline(always)]
    pub(crate) fn element(self, old: F, sum: F, at: usize, o: usize) -> F {
        match self {
            Self::Add => old + sum,
            Self::Set { bias, add } => sum + bias.map_or(F::ZERO, |b| b[o]) + add.map_or(F::ZERO, |a| a[at]),
        }
    }
}
