//! Learned absolute position embeddings.

use crate::{Indices, Tch, Tensor, replay::replay, value::Value};
use hh_core::{ops::Positions, shape::Shaped};

/// Rows `clock .. clock + time` of the table, `[time, D]`.
fn formula(b: &Tch, clock: Option<&Indices>, time: usize, table: &Value) -> Value {
    let from_zero = b.count(time);
    let positions = clock.map_or(from_zero.clone(), |clock| from_zero.plus(&clock.vector()));
    table.with(&positions, |table, positions| table.f_index_select(0, positions))
}

pub(crate) fn forward(b: &mut Tch, op: Positions<Tensor, Indices>, y: &mut Tensor) {
    let [_, time, width] = y.shape.extents();
    assert_eq!(op.table.shape().width(), width, "positions: table {}", op.table.shape());
    let rows = formula(b, op.clock, time, &b.matrix(op.table));
    b.put(&y.value().plus(&rows), y);
}

pub(crate) fn backward(b: &mut Tch, op: Positions<Tensor, Indices>, dy: &Tensor, d_table: &mut Tensor) {
    let [batch, time, width] = dy.shape.extents();
    let dy = b.whole(dy);
    let [d] = replay([&b.matrix(op.table)], &dy, |[table]| {
        formula(b, op.clock, time, table).map(|rows| rows.f_expand([batch as i64, time as i64, width as i64], false))
    });
    b.add(&d, d_table);
}
