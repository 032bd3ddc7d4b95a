//! Views that kernels cut their work into: columns of packed tensors, and pieces of the working memory.

use crate::{
    float::Float,
    tensor::Tensor,
    threads::{Shared, Threads},
};
use hh_core::{
    ops::{Columns, ColumnsMut},
    shape::Shaped,
};

/// Columns of a packed tensor, read row by row.
#[derive(Clone, Copy)]
pub(crate) struct Strip<'a, F> {
    data: &'a [F],
    start: usize,
    stride: usize,
}

impl<'a, F: Float> Strip<'a, F> {
    pub(crate) fn of(columns: &Columns<'a, Tensor<F>>) -> Self {
        Self { data: columns.of.data(), start: columns.start, stride: columns.of.shape().width() }
    }

    /// All columns of a tensor.
    pub(crate) fn all(tensor: &'a Tensor<F>) -> Self {
        Self { data: tensor.data(), start: 0, stride: tensor.shape().width() }
    }

    /// Columns `column .. column + width` of a row; rows of all sequences are counted through.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize, column: usize, width: usize) -> &'a [F] {
        &self.data[row * self.stride + self.start + column..][..width]
    }
}

/// Columns of a packed tensor, written row by row by several tasks.
#[derive(Clone, Copy)]
pub(crate) struct StripMut<'a, F> {
    data: Shared<'a, F>,
    start: usize,
    stride: usize,
}

impl<'a, F: Float> StripMut<'a, F> {
    pub(crate) fn of(columns: ColumnsMut<'a, Tensor<F>>) -> Self {
        let stride = columns.of.shape().width();
        Self { data: Shared::new(columns.of.data_mut()), start: columns.start, stride }
    }

    /// All of a matrix with rows of `stride`.
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
    /// While the result lives, nobody else reads or writes these elements.
    #[allow(clippy::mut_from_ref)]
    #[inline(always)]
    pub(crate) unsafe fn row(&self, row: usize, column: usize, width: usize) -> &'a mut [F] {
        // SAFETY: the caller's promise.
        unsafe { self.data.slice(row * self.stride + self.start + column, width) }
    }

    /// Whole rows.
    ///
    /// # Safety
    /// While the result lives, nobody else reads or writes these elements.
    #[allow(clippy::mut_from_ref)]
    #[inline(always)]
    pub(crate) unsafe fn rows(&self, row: usize, count: usize) -> &'a mut [F] {
        // SAFETY: the caller's promise.
        unsafe { self.data.slice(row * self.stride, count * self.stride) }
    }
}

/// Working memory that is handed out piece by piece.
pub(crate) struct Carve<'a, F>(pub(crate) &'a mut [F]);

impl<'a, F> Carve<'a, F> {
    pub(crate) fn take(&mut self, len: usize) -> &'a mut [F] {
        let (piece, rest) = core::mem::take(&mut self.0).split_at_mut(len);
        self.0 = rest;
        piece
    }
}

/// Working memory of equal size for each thread. What a task finds there is left over from another one.
pub(crate) struct Lanes<'a, F> {
    memory: Shared<'a, F>,
    size: usize,
}

impl<'a, F: Float> Lanes<'a, F> {
    /// How many elements `threads` need for lanes of `size`.
    pub(crate) fn need(threads: &Threads, size: usize) -> usize {
        threads.count() * size
    }

    /// Cuts `memory` of the length that [`need`](Self::need) gave.
    pub(crate) fn new(memory: &'a mut [F], size: usize) -> Self {
        Self { memory: Shared::new(memory), size }
    }

    /// The lane of the thread that this runs on.
    ///
    /// # Safety
    /// Only from a task of [`Threads::each`], once a task, with the threads that the memory was sized for.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn mine(&self, threads: &Threads) -> &'a mut [F] {
        let lane = threads.lane();
        // SAFETY: no two tasks are on one thread at once, so no two hold one lane.
        unsafe { self.memory.slice(lane * self.size, self.size) }
    }
}

/// Runs `f(0) … f(tasks − 1)`, on one thread where `work` (elements or so) is too little to be worth waking others.
pub(crate) fn share(threads: &Threads, tasks: usize, work: usize, f: impl Fn(usize) + Sync) {
    const WORTH_SHARING: usize = 1 << 14;
    if work < WORTH_SHARING {
        threads.each(1, |_| (0..tasks).for_each(&f));
    } else {
        threads.each(tasks, f);
    }
}
