//! Convolution and gated scan.

use super::Kernel;
use hh_core::{backend::Backward, ops::*, shape::Shape};
use hh_tests::{
    desk::{Desk, Size},
    model::Numbers,
};

/// Channels that fill no vector, and that a device takes four at a time.
const ODD: usize = 6;
const EVEN: usize = 8;
/// From channels that forget within a hundred positions, where 1 − a² has lost its digits, to those that forget at once.
const LOG_DECAYS: [f32; EVEN] = [-6.0, 1.0, -4.0, -3.0, -2.0, 0.0, -5.0, -1.0];

pub(super) fn all<B: Backward<Tensor: Numbers>>() -> Vec<Kernel<B>> {
    vec![
        ("conv", |d, size| conv(d, size, 4, ODD)),
        ("conv of one tap", |d, size| conv(d, size, 1, ODD)),
        ("conv of seven taps", |d, size| conv(d, size, 7, ODD)),
        ("conv of three taps, channels even", |d, size| conv(d, size, 3, EVEN)),
        ("conv of seven taps, channels even", |d, size| conv(d, size, 7, EVEN)),
        ("scan", |d, size| scan(d, size, ODD)),
        ("scan, channels even", |d, size| scan(d, size, EVEN)),
    ]
}

fn conv<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size, taps: usize, w: usize) {
    let (x, weight, bias) = (d.packed(size, w), d.full(Shape::matrix(w, taps)), d.full(Shape::vector(w)));
    let (dy, mut state) = (d.input(size.rows(w)), d.full(Shape::cube(size.batch, taps - 1, w)));
    let op = || Conv { x: x.read(), weight: &weight, bias: &bias };
    let (mut y, mut after) = (d.output(size.rows(w)), d.output(size.rows(w)));
    d.b.conv(op(), None, &mut y);
    d.b.conv(op(), Some(&mut state), &mut after);
    let (mut dx, mut d_weight, mut d_bias) = (d.room(size, w), d.gradient(Shape::matrix(w, taps)), d.gradient(Shape::vector(w)));
    d.b.conv_grad(op(), &dy, ConvGrad { x: dx.write(), weight: &mut d_weight, bias: &mut d_bias });
    for (name, found) in [("y", &y), ("y after a state", &after), ("state", &state), ("weight", &d_weight), ("bias", &d_bias)] {
        d.keep(name, found);
    }
    d.keep_columns("x", &dx);
}

fn scan<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size, w: usize) {
    let (x, gates, gate_bias) = (d.input(size.rows(w)), d.packed(size, 3 * w), d.full(Shape::matrix(2, w)));
    let (mut log_decay, skip, dy) = (d.empty(Shape::vector(w)), d.full(Shape::vector(w)), d.packed(size, w));
    d.b.upload(&LOG_DECAYS[..w], &mut log_decay).expect("no device to lose");
    let op = || Scan { x: &x, gates: gates.read(), gate_bias: &gate_bias, log_decay: &log_decay, skip: &skip };
    let (mut y, mut after) = (d.room(size, w), d.room(size, w));
    let (mut saved, mut state) = (d.saved(size.rows(w)), d.full(Shape::matrix(size.batch, w)));
    d.b.scan(op(), None, Some(&mut saved), y.write());
    d.b.scan(op(), Some(&mut state), None, after.write());
    let (mut dx, mut d_gates, mut d_bias) = (d.output(size.rows(w)), d.room(size, 3 * w), d.gradient(Shape::matrix(2, w)));
    let (mut d_decay, mut d_skip) = (d.gradient(Shape::vector(w)), d.gradient(Shape::vector(w)));
    let to = ScanGrad { x: &mut dx, gates: d_gates.write(), gate_bias: &mut d_bias, log_decay: &mut d_decay, skip: &mut d_skip };
    d.b.scan_grad(op(), &saved, dy.read(), to);
    for (name, found) in [("x", &dx), ("gate_bias", &d_bias), ("log_decay", &d_decay), ("skip", &d_skip), ("state", &state)] {
        d.keep(name, found);
    }
    for (name, found) in [("y", &y), ("y after a state", &after), ("gates", &d_gates)] {
        d.keep_columns(name, found);
    }
}
