//! A case bound to a backend: its tensors, and everything that it computes.

use super::{
    case::{Case, Done, Gradient, Mode, Testable},
    desk::{Desk, Held},
};
use crate::compare::distance;
use hh_core::{backend::Precision, rng, shape::Shape};

/// How many digits inputs have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Digits {
    /// Few, so that every precision holds them exactly.
    Few,
    /// All of f32.
    All,
}

/// Numbers on [−1, 1), others for each seed.
fn numbers(seed: u32, shape: Shape, digits: Digits) -> Vec<f32> {
    let coarse = |u: f32| if digits == Digits::Few { (u * 128.0).floor() / 128.0 } else { u };
    (0..shape.count()).map(|i| coarse(rng::uniform([seed, 0, 0, 0], 7, i as u32)) * 2.0 - 1.0).collect()
}

/// Inputs of a case, the gradient of its first output, and a state that is not empty.
pub(super) struct Given {
    pub(super) x: Vec<Vec<f32>>,
    pub(super) dy: Vec<f32>,
    pub(super) state: Vec<Vec<f32>>,
}

impl Given {
    pub(super) fn new(case: &impl Case, digits: Digits) -> Self {
        let inputs = case.inputs().into_iter().enumerate();
        let x = inputs.map(|(i, input)| input.values.unwrap_or_else(|| numbers(i as u32, input.shape, digits))).collect();
        let state = case.state().into_iter().enumerate().map(|(i, shape)| numbers(70 + i as u32, shape, digits)).collect();
        Self { x, dy: numbers(99, case.outputs()[0].shape, digits), state }
    }

    pub(super) fn wide(of: &[Vec<f32>]) -> Vec<Vec<f64>> {
        of.iter().map(|x| x.iter().map(|&x| f64::from(x)).collect()).collect()
    }
}

/// Everything that a case computes on a backend.
pub(super) struct Run {
    pub(super) outputs: Vec<Vec<f64>>,
    /// Outputs that were computed once more, by their number.
    pub(super) again: Vec<(usize, Vec<f64>)>,
    /// Of the inputs that have one, in their order.
    pub(super) gradients: Vec<Vec<f64>>,
    /// No column of others was written.
    pub(super) intact: bool,
}

pub(super) fn hold_inputs<C: Case, B: Testable>(d: &mut Desk<B>, case: &C, x: &[Vec<f32>]) -> Vec<Held<B::Tensor>> {
    case.inputs().iter().zip(x).map(|(input, x)| d.hold(input.shape, input.precision, input.packed, x)).collect()
}

pub(super) fn hold_outputs<C: Case, B: Testable>(d: &mut Desk<B>, case: &C) -> Vec<Held<B::Tensor>> {
    let poison = |shape: Shape| vec![f32::NAN; shape.count()];
    case.outputs().iter().map(|y| d.hold(y.shape, y.precision, y.packed, &poison(y.shape))).collect()
}

/// Memory for the gradients: what is written comes full of NaN, what is added to full of ones.
fn hold_gradients<C: Case, B: Testable>(d: &mut Desk<B>, case: &C) -> Vec<Held<B::Tensor>> {
    let inputs = case.inputs();
    let with = inputs.iter().filter_map(|input| input.gradient.map(|gradient| (input, gradient)));
    with.map(|(input, gradient)| {
        let before = if gradient == Gradient::Added { 1.0 } else { f32::NAN };
        d.hold(input.shape, input.precision, input.packed, &vec![before; input.shape.count()])
    })
    .collect()
}

/// A case on a backend, ready to run; also what a benchmark measures.
pub struct Bound<'a, C, B: Testable> {
    case: &'a C,
    desk: Desk<B>,
    x: Vec<Held<B::Tensor>>,
    y: Vec<Held<B::Tensor>>,
    dy: Held<B::Tensor>,
    saved: Vec<B::Tensor>,
    gradients: Vec<Held<B::Tensor>>,
}

