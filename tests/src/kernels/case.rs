//! What a kernel's case states: inputs, outputs, its formula on the host, and the calls of a backend that compute it.

use super::desk::{Desk, Held};
use crate::model::Numbers;
use hh_core::{
    backend::{Backward, Device, Precision},
    shape::Shape,
};

/// A backend that the suite runs on: it trains, and its numbers can be read as they are.
pub trait Testable: Backward<Tensor: Numbers> {}

impl<B: Backward<Tensor: Numbers>> Testable for B {}

/// Extents `[B, T]` that fill no vector, tile or chunk evenly: for every backend, emulated ones included.
pub const SIZES: [[usize; 2]; 5] = [[1, 1], [3, 2], [2, 17], [1, 65], [2, 130]];

/// How the gradient of an input is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gradient {
    /// Written (`=`), as an activation's is.
    Written,
    /// Added to what was there (`+=`), as a parameter's is.
    Added,
}

/// A tensor that a kernel reads.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its name in the op.
    pub name: &'static str,
    /// Its extents.
    pub shape: Shape,
    /// How it is held.
    pub precision: Precision,
    /// In the middle columns of a wider tensor.
    pub packed: bool,
    /// How its gradient is left; `None` where it has none.
    pub gradient: Option<Gradient>,
    /// It has a row for each position, so that it is cut where the sequence is.
    pub timed: bool,
    /// Its values, where the harness must not choose them.
    pub values: Option<Vec<f32>>,
}

impl Input {
    /// `[B, T, …]` in compute precision, with a gradient that is written.
    pub fn activation(name: &'static str, shape: Shape) -> Self {
        let gradient = Some(Gradient::Written);
        Self { name, shape, precision: Precision::Compute, packed: false, gradient, timed: true, values: None }
    }

    /// An activation in the middle columns of a packed tensor.
    pub fn columns(name: &'static str, shape: Shape) -> Self {
        Self { packed: true, ..Self::activation(name, shape) }
    }

    /// In full precision, with a gradient that adds up.
    pub fn parameter(name: &'static str, shape: Shape) -> Self {
        let gradient = Some(Gradient::Added);
        Self { precision: Precision::Full, gradient, timed: false, ..Self::activation(name, shape) }
    }

    /// In full precision, without a gradient.
    pub fn full(name: &'static str, shape: Shape) -> Self {
        Self { gradient: None, ..Self::parameter(name, shape) }
    }

    /// The same without a gradient.
    pub fn constant(self) -> Self {
        Self { gradient: None, ..self }
    }

    /// The same with a gradient that adds up.
    pub fn added(self) -> Self {
        Self { gradient: Some(Gradient::Added), ..self }
    }

    /// The same with these values.
    pub fn with(self, values: Vec<f32>) -> Self {
        assert_eq!(values.len(), self.shape.count(), "values of {}", self.name);
        Self { values: Some(values), ..self }
    }
}

/// A tensor that a kernel writes.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Its name.
    pub name: &'static str,
    /// Its extents.
    pub shape: Shape,
    /// How it is held.
    pub precision: Precision,
    /// In the middle columns of a wider tensor.
    pub packed: bool,
}

impl Output {
    /// In compute precision.
    pub fn new(name: &'static str, shape: Shape) -> Self {
        Self { name, shape, precision: Precision::Compute, packed: false }
    }

    /// In the middle columns of a packed tensor.
    pub fn columns(name: &'static str, shape: Shape) -> Self {
        Self { packed: true, ..Self::new(name, shape) }
    }

    /// In full precision.
    pub fn full(name: &'static str, shape: Shape) -> Self {
        Self { precision: Precision::Full, ..Self::new(name, shape) }
    }
}

/// What a formula knows of the positions before the chunk; it leaves here what the kernel should leave.
#[derive(Clone, Debug)]
pub struct State {
    /// How many positions came before.
    pub clock: usize,
    /// The tensors of [`Case::state`].
    pub tensors: Vec<Vec<f64>>,
}

