//! Embedding, positions, products, norm, feed-forward gate, dropout, the optimiser.

use super::Kernel;
use hh_core::{backend::Backward, ops::*, shape::Shape};
use hh_tests::{
    desk::{Desk, Size},
    model::Numbers,
};

pub(super) fn all<B: Backward<Tensor: Numbers>>() -> Vec<Kernel<B>> {
    vec![
        ("embed", embed),
        ("positions", positions),
        ("matmul", matmul),
        ("norm", norm),
        ("swiglu", swiglu),
        ("dropout", dropout),
        ("last", last),
        ("average", average),
        ("adamw", adamw),
    ]
}

fn average<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size) {
    let (x, weights, shape) = (d.input(size.rows(6)), d.full(size.rows(1)), Shape::matrix(size.batch + 3, 6));
    // Rows that are not the kernel's stay as they were.
    let (mut y, dy, mut dx) = (d.input(shape), d.input(shape), d.output(size.rows(6)));
    for first in [0, 2] {
        let op = || Average { x: &x, weights: &weights, first };
        d.b.average(op(), &mut y);
        d.b.average_grad(op(), &dy, &mut dx);
        d.keep("y", &y);
        d.keep("x", &dx);
    }
}

fn embed<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size) {
    let (tokens, table) = (d.ids(size, 7), d.full(Shape::matrix(7, 5)));
    let op = || Embed { tokens: &tokens, table: &table };
    let (mut y, dy, mut d_table) = (d.output(size.rows(5)), d.input(size.rows(5)), d.gradient(Shape::matrix(7, 5)));
    d.b.embed(op(), &mut y);
    d.b.embed_grad(op(), &dy, &mut d_table);
    d.keep("y", &y);
    d.keep("table", &d_table);
}

fn positions<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size) {
    let shape = Shape::matrix(140, 6);
    let (table, clock) = (d.full(shape), d.indices(Shape::vector(1), &[9]));
    for clock in [None, Some(&clock)] {
        let (mut y, dy, mut d_table) = (d.input(size.rows(6)), d.input(size.rows(6)), d.gradient(shape));
        d.b.positions(Positions { table: &table, clock }, &mut y);
        d.b.positions_grad(Positions { table: &table, clock: None }, &dy, &mut d_table);
        d.keep("y", &y);
        d.keep("table", &d_table);
    }
}

fn matmul<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size) {
    let (x, w, bias) = (d.input(size.rows(9)), d.full(Shape::matrix(6, 9)), d.full(Shape::vector(6)));
    let (add, dy) = (d.input(size.rows(6)), d.input(size.rows(6)));
    for (bias, add) in [(None, None), (Some(&bias), None), (None, Some(&add)), (Some(&bias), Some(&add))] {
        let op = || Matmul { x: &x, w: &w, bias, add };
        let (mut y, mut dx, mut more) = (d.output(size.rows(6)), d.output(size.rows(9)), d.input(size.rows(9)));
        let (mut dw, mut d_bias) = (d.gradient(Shape::matrix(6, 9)), d.gradient(Shape::vector(6)));
        d.b.matmul(op(), &mut y);
        d.b.matmul_grad(op(), &dy, MatmulGrad { x: GradOut::Write(&mut dx), w: &mut dw, bias: bias.map(|_| &mut d_bias) });
        d.b.matmul_grad(op(), &dy, MatmulGrad { x: GradOut::Add(&mut more), w: &mut dw, bias: bias.map(|_| &mut d_bias) });
        d.b.matmul_grad(op(), &dy, MatmulGrad { x: GradOut::Skip, w: &mut dw, bias: bias.map(|_| &mut d_bias) });
        for (name, found) in [("y", &y), ("x", &dx), ("x more", &more), ("w", &dw), ("bias", &d_bias)] {
            d.keep(name, found);
        }
    }
}

