//! Views of columns of packed tensors.

use crate::{real::Real, tensor::Tensor, threads::Shared};
use hh_core::{
    ops::{Columns, ColumnsMut},
    shape::Shaped,
};

/// A read-only view of some columns of a tensor, row by row.
#[derive(Clone, Copy)]
pub(crate) struct Strip<'a, F> {
    data: &'a [F],
    start: usize,
    stride: usize,
}

impl<'a, F: Real> Strip<'a, F> {
    pub(crate) fn of(columns: &Columns<'a, Tensor<F>>) -> Self {
        Self { data: columns.of.data(), start: columns.start, stride: columns.of.shape().width() }
    }

    /// All columns of a tensor.
    pub(crate) fn all(tensor: &'a Tensor<F>) -> Self {
        Self { data: tensor.data(), start: 0, stride: tensor.shape().width() }
    }

    /// Columns `column .. column + width` of a row; `row` counts over all sequences.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize, column: usize, width: usize) -> &'a [F] {
        &self.data[row * self.stride + self.start + column..][..width]
    }
}

/// A view of some columns of a tensor, written row by row by several tasks.
#[derive(Clone, Copy)]
pub(crate) struct StripMut<'a, F> {
    data: Shared<'a, F>,
    start: usize,
    stride: usize,
}

impl<'a, F: Real> StripMut<'a, F> {
    pub(crate) fn of(columns: ColumnsMut<'a, Tensor<F>>) -> Self {
        let stride = columns.of.shape().width();
        Self { data: Shared::new(columns.of.data_mut()), start: columns.start, stride }
    }

    /// All columns of a matrix with rows of `stride` elements.
    pub(crate) fn over(data: Shared<'a, F>, stride: usize) -> Self {
        Self { data, start: 0, stride }
    }

    /// All columns of a tensor.
    pub(crate) fn all(tensor: &'a mut Tensor<F>) -> Self {
        let stride = tensor.shape().width();
        Self { data: Shared::new(tensor.data_mut()), start: 0, stride }
    }

    /// Columns `column .. column + width` of a row.
    ///
    /// # Safety
    /// No other code may read or write these elements while the result lives.
    #[allow(clippy::mut_from_ref)]
    #[inline(always)]
    pub(crate) unsafe fn row(&self, row: usize, column: usize, width: usize) -> &'a mut [F] {
        // SAFETY: the caller's promise.
        unsafe { self.data.slice(row * self.stride + self.start + column, width) }
    }

    /// Whole rows.
    ///
    /// # Safety
    /// No other code may read or write these elements while the result lives.
    #[allow(clippy::mut_from_ref)]
    #[inline(always)]
    pub(crate) unsafe fn rows(&self, row: usize, count: usize) -> &'a mut [F] {
        // SAFETY: the caller's promise.
        unsafe { self.data.slice(row * self.stride, count * self.stride) }
    }
}
