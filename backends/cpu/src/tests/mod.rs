//! The dense kernels against plain formulas in f64, and their gradients against finite differences of those.

mod blocks;
mod dense;
mod losses;
mod optimise;
mod paths;

use crate::{Cpu, Float, Indices, Level, Tensor, Threads};
use hh_core::{
    backend::{Device, Precision},
    rng,
    shape::{Shape, Shaped},
};

/// Extents that fill no vector, tile or task evenly.
const AWKWARD: [usize; 6] = [1, 3, 17, 63, 65, 500];

/// A differentiable kernel, its formula and its shapes.
trait Case {
    /// Shapes of the inputs that it is differentiated by.
    fn inputs(&self) -> Vec<Shape>;
    fn output(&self) -> Shape;
    /// Whether the gradient of an input adds up (`+=`), as a parameter's does.
    fn adds(&self, input: usize) -> bool;
    /// Relative error that f32 may have; f64 may have 5e-8 of it.
    fn tolerance(&self) -> f64 {
        2e-6
    }
    /// The output, by the plainest possible loops.
    fn formula(&self, x: &[Vec<f64>]) -> Vec<f64>;
    fn forward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], y: &mut Tensor<F>);
    fn backward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], dy: &Tensor<F>, d: &mut [Tensor<F>]);
}

/// The kernel is its formula, its gradient is the formula's; the same bits on one thread and on two; and outputs are
/// written, whatever they held.
fn check(case: &impl Case) {
    let shapes = case.inputs();
    let inputs: Vec<Vec<f64>> = shapes.iter().enumerate().map(|(i, &s)| numbers(i as u32, s)).collect();
    let dy = numbers(99, case.output());
    let y = case.formula(&inputs);
    let loss = |x: &[Vec<f64>]| -> f64 { case.formula(x).iter().zip(&dy).map(|(y, dy)| y * dy).sum() };

    let exact = run::<f64>(case, &inputs, &dy, 1, Level::baseline());
    close("y", &exact[0], &y, 1e-11);
    for (i, shape) in shapes.iter().enumerate() {
        let before = if case.adds(i) { 1.0 } else { 0.0 };
        for at in (0..shape.count()).step_by(shape.count().div_ceil(5)) {
            let nudged = |by: f64| {
                let mut x = inputs.clone();
                x[i][at] += by;
                loss(&x)
            };
            let slope = (nudged(1e-4) - nudged(-1e-4)) / 2e-4;
            let found = exact[i + 1][at] - before;
            assert!((found - slope).abs() < 1e-6 * (1.0 + slope.abs()), "d[{i}][{at}]: {found}, by differences {slope}");
        }
    }
    for level in [Level::baseline(), Level::detect()] {
        let [one, two] = [1, 2].map(|threads| run::<f32>(case, &inputs, &dy, threads, level));
        assert!(one == two, "two threads give other bits ({})", level.name());
        let wide = run::<f64>(case, &inputs, &dy, 2, level);
        for i in 0..exact.len() {
            close("f32", &one[i], &exact[i], case.tolerance());
            close("f64", &wide[i], &exact[i], case.tolerance() * 5e-8);
        }
    }
}

/// Output and gradients, after a first call that grows the working memory.
fn run<F: Float>(case: &impl Case, inputs: &[Vec<f64>], dy: &[f64], threads: usize, level: Level) -> Vec<Vec<f64>> {
    let mut cpu = Cpu::<F>::with_level(Threads::new(threads), level);
    let x: Vec<_> = case.inputs().into_iter().zip(inputs).map(|(s, x)| tensor(s, x)).collect();
    let (mut y, dy) = (filled(case.output(), f64::NAN), tensor(case.output(), dy));
    case.forward(&mut cpu, &x, &mut y);
    let fill = |i: usize| if case.adds(i) { 1.0 } else { f64::NAN };
    let mut d: Vec<_> = case.inputs().into_iter().enumerate().map(|(i, s)| filled(s, fill(i))).collect();
    case.backward(&mut cpu, &x, &dy, &mut d);
    [y].into_iter().chain(d).map(|t| t.data().iter().map(|x| x.to_f64()).collect()).collect()
}

/// Numbers on [−1, 1) that f32 holds exactly, others for each seed.
fn numbers(seed: u32, shape: Shape) -> Vec<f64> {
    (0..shape.count()).map(|i| f64::from(rng::uniform([seed, 0, 0, 0], 7, i as u32)) * 2.0 - 1.0).collect()
}

fn tensor<F: Float>(shape: Shape, numbers: &[f64]) -> Tensor<F> {
    let mut t = Cpu::<F>::new(Threads::one()).alloc(shape, Precision::Full).expect("memory");
    assert_eq!(shape.count(), numbers.len());
    t.data_mut().iter_mut().zip(numbers).for_each(|(t, &x)| *t = F::of(x));
    t
}

fn filled<F: Float>(shape: Shape, value: f64) -> Tensor<F> {
    tensor(shape, &vec![value; shape.count()])
}

fn indices(shape: Shape, numbers: &[u32]) -> Indices {
    let mut cpu = Cpu::<f32>::new(Threads::one());
    let mut t = cpu.alloc_indices(shape).expect("memory");
    cpu.upload_indices(numbers, &mut t).expect("no device to lose");
    t
}

/// Relative root mean square below `bound`, and no NaN. Numbers far below the inputs' size, 1, count as rounding errors.
fn close(name: &str, found: &[f64], wanted: &[f64], bound: f64) {
    assert_eq!(found.len(), wanted.len());
    let (error, size) = found.iter().zip(wanted).fold((0.0, 0.0), |(e, s), (f, w)| (e + (f - w) * (f - w), s + w * w));
    assert!(f64::sqrt(error) <= bound * f64::sqrt(size.max(0.1 * wanted.len() as f64)), "{name}: {error:e} of {size:e}");
}
