//! Convolution and gated scan.

use super::Kernel;
use hh_core::{backend::Backward, ops::*, shape::Shape};
use hh_tests::{
    desk::{Desk, Size},
    model::Numbers,
};

const W: usize = 6;

pub(super) fn all<B: Backward<Tensor: Numbers>>() -> Vec<Kernel<B>> {
    vec![("conv", |d, size| conv(d, size, 4)), ("conv of one tap", |d, size| conv(d, size, 1)), ("scan", scan)]
}

fn conv<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size, taps: usize) {
    let (x, weight, bias) = (d.packed(size, W), d.full(Shape::matrix(W, taps)), d.full(Shape::vector(W)));
    let (dy, mut state) = (d.input(size.rows(W)), d.full(Shape::cube(size.batch, taps - 1, W)));
    let op = || Conv { x: x.read(), weight: &weight, bias: &bias };
    let (mut y, mut after) = (d.output(size.rows(W)), d.output(size.rows(W)));
    d.b.conv(op(), None, &mut y);
    d.b.conv(op(), Some(&mut state), &mut after);
    let (mut dx, mut d_weight, mut d_bias) = (d.room(size, W), d.gradient(Shape::matrix(W, taps)), d.gradient(Shape::vector(W)));
    d.b.conv_grad(op(), &dy, ConvGrad { x: dx.write(), weight: &mut d_weight, bias: &mut d_bias });
    for (name, found) in [("y", &y), ("y after a state", &after), ("state", &state), ("weight", &d_weight), ("bias", &d_bias)] {
        d.keep(name, found);
    }
    d.keep_columns("x", &dx);
}

fn scan<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size) {
    let (x, gates, gate_bias) = (d.input(size.rows(W)), d.packed(size, 3 * W), d.full(Shape::matrix(2, W)));
    let (log_decay, skip, dy) = (d.full(Shape::vector(W)), d.full(Shape::vector(W)), d.packed(size, W));
    let op = || Scan { x: &x, gates: gates.read(), gate_bias: &gate_bias, log_decay: &log_decay, skip: &skip };
    let (mut y, mut after) = (d.room(size, W), d.room(size, W));
    let (mut saved, mut state) = (d.saved(size.rows(W)), d.full(Shape::matrix(size.batch, W)));
    d.b.scan(op(), None, Some(&mut saved), y.write());
    d.b.scan(op(), Some(&mut state), None, after.write());
    let (mut dx, mut d_gates, mut d_bias) = (d.output(size.rows(W)), d.room(size, 3 * W), d.gradient(Shape::matrix(2, W)));
    let (mut d_decay, mut d_skip) = (d.gradient(Shape::vector(W)), d.gradient(Shape::vector(W)));
    let to = ScanGrad { x: &mut dx, gates: d_gates.write(), gate_bias: &mut d_bias, log_decay: &mut d_decay, skip: &mut d_skip };
    d.b.scan_grad(op(), &saved, dy.read(), to);
    for (name, found) in [("x", &dx), ("gate_bias", &d_bias), ("log_decay", &d_decay), ("skip", &d_skip), ("state", &state)] {
        d.keep(name, found);
    }
    for (name, found) in [("y", &y), ("y after a state", &after), ("gates", &d_gates)] {
        d.keep_columns(name, found);
    }
}
