//! Rows of a table by number.

use crate::{Indices, Tch, Tensor, replay::replay, value::Value};
use hh_core::ops::Embed;

fn formula(tokens: &Value, table: &Value) -> Value {
    table.with(tokens, |table, tokens| tch::Tensor::f_embedding(table, tokens, -1, false, false))
}

pub(crate) fn forward(b: &mut Tch, op: Embed<Tensor, Indices>, y: &mut Tensor) {
    op.dims(y.shape);
    b.put(&formula(&op.tokens.vector(), &op.table.matrix()), y);
}

pub(crate) fn backward(b: &mut Tch, op: Embed<Tensor, Indices>, dy: &Tensor, d_table: &mut Tensor) {
    op.dims(dy.shape);
    let tokens = op.tokens.vector();
    let [d] = replay([&b.matrix(op.table)], &b.wide(&dy.matrix()), |[table]| formula(&tokens, table));
    b.add(&d, d_table);
}