impl<'a, C: Case, B: Testable> Bound<'a, C, B> {
    /// All tensors of a case.
    pub fn new(b: B, case: &'a C) -> Self {
        let mut desk = Desk::new(b);
        desk.again = None;
        Self::given(desk, case, &Given::new(case, Digits::All))
    }

    fn given(mut desk: Desk<B>, case: &'a C, given: &Given) -> Self {
        let first = case.outputs()[0];
        Self {
            x: hold_inputs(&mut desk, case, &given.x),
            y: hold_outputs(&mut desk, case),
            dy: desk.hold(first.shape, Precision::Compute, first.packed, &given.dy),
            saved: case.saved().into_iter().map(|shape| desk.saved(shape)).collect(),
            gradients: hold_gradients(&mut desk, case),
            case,
            desk,
        }
    }

    /// The kernel.
    pub fn forward(&mut self) {
        self.case.forward(&mut self.desk, &self.x, Mode::Plain, &mut self.y);
    }

    /// The kernel, with what it keeps for its gradient.
    pub fn train(&mut self) {
        self.case.forward(&mut self.desk, &self.x, Mode::Training(&mut self.saved), &mut self.y);
    }

    /// Whether there is a gradient.
    pub fn has_gradient(&self) -> bool {
        !self.gradients.is_empty()
    }

    /// The gradient; [`train`](Self::train) must have run.
    pub fn backward(&mut self) {
        let done = Done { y: &self.y, saved: &mut self.saved, dy: &self.dy };
        self.case.backward(&mut self.desk, &self.x, done, &mut self.gradients);
    }

    /// Everything, and the desk for the next case.
    fn run(mut self) -> (Run, Desk<B>) {
        self.forward();
        let (outputs, mut intact): (Vec<_>, Vec<_>) = self.y.iter().map(Held::read).unzip();
        let mut again = Vec::new();
        if self.has_gradient() {
            self.y = hold_outputs(&mut self.desk, self.case);
            self.train();
            for (i, y) in self.y.iter().enumerate() {
                let (found, right) = y.read();
                again.push((i, found));
                intact.push(right);
            }
            self.backward();
            again.extend(self.desk.again.iter_mut().flat_map(|again| again.drain(..)));
        }
        let (gradients, right): (Vec<_>, Vec<_>) = self.gradients.iter().map(Held::read).unzip();
        let intact = intact.into_iter().chain(right).all(|right| right);
        (Run { outputs, again, gradients, intact }, self.desk)
    }
}

pub(super) fn run<B: Testable>(desk: &mut Option<Desk<B>>, case: &impl Case, given: &Given) -> Run {
    let (run, back) = Bound::given(desk.take().expect("a desk"), case, given).run();
    *desk = Some(back);
    run
}

/// What a row of a ring holds that nothing has written yet, where it must be finite: a backend may multiply what it does not
/// read by zero.
pub(super) const UNWRITTEN: f32 = 1e4;

/// How far numbers are from those that they should be. Where NaN or [`UNWRITTEN`] is wanted, it must be there, and counts no
/// further.
pub(super) fn far(case: &impl Case, found: &[f64], wanted: &[f64], floor: f64) -> f64 {
    let marked = |x: f64| x.is_nan() || x == f64::from(UNWRITTEN);
    let exact = |w: f64| case.exact_where_untouched() && [0.0, 1.0].contains(&w);
    let wrong = |(&f, &w): (&f64, &f64)| f.is_nan() != w.is_nan() || (marked(w) || exact(w)) && !w.is_nan() && f != w;
    if found.len() != wanted.len() || found.iter().zip(wanted).any(wrong) {
        return f64::INFINITY;
    }
    let (found, wanted): (Vec<f64>, Vec<f64>) = found.iter().zip(wanted).filter(|&(_, &w)| !marked(w)).unzip();
    distance(&found, &wanted, floor)
}
