//! Rotation, attention, modern and classic Hopfield memory.

use super::Kernel;
use hh_core::{backend::Backward, ops::*, shape::Shape};
use hh_tests::{
    desk::{Desk, Size},
    model::Numbers,
};

const HEADS: usize = 2;
/// Columns of a head.
const D: usize = 4;
const W: usize = HEADS * D;
const K: usize = 3;

pub(super) fn all<B: Backward<Tensor: Numbers>>() -> Vec<Kernel<B>> {
    vec![
        ("rotate", rotate),
        ("attend", |d, size| attend(d, size, D, 0)),
        ("attend in a window", |d, size| attend(d, size, D, 5)),
        ("recall", |d, size| recall(d, size, D, [3, 0], true)),
        ("recall without slots", |d, size| recall(d, size, D, [0, 0], true)),
        ("recall in a window", |d, size| recall(d, size, D, [2, 5], true)),
        ("recall of the same", |d, size| recall(d, size, D, [0, 0], false)),
        ("recall of the same in a window of one", |d, size| recall(d, size, D, [1, 1], false)),
        ("recall in a window of one", |d, size| recall(d, size, D, [0, 1], true)),
        ("hebbian", |d, size| hebbian(d, size, D, true)),
        ("hebbian of the same", |d, size| hebbian(d, size, D, false)),
    ]
}

fn rotate<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size) {
    let late = d.indices(Shape::vector(1), &[100_003]);
    for (clock, inverse) in [(None, false), (Some(&late), false), (None, true)] {
        let mut x = d.packed(size, W);
        d.b.rotate(Rotate { clock, head_dim: D, base: 10_000.0, inverse }, x.write());
        d.keep_columns("x", &x);
    }
}

/// Starts of a stream: at its beginning, and where a ring of seven rows has gone round.
const CLOCKS: [u32; 2] = [0, 24];
const ROWS: usize = 7;

fn attend<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size, head_dim: usize, window: usize) {
    let w = HEADS * head_dim;
    let (qkv, dy) = (d.packed(size, 3 * w), d.packed(size, w));
    let op = || Attend { qkv: qkv.read(), head_dim, window };
    for at in CLOCKS {
        let (mut y, mut items) = (d.room(size, w), d.full(Shape::cube(size.batch, ROWS, 2 * w)));
        let mut clock = d.indices(Shape::vector(1), &[at]);
        d.b.attend(op(), Some(Ring { items: &mut items, clock: &clock }), None, y.write());
        d.b.advance(3, &mut clock);
        d.keep_columns("y after a state", &y);
        d.keep("ring", &items);
        let mut now = [0];
        d.b.download_indices(&clock, &mut now).expect("no device to lose");
        assert_eq!(now[0], at + 3);
    }
    let (mut y, mut saved, mut d_qkv) = (d.room(size, w), d.saved(size.rows(HEADS)), d.room(size, 3 * w));
    d.b.attend(op(), None, Some(&mut saved), y.write());
    d.b.attend_grad(op(), y.read(), &saved, dy.read(), d_qkv.write());
    d.keep_columns("y", &y);
    d.keep_columns("qkv", &d_qkv);
}

