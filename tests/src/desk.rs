//! One kernel at a time on any backend: inputs that every backend gets alike, outputs that come dirty, and all that a
//! kernel wrote, by name.

use crate::model::Numbers;
use hh_core::{
    backend::{Backward, Precision},
    ops::{Columns, ColumnsMut},
    rng,
    shape::{Shape, Shaped},
};

/// Extents of a case: `(B, T)`.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Sequences.
    pub batch: usize,
    /// Positions.
    pub time: usize,
}

impl Size {
    /// `[B, T, width]`
    pub fn rows(self, width: usize) -> Shape {
        Shape::cube(self.batch, self.time, width)
    }
}

/// A backend and what came of the kernels that ran on it.
pub struct Desk<B> {
    /// Does the work.
    pub b: B,
    seed: u32,
    found: Vec<(String, Vec<f64>)>,
}

/// A packed tensor whose middle columns a kernel reads or writes; the others are not its own.
pub struct Packed<T> {
    tensor: T,
    width: usize,
}

/// Columns on either side of those that a kernel may touch: so many that whole vectors stay aligned where there are such.
fn margin(width: usize) -> usize {
    if width.is_multiple_of(8) { 8 } else { 2 }
}

impl<T: Shaped> Packed<T> {
    /// The columns, to be read.
    pub fn read(&self) -> Columns<'_, T> {
        Columns { of: &self.tensor, start: margin(self.width), width: self.width }
    }

    /// The columns, to be written.
    pub fn write(&mut self) -> ColumnsMut<'_, T> {
        ColumnsMut { of: &mut self.tensor, start: margin(self.width), width: self.width }
    }
}

impl<B: Backward<Tensor: Numbers>> Desk<B> {
    /// Nothing on it yet.
    pub fn new(b: B) -> Self {
        Self { b, seed: 0, found: Vec::new() }
    }

    /// What the kernels wrote.
    pub fn found(self) -> Vec<(String, Vec<f64>)> {
        self.found
    }

    fn tensor(&mut self, shape: Shape, precision: Precision, numbers: &[f32]) -> B::Tensor {
        let mut t = self.b.alloc(shape, precision).expect("memory");
        self.b.upload(numbers, &mut t).expect("no device to lose");
        t
    }

    fn numbers(&mut self, count: usize) -> Vec<f32> {
        self.seed += 1;
        // Few bits each, so that every precision holds them exactly.
        (0..count).map(|i| (rng::uniform([self.seed, 0, 0, 0], 7, i as u32) * 128.0).floor() / 64.0 - 1.0).collect()
    }

    /// Activations on [−1, 1), others for each call.
    pub fn input(&mut self, shape: Shape) -> B::Tensor {
        let numbers = self.numbers(shape.count());
        self.tensor(shape, Precision::Compute, &numbers)
    }

    /// The same, in full precision: states, parameters.
    pub fn full(&mut self, shape: Shape) -> B::Tensor {
        let numbers = self.numbers(shape.count());
        self.tensor(shape, Precision::Full, &numbers)
    }

    /// Zeros in full precision: an empty state.
    pub fn empty(&mut self, shape: Shape) -> B::Tensor {
        self.b.alloc(shape, Precision::Full).expect("memory")
    }

    /// What a kernel leaves for its gradient.
    pub fn saved(&mut self, shape: Shape) -> B::Tensor {
        self.b.alloc(shape, Precision::Saved).expect("memory")
    }

    /// Room for an output, full of NaN.
    pub fn output(&mut self, shape: Shape) -> B::Tensor {
        self.tensor(shape, Precision::Compute, &vec![f32::NAN; shape.count()])
    }

    /// Room for the gradient of a parameter, full of ones.
    pub fn gradient(&mut self, shape: Shape) -> B::Tensor {
        self.tensor(shape, Precision::Full, &vec![1.0; shape.count()])
    }

    /// Columns to be read, inside of others.
    pub fn packed(&mut self, size: Size, width: usize) -> Packed<B::Tensor> {
        Packed { tensor: self.input(size.rows(width + 2 * margin(width))), width }
    }

    /// Columns to be written, inside of others that must stay; zeros, since NaN would hide what a kernel does to those.
    pub fn room(&mut self, size: Size, width: usize) -> Packed<B::Tensor> {
        let shape = size.rows(width + 2 * margin(width));
        Packed { tensor: self.tensor(shape, Precision::Compute, &vec![7.0; shape.count()]), width }
    }

    /// Indices.
    pub fn indices(&mut self, shape: Shape, numbers: &[u32]) -> B::Indices {
        let mut ids = self.b.alloc_indices(shape).expect("memory");
        self.b.upload_indices(numbers, &mut ids).expect("no device to lose");
        ids
    }

    /// Ids below `vocab`, `[B, T]`.
    pub fn ids(&mut self, size: Size, vocab: usize) -> B::Indices {
        self.seed += 1;
        let ids: Vec<u32> = (0..size.batch * size.time).map(|i| rng::block([self.seed, 0, 0, 0], 8, i as u32)[0] % vocab as u32).collect();
        self.indices(Shape::matrix(size.batch, size.time), &ids)
    }

    /// Keeps what a kernel wrote.
    pub fn keep(&mut self, name: &str, tensor: &B::Tensor) {
        self.found.push((name.to_string(), tensor.numbers()));
    }

    /// Keeps written columns, and those beside them.
    pub fn keep_columns(&mut self, name: &str, packed: &Packed<B::Tensor>) {
        self.keep(name, &packed.tensor);
    }
}