/// What a forward kernel gets and leaves beside its inputs and outputs.
pub enum Mode<'a, B: Device> {
    /// Nothing: the sequence starts here, and what it leaves is not wanted.
    Plain,
    /// Leaves what its gradient needs in the tensors of [`Case::saved`].
    Training(&'a mut Vec<B::Tensor>),
    /// Continues a sequence: the tensors of [`Case::state`], and the clock.
    Stream(&'a mut [B::Tensor], &'a B::Indices),
}

/// A state and its clock.
pub type Carried<'a, B> = Option<(&'a mut [<B as Device>::Tensor], &'a <B as Device>::Indices)>;

impl<'a, B: Device> Mode<'a, B> {
    /// State and clock, and what is kept for the gradient.
    pub fn split(self) -> (Carried<'a, B>, Option<&'a mut Vec<B::Tensor>>) {
        match self {
            Self::Plain => (None, None),
            Self::Training(saved) => (None, Some(saved)),
            Self::Stream(state, clock) => (Some((state, clock)), None),
        }
    }

    /// The first tensor of the state.
    pub fn state(self) -> Option<&'a mut B::Tensor> {
        self.split().0.map(|(state, _)| &mut state[0])
    }
}

/// What came of the forward pass, and the gradient of its first output.
pub struct Done<'a, T> {
    /// The outputs.
    pub y: &'a [Held<T>],
    /// The tensors of [`Case::saved`].
    pub saved: &'a mut Vec<T>,
    /// Gradient of the first output, held as that is.
    pub dy: &'a Held<T>,
}

/// One kernel with its parameters. Everything else is the harness's: numbers, comparison, tolerances, finite differences,
/// poisoned outputs, guard columns, cuts of a sequence, threads.
pub trait Case: core::fmt::Debug + Sized {
    /// Small cases, for every backend.
    fn cases() -> Vec<Self>;
    /// Further cases, for backends that run at the processor's speed.
    fn large() -> Vec<Self> {
        Vec::new()
    }
    /// The shapes of `char-4.5m` in training, 8 sequences of 256 tokens: what the benchmarks run.
    fn bench() -> Vec<Self> {
        Vec::new()
    }

    /// What the kernel reads.
    fn inputs(&self) -> Vec<Input>;
    /// What it writes.
    fn outputs(&self) -> Vec<Output>;
    /// The outputs, by the plainest possible loops.
    fn formula(&self, x: &[Vec<f64>], state: Option<&mut State>) -> Vec<Vec<f64>>;
    /// What is differentiated: by default `Σ dy · y` of the first output.
    fn objective(&self, _x: &[Vec<f64>], y: &[Vec<f64>], dy: &[f64]) -> f64 {
        y[0].iter().zip(dy).map(|(y, dy)| y * dy).sum()
    }

    /// Extents of the state, empty for a kernel without one.
    fn state(&self) -> Vec<Shape> {
        Vec::new()
    }
    /// Whether a tensor of the state is a ring: a row of it is not read before it has been written.
    fn is_ring(&self, _tensor: usize) -> bool {
        false
    }
    /// Extents of what the forward pass keeps for the gradient.
    fn saved(&self) -> Vec<Shape> {
        Vec::new()
    }

    /// Relative error that f32 on the processor may have; f64 may have 5e-8 of it.
    fn tolerance(&self) -> f64 {
        2e-6
    }
    /// Relative error that f64 may have against the formula.
    fn tolerance_f64(&self) -> f64 {
        1e-11
    }
    /// Whether what should be 0, or 1 where a gradient started as 1, must be that to the last bit.
    fn exact_where_untouched(&self) -> bool {
        false
    }
    /// Whether a NaN among the inputs makes outputs NaN that then are so by intent.
    fn has_nan(&self) -> bool {
        false
    }

    /// Runs the kernel.
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], mode: Mode<'_, B>, y: &mut [Held<B::Tensor>]);
    /// Runs its gradient: `grads` are those of the inputs that have one, in their order.
    fn backward<B: Testable>(&self, _d: &mut Desk<B>, _x: &[Held<B::Tensor>], _done: Done<'_, B::Tensor>, _grads: &mut [Held<B::Tensor>]) {}
}
