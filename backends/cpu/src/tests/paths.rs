//! The kernels of the three paths and of what weighs them.

mod memory;
mod mixing;
mod ssm;
mod streams;

use super::{Case, check, close, filled, indices, numbers, run, tensor};
use crate::{Cpu, Float, Level, Tensor, Threads};
use hh_core::{
    backend::{Backward, Forward},
    ops::*,
    shape::{Shape, Shaped},
};

/// Columns in front of and behind those that a kernel is given of a packed tensor.
const MARGIN: usize = 3;
/// What is in the columns that are none of a kernel's business.
const OTHER: f64 = 7.0;

/// A packed tensor that holds `x` in the middle, and other things around it.
fn packed<F: Float>(x: &Tensor<F>) -> Tensor<F> {
    let [b, t, w] = x.shape().extents();
    let mut wide = filled(Shape::cube(b, t, w + 2 * MARGIN), OTHER);
    for (row, x) in wide.data_mut().chunks_exact_mut(w + 2 * MARGIN).zip(x.data().chunks_exact(w)) {
        row[MARGIN..][..w].copy_from_slice(x);
    }
    wide
}

fn middle<F: Float>(wide: &Tensor<F>) -> Columns<'_, Tensor<F>> {
    Columns { of: wide, start: MARGIN, width: wide.shape().width() - 2 * MARGIN }
}

/// Lets `f` write the middle of a packed tensor; its surroundings must stay as they were.
fn through_packed<F: Float>(x: &mut Tensor<F>, f: impl FnOnce(ColumnsMut<'_, Tensor<F>>)) {
    let mut wide = packed(x);
    let w = x.shape().width();
    f(ColumnsMut { of: &mut wide, start: MARGIN, width: w });
    for (row, x) in wide.data().chunks_exact(w + 2 * MARGIN).zip(x.data_mut().chunks_exact_mut(w)) {
        assert!(row[..MARGIN].iter().chain(&row[MARGIN + w..]).all(|x| x.to_f64() == OTHER), "columns of others were written");
        x.copy_from_slice(&row[MARGIN..][..w]);
    }
}

fn zeros<F: Float>(shape: Shape) -> Tensor<F> {
    filled(shape, 0.0)
}

/// [`check`], and finite differences of every single input where `case` is tiny.
fn check_every_input(case: &impl Case) {
    check(case);
    let shapes = case.inputs();
    let inputs: Vec<Vec<f64>> = shapes.iter().enumerate().map(|(i, &s)| numbers(i as u32, s)).collect();
    let dy = numbers(99, case.output());
    let found = run::<f64>(case, &inputs, &dy, 1, Level::detect());
    for (i, shape) in shapes.iter().enumerate() {
        for at in 0..shape.count() {
            let nudged = |by: f64| {
                let mut x = inputs.clone();
                x[i][at] += by;
                case.formula(&x).iter().zip(&dy).map(|(y, dy)| y * dy).sum::<f64>()
            };
            let slope = (nudged(1e-5) - nudged(-1e-5)) / 2e-5;
            let found = found[i + 1][at] - if case.adds(i) { 1.0 } else { 0.0 };
            assert!((found - slope).abs() < 1e-6 * (1.0 + slope.abs()), "d[{i}][{at}]: {found}, by differences {slope}");
        }
    }
}
