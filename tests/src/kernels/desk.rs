//! Tensors of a case on a backend: inputs that every backend gets alike, outputs that come poisoned, guard columns.

use super::case::Testable;
use crate::model::Numbers;
use hh_core::{
    backend::{Device, Precision},
    ops::{Columns, ColumnsMut},
    shape::{Shape, Shaped},
};

/// What stands in the columns that are none of a kernel's.
const GUARD: f32 = 7.0;

/// Guard columns on either side of a kernel's own: so many that whole vectors stay aligned where there are such.
fn margin(width: usize) -> usize {
    if width.is_multiple_of(8) { 8 } else { 2 }
}

/// A tensor, or the middle columns of a wider one.
pub struct Held<T> {
    tensor: T,
    /// Width of the middle columns.
    packed: Option<usize>,
}

impl<T: Shaped> Held<T> {
    /// The tensor, which must not be packed.
    pub fn whole(&self) -> &T {
        assert!(self.packed.is_none(), "columns are read as columns");
        &self.tensor
    }

    /// The tensor to be written, which must not be packed.
    pub fn whole_mut(&mut self) -> &mut T {
        assert!(self.packed.is_none(), "columns are written as columns");
        &mut self.tensor
    }

    fn range(&self) -> (usize, usize) {
        match self.packed {
            Some(width) => (margin(width), width),
            None => (0, self.tensor.shape().width()),
        }
    }

    /// The columns, to be read.
    pub fn columns(&self) -> Columns<'_, T> {
        let (start, width) = self.range();
        Columns { of: &self.tensor, start, width }
    }

    /// The columns, to be written.
    pub fn columns_mut(&mut self) -> ColumnsMut<'_, T> {
        let (start, width) = self.range();
        ColumnsMut { of: &mut self.tensor, start, width }
    }
}

impl<T: Shaped + Numbers> Held<T> {
    /// The numbers, without guard columns; and whether those are as they were.
    pub fn read(&self) -> (Vec<f64>, bool) {
        let (all, (start, width)) = (self.tensor.numbers(), self.range());
        let rows = || all.chunks_exact(self.tensor.shape().width());
        let intact = rows().all(|row| row[..start].iter().chain(&row[start + width..]).all(|&x| x == f64::from(GUARD)));
        (rows().flat_map(|row| &row[start..start + width]).copied().collect(), intact)
    }
}

/// A backend, and what a kernel computed beside its outputs.
pub struct Desk<B> {
    /// Does the work.
    pub b: B,
    /// Outputs that a gradient's kernel computed once more, by their number; `None` where nothing is compared.
    pub(super) again: Option<Vec<(usize, Vec<f64>)>>,
}

impl<B: Testable> Desk<B> {
    /// Nothing on it yet.
    pub fn new(b: B) -> Self {
        Self { b, again: Some(Vec::new()) }
    }

    /// A tensor of these numbers; with guard columns where it is packed.
    pub fn hold(&mut self, shape: Shape, precision: Precision, packed: bool, numbers: &[f32]) -> Held<B::Tensor> {
        if !packed {
            return Held { tensor: self.tensor(shape, precision, numbers), packed: None };
        }
        let ([batch, time, width], margin) = (shape.extents(), margin(shape.width()));
        let guard = || std::iter::repeat_n(GUARD, margin);
        let all: Vec<f32> = numbers.chunks_exact(width).flat_map(|row| guard().chain(row.iter().copied()).chain(guard())).collect();
        Held { tensor: self.tensor(Shape::cube(batch, time, width + 2 * margin), precision, &all), packed: Some(width) }
    }

    /// A tensor of these numbers.
    pub fn tensor(&mut self, shape: Shape, precision: Precision, numbers: &[f32]) -> B::Tensor {
        let mut t = self.b.alloc(shape, precision).expect("memory");
        self.b.upload(numbers, &mut t).expect("no device to lose");
        t
    }

    /// Memory that a kernel writes before it reads it, full of NaN.
    pub fn poisoned(&mut self, shape: Shape) -> B::Tensor {
        self.tensor(shape, Precision::Compute, &vec![f32::NAN; shape.count()])
    }

    /// What a kernel leaves for its gradient.
    pub fn saved(&mut self, shape: Shape) -> B::Tensor {
        self.unread(shape, Precision::Saved)
    }

    /// Scratch of a kernel, full of NaN.
    pub fn scratch(&mut self, shape: Shape) -> B::Tensor {
        self.unread(shape, Precision::Scratch)
    }

    fn unread(&mut self, shape: Shape, precision: Precision) -> B::Tensor {
        let mut t = self.b.alloc(shape, precision).expect("memory");
        self.b.fill(f32::NAN, &mut t);
        t
    }

    /// Indices.
    pub fn indices(&mut self, shape: Shape, numbers: &[u32]) -> B::Indices {
        let mut ids = self.b.alloc_indices(shape).expect("memory");
        self.b.upload_indices(numbers, &mut ids).expect("no device to lose");
        ids
    }

    /// A clock.
    pub fn clock(&mut self, at: u32) -> B::Indices {
        self.indices(Shape::vector(1), &[at])
    }

    /// Has an output compared that was computed once more.
    pub fn again(&mut self, output: usize, tensor: &B::Tensor) {
        if let Some(again) = &mut self.again {
            again.push((output, tensor.numbers()));
        }
    }
}

/// Kernels that work in place: `y` starts as `x`.
pub fn start_from<B: Device>(d: &mut Desk<B>, x: &Held<B::Tensor>, y: &mut Held<B::Tensor>) {
    d.b.copy(&x.tensor, &mut y.tensor);
}
