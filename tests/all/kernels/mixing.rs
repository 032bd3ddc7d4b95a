//! Gates, mixer, the controller's running summary.

use super::Kernel;
use hh_core::{backend::Backward, ops::*, shape::Shape};
use hh_tests::{
    desk::{Desk, Size},
    model::Numbers,
};

pub(super) fn all<B: Backward<Tensor: Numbers>>() -> Vec<Kernel<B>> {
    vec![
        ("gate", |d, size| gate(d, size, [true; 3], true)),
        ("gate of two", |d, size| gate(d, size, [true, false, true], true)),
        ("gate without control", |d, size| gate(d, size, [false, true, true], false)),
        ("mix", |d, size| mix(d, size, [4, 2, 6], true, true)),
        ("mix of two without gates", |d, size| mix(d, size, [4, 0, 6], false, true)),
        ("mix of gains alone", |d, size| mix(d, size, [0, 5, 3], true, false)),
        ("pool", pool),
    ]
}

fn gate<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size, on: [bool; 3], controlled: bool) {
    let n = on.iter().filter(|&&on| on).count();
    let (hidden, weight, bias) = (d.input(size.rows(5)), d.full(Shape::matrix(n, 5)), d.full(Shape::vector(n)));
    let (control, dy) = (d.packed(size, 3), d.input(size.rows(n)));
    let op = || Gate { hidden: &hidden, weight: &weight, bias: &bias, control: controlled.then(|| control.read()), on };
    let (mut gates, mut d_hidden, mut d_control) = (d.output(size.rows(n)), d.output(size.rows(5)), d.room(size, 3));
    let (mut d_weight, mut d_bias) = (d.gradient(Shape::matrix(n, 5)), d.gradient(Shape::vector(n)));
    d.b.gate(op(), &mut gates);
    let control = controlled.then(|| d_control.write());
    d.b.gate_grad(op(), &gates, &dy, GateGrad { hidden: &mut d_hidden, weight: &mut d_weight, bias: &mut d_bias, control });
    for (name, found) in [("gates", &gates), ("hidden", &d_hidden), ("weight", &d_weight), ("bias", &d_bias)] {
        d.keep(name, found);
    }
    d.keep_columns("control", &d_control);
}

fn mix<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size, widths: [usize; 3], gated: bool, norm: bool) {
    let (w, n) = (widths.iter().sum(), widths.iter().filter(|&&w| w > 0).count());
    let (paths, gain, gates, dy) = (d.input(size.rows(w)), d.full(Shape::vector(w)), d.input(size.rows(n)), d.input(size.rows(w)));
    let op = || Mix { paths: &paths, gain: &gain, gates: gated.then_some(&gates), widths, norm, eps: 1e-5 };
    let (mut y, mut d_paths, mut d_gain) = (d.output(size.rows(w)), d.output(size.rows(w)), d.gradient(Shape::vector(w)));
    let mut d_gates = d.output(size.rows(n));
    d.b.mix(op(), &mut y);
    d.b.mix_grad(op(), &dy, MixGrad { paths: &mut d_paths, gain: &mut d_gain, gates: gated.then_some(&mut d_gates) });
    for (name, found) in [("y", &y), ("paths", &d_paths), ("gain", &d_gain)] {
        d.keep(name, found);
    }
    if gated {
        d.keep("gates", &d_gates);
    }
}

fn pool<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size) {
    let (x, decay, dy) = (d.input(size.rows(5)), d.full(Shape::vector(5)), d.input(size.rows(5)));
    let (mut y, mut after, mut state) = (d.output(size.rows(5)), d.output(size.rows(5)), d.full(Shape::matrix(size.batch, 5)));
    let (mut dx, mut d_decay) = (d.output(size.rows(5)), d.gradient(Shape::vector(5)));
    d.b.pool(Pool { x: &x, decay: &decay }, None, &mut y);
    d.b.pool(Pool { x: &x, decay: &decay }, Some(&mut state), &mut after);
    d.b.pool_grad(Pool { x: &x, decay: &decay }, &y, &dy, PoolGrad { x: &mut dx, decay: &mut d_decay });
    for (name, found) in [("y", &y), ("y after a state", &after), ("state", &state), ("x", &dx), ("decay", &d_decay)] {
        d.keep(name, found);
    }
}