fn norm<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size) {
    let (x, gain, dy, past) = (d.input(size.rows(7)), d.full(Shape::vector(7)), d.input(size.rows(7)), d.input(size.rows(7)));
    let op = || Norm { x: &x, gain: &gain, eps: 1e-5 };
    for residual in [None, Some(&past)] {
        let (mut y, mut dx, mut d_gain) = (d.output(size.rows(7)), d.output(size.rows(7)), d.gradient(Shape::vector(7)));
        d.b.norm(op(), &mut y);
        d.b.norm_grad(op(), &dy, residual, NormGrad { x: &mut dx, gain: &mut d_gain });
        for (name, found) in [("y", &y), ("x", &dx), ("gain", &d_gain)] {
            d.keep(name, found);
        }
    }
}

fn swiglu<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size) {
    let (packed, dy) = (d.input(size.rows(10)), d.input(size.rows(5)));
    let (mut y, mut dx) = (d.output(size.rows(5)), d.output(size.rows(10)));
    d.b.swiglu(Swiglu { packed: &packed }, &mut y);
    d.b.swiglu_grad(Swiglu { packed: &packed }, &dy, &mut dx);
    d.keep("y", &y);
    d.keep("packed", &dx);
}

fn dropout<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size) {
    let (key, residual, dy) = (d.indices(Shape::vector(4), &[3, u32::MAX, 1 << 31, 5]), d.input(size.rows(9)), d.input(size.rows(9)));
    for residual in [None, Some(&residual)] {
        let (mut y, mut dx) = (d.input(size.rows(9)), d.output(size.rows(9)));
        let op = || Dropout { residual, rate: 0.25, draw: Draw { key: &key, site: (1 << 31) + 3 } };
        d.b.dropout(op(), &mut y);
        d.b.dropout_grad(op(), &dy, &mut dx);
        d.keep("y", &y);
        d.keep("x", &dx);
    }
    let (mut uniform, mut normal) = (d.output(size.rows(9)), d.output(size.rows(9)));
    d.b.uniform(Draw { key: &key, site: 1 }, &mut uniform);
    d.b.normal(Draw { key: &key, site: 2 }, &mut normal);
    d.keep("uniform", &uniform);
    d.keep("normal", &normal);
}

fn last<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size) {
    let (x, mut y) = (d.input(size.rows(5)), d.output(Shape::cube(size.batch, 1, 5)));
    d.b.last(&x, &mut y);
    d.keep("y", &y);
}

fn adamw<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size) {
    // Tensors of a few numbers, of one, and of many, all at once.
    let shapes = [Shape::matrix(size.time, 5), Shape::vector(1), Shape::matrix(size.batch * size.time, 72)];
    let mut leaves = shapes.map(|shape| [(); 5].map(|()| d.full(shape)));
    let mut total = d.empty(Shape::vector(1));
    let schedule = {
        let mut t = d.empty(Shape::vector(4));
        d.b.upload(&[0.125, 1.5, 2.0, 0.75], &mut t).expect("no device to lose");
        t
    };
    // Second moments are sums of squares.
    leaves.iter_mut().for_each(|[_, _, _, second, _]| d.b.fill(0.5, second));
    d.b.sum_squares(leaves.iter().flat_map(|[weight, grad, ..]| [weight, grad]), &mut total);
    for (clip, decay) in [(0.5, 0.1), (0.0, 0.0)] {
        let op = AdamW { schedule: &schedule, total: &total, clip, beta1: 0.9, beta2: 0.95, eps: 1e-8 };
        let rates = [0.75, 1.0, 0.5].into_iter();
        let all = leaves.iter_mut().zip(rates);
        d.b.adamw(op, all.map(|([weight, grad, first, second, ema], rate)| AdamWLeaf { weight, grad, first, second, ema, decay, rate }));
    }
    d.keep("total", &total);
    for (i, leaf) in leaves.iter().enumerate() {
        for (name, found) in ["weight", "grad", "first", "second", "ema"].into_iter().zip(leaf) {
            d.keep(&format!("{name} {i}"), found);
        }
    }
}
