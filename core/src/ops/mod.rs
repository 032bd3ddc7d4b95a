//! The contract of every kernel: its inputs, its formula, and the shapes it insists on.
//!
//! One struct a kernel. `dims()` is the only place where shapes are checked, and every backend starts by
//! calling it; a broken shape is the caller's bug and panics with the shapes. The fields of a struct are
//! inputs; outputs are the `&mut` arguments of the kernel itself ([`Forward`](crate::backend::Forward),
//! [`Backward`](crate::backend::Backward)), so that the borrow checker proves that no output aliases an input.
//!
//! Letters: `B` sequences, `T` positions, `D` model width, `w` a path's width, `H` heads of `d`, `K` refinements.
//! Tensors are row-major; a weight is `[out, in]`.

mod dense;
mod episodic;
mod loss;
mod memory;
mod mixing;
mod optimise;
mod ssm;

pub use dense::*;
pub use episodic::*;
pub use loss::*;
pub use memory::*;
pub use mixing::*;
pub use optimise::*;
pub use ssm::*;

use crate::shape::Shaped;

/// Columns `start .. start + width` of a packed tensor `[B, T, packed]`.
pub struct Columns<'a, T> {
    /// The packed tensor.
    pub of: &'a T,
    /// First column.
    pub start: usize,
    /// How many columns.
    pub width: usize,
}

/// Columns `start .. start + width` of a packed tensor `[B, T, packed]`, to be written. The others stay as they are.
pub struct ColumnsMut<'a, T> {
    /// The packed tensor.
    pub of: &'a mut T,
    /// First column.
    pub start: usize,
    /// How many columns.
    pub width: usize,
}

impl<T> Clone for Columns<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Columns<'_, T> {}

impl<'a, T: Shaped> Columns<'a, T> {
    /// All columns of a tensor.
    pub fn all(of: &'a T) -> Self {
        Self { of, start: 0, width: of.shape().width() }
    }

    /// Columns `start .. start + width` of these.
    pub fn part(&self, start: usize, width: usize) -> Self {
        assert!(start + width <= self.width, "columns {start}..{} of {}", start + width, self.width);
        Self { of: self.of, start: self.start + start, width }
    }

    /// `(B, T, stride of a row)`; panics where the columns lie outside of the tensor.
    pub fn layout(&self) -> (usize, usize, usize) {
        let [batch, time, stride] = self.of.shape().extents();
        assert!(self.start + self.width <= stride, "columns {}..{} of {}", self.start, self.start + self.width, self.of.shape());
        (batch, time, stride)
    }
}

impl<'a, T: Shaped> ColumnsMut<'a, T> {
    /// All columns of a tensor.
    pub fn all(of: &'a mut T) -> Self {
        let width = of.shape().width();
        Self { of, start: 0, width }
    }

    /// `(B, T, stride of a row)`; panics where the columns lie outside of the tensor.
    pub fn layout(&self) -> (usize, usize, usize) {
        Columns { of: &*self.of, start: self.start, width: self.width }.layout()
    }
}

/// Where the gradient of an activation goes when several consumers share that activation.
pub enum GradOut<'a, T> {
    /// The first consumer writes (`=`).
    Write(&'a mut T),
    /// Every further one adds (`+=`).
    Add(&'a mut T),
    /// The gradient is unused.
    Skip,
}

/// Where a counter-based random number stream stands: number `i` of a draw is a function of `(key, site, i)` alone.
pub struct Draw<'a, I> {
    /// Four numbers: seed (low, high), step (low, high).
    pub key: &'a I,
    /// Which draw of the step this is; every dropout and noise has its own.
    pub site: u32,
}

impl<I> Clone for Draw<'_, I> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<I> Copy for Draw<'_, I> {}