fn recall<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size, head_dim: usize, [slots, window]: [usize; 2], successor: bool) {
    let w = HEADS * head_dim;
    let (qpv, dy, depth, log_beta) = (d.packed(size, 3 * w), d.packed(size, w), d.input(size.rows(K)), d.full(Shape::vector(HEADS)));
    let learned = Shape::cube(HEADS, slots.max(1), head_dim);
    let (patterns, values) = (d.full(learned), d.full(learned));
    let op = || Recall {
        qpv: qpv.read(),
        depth: &depth,
        log_beta: &log_beta,
        slots: (slots > 0).then_some(Slots { patterns: &patterns, values: &values }),
        head_dim,
        window,
        successor,
    };
    for at in CLOCKS {
        let (mut y, mut items) = (d.room(size, w), d.full(Shape::cube(size.batch, ROWS, 2 * w)));
        let (clock, mut last) = (d.indices(Shape::vector(1), &[at]), d.full(Shape::matrix(size.batch, w)));
        let ring = Ring { items: &mut items, clock: &clock };
        d.b.recall(op(), Some(RecallState { ring, last: &mut last }), None, y.write());
        d.keep_columns("y after a state", &y);
        d.keep("ring", &items);
        d.keep("last", &last);
    }
    let [reads, moved, log_sum] = [K * w, K * w, K * HEADS].map(|width| d.saved(size.rows(width)));
    let (mut saved, mut y, mut d_qpv) = (RecallSaved { reads, moved, log_sum }, d.room(size, w), d.room(size, 3 * w));
    d.b.recall(op(), None, Some(&mut saved), y.write());
    let (mut d_depth, mut d_beta) = (d.output(size.rows(K)), d.gradient(Shape::vector(HEADS)));
    let (mut d_patterns, mut d_values) = (d.gradient(learned), d.gradient(learned));
    let d_slots = (slots > 0).then_some(SlotsGrad { patterns: &mut d_patterns, values: &mut d_values });
    let to = RecallGrad { qpv: d_qpv.write(), depth: &mut d_depth, log_beta: &mut d_beta, slots: d_slots };
    d.b.recall_grad(op(), &saved, dy.read(), to);
    d.keep_columns("y", &y);
    d.keep_columns("qpv", &d_qpv);
    for (name, found) in [("depth", &d_depth), ("log_beta", &d_beta), ("patterns", &d_patterns), ("values", &d_values)] {
        d.keep(name, found);
    }
}

fn hebbian<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size, head_dim: usize, successor: bool) {
    let w = HEADS * head_dim;
    let (qpv, dy, depth) = (d.packed(size, 3 * w), d.packed(size, w), d.input(size.rows(K)));
    let (log_beta, mut decay) = (d.full(Shape::vector(HEADS)), d.empty(Shape::vector(HEADS)));
    // One head forgets at once, γ = 0.27; one hands on to the next chunk what it holds, γ = 0.95. Longer memories are ill-conditioned.
    d.b.upload(&[-1.0, 3.0], &mut decay).expect("no device to lose");
    let op = || Hebbian { qpv: qpv.read(), depth: &depth, log_beta: &log_beta, decay: &decay, head_dim, successor };
    let (mut y, mut after) = (d.room(size, w), d.room(size, w));
    let (mut matrices, mut last) = (d.full(Shape::cube(size.batch, 2 * w, head_dim)), d.full(Shape::matrix(size.batch, w)));
    d.b.hebbian(op(), None, y.write());
    d.b.hebbian(op(), Some(HebbianState { matrices: &mut matrices, last: &mut last }), after.write());
    let (mut d_qpv, mut d_depth) = (d.room(size, 3 * w), d.output(size.rows(K)));
    let (mut d_beta, mut d_decay) = (d.gradient(Shape::vector(HEADS)), d.gradient(Shape::vector(HEADS)));
    let to = HebbianGrad { qpv: d_qpv.write(), depth: &mut d_depth, log_beta: &mut d_beta, decay: &mut d_decay };
    d.b.hebbian_grad(op(), dy.read(), to);
    for (name, found) in [("y", &y), ("y after a state", &after), ("qpv", &d_qpv)] {
        d.keep_columns(name, found);
    }
    for (name, found) in [("matrices", &matrices), ("last", &last), ("depth", &d_depth), ("log_beta", &d_beta), ("decay", &d_decay)] {
        d.keep(name, found);
    }
}

/// All of them with heads of some width.
#[cfg(feature = "cuda")]
pub(super) fn heads<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size, head_dim: usize) {
    attend(d, size, head_dim, 0);
    recall(d, size, head_dim, [3, 0], true);
    hebbian(d, size, head_dim, true);
}
