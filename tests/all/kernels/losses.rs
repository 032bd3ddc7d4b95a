//! Cross-entropy and the flow head.

use super::Kernel;
use hh_core::{backend::Backward, ops::*, shape::Shape};
use hh_tests::{
    desk::{Desk, Size},
    model::Numbers,
};

const V: usize = 11;
const E: usize = 6;

pub(super) fn all<B: Backward<Tensor: Numbers>>() -> Vec<Kernel<B>> {
    vec![("cross_entropy", cross_entropy), ("flow_point", flow_point), ("flow_hidden", flow_hidden), ("squared_error", squared_error)]
}

/// Every third target is none.
fn targets<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size) -> B::Indices {
    let ids: Vec<u32> = (0..(size.batch * size.time) as u32).map(|i| if i % 3 == 1 { IGNORE } else { i * 7 % V as u32 }).collect();
    d.indices(Shape::matrix(size.batch, size.time), &ids)
}

fn cross_entropy<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size) {
    let (x, table, targets) = (d.input(size.rows(E)), d.full(Shape::matrix(V, E)), targets(d, size));
    let op = || CrossEntropy { x: &x, table: &table, targets: &targets, smoothing: 0.125, z_weight: 0.25, scale: 0.5 };
    for at_once in [4, 1000] {
        let mut scratch = d.output(Shape::matrix(at_once, V));
        let (mut losses, mut again) = (d.output(size.rows(3)), d.output(size.rows(3)));
        let (mut dx, mut d_table) = (d.output(size.rows(E)), d.gradient(Shape::matrix(V, E)));
        d.b.cross_entropy(op(), &mut scratch, &mut losses);
        d.b.cross_entropy_grad(op(), &mut scratch, &mut again, CrossEntropyGrad { x: &mut dx, table: &mut d_table });
        for (name, found) in [("losses", &losses), ("losses again", &again), ("x", &dx), ("table", &d_table)] {
            d.keep(name, found);
        }
    }
}

fn flow_point<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size) {
    let (table, targets, noise, time) = (d.full(Shape::matrix(V, E)), targets(d, size), d.input(size.rows(E)), d.input(size.rows(1)));
    let (mut point, mut velocity) = (d.output(size.rows(E)), d.output(size.rows(E)));
    d.b.flow_point(FlowPoint { targets: &targets, table: &table, noise: &noise, time: &time }, &mut point, &mut velocity);
    d.keep("point", &point);
    d.keep("velocity", &velocity);
}

fn flow_hidden<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size) {
    let (x, time, weight, dy) = (d.input(size.rows(E)), d.input(size.rows(1)), d.full(Shape::vector(E)), d.input(size.rows(E)));
    let op = || FlowHidden { x: &x, time: &time, weight: &weight };
    let (mut y, mut dx, mut d_weight) = (d.output(size.rows(E)), d.output(size.rows(E)), d.gradient(Shape::vector(E)));
    d.b.flow_hidden(op(), &mut y);
    d.b.flow_hidden_grad(op(), &dy, FlowHiddenGrad { x: &mut dx, weight: &mut d_weight });
    for (name, found) in [("y", &y), ("x", &dx), ("weight", &d_weight)] {
        d.keep(name, found);
    }
}

fn squared_error<B: Backward<Tensor: Numbers>>(d: &mut Desk<B>, size: Size) {
    let (x, goal) = (d.input(size.rows(E)), d.input(size.rows(E)));
    let (mut losses, mut dx) = (d.output(size.rows(1)), d.output(size.rows(E)));
    d.b.squared_error(SquaredError { x: &x, goal: &goal, scale: 0.5 }, &mut losses, &mut dx);
    d.keep("losses", &losses);
    d.keep("x", &dx);
}
