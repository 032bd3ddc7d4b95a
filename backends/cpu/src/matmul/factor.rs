//! The factors of a product.

/// A factor: element `(i, j)` is at `i · strides[0] + j · strides[1]`; one stride is 1.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, F> {
    pub(super) data: &'a [F],
    pub(super) extents: [usize; 2],
    pub(super) strides: [usize; 2],
}

impl<'a, F> Matrix<'a, F> {
    /// Row-major.
    pub(crate) fn new(data: &'a [F], extents: [usize; 2]) -> Self {
        assert_eq!(data.len(), extents[0] * extents[1], "matrix {extents:?}");
        Self { data, extents, strides: [extents[1], 1] }
    }

    /// The transpose, as a view.
    pub(crate) fn transposed(self) -> Self {
        let ([rows, columns], [down, across]) = (self.extents, self.strides);
        Self { data: self.data, extents: [columns, rows], strides: [across, down] }
    }

    /// The elements.
    pub(crate) fn data(&self) -> &'a [F] {
        self.data
    }
}
