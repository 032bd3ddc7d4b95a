//! The gates of the paths.

use crate::{Tch, Tensor, replay::replay, tensor::columns, value::Value};
use hh_core::ops::{Columns, Gate, GateGrad};

/// `control` has a column for each path that is on.
fn formula(hidden: &Value, weight: &Value, bias: &Value, control: Option<&Value>) -> Value {
    let logits = hidden.silu().linear(weight, Some(bias));
    let logits = control.map_or(logits.clone(), |control| logits.plus(control));
    let paths = bias.extents().first().map_or(1.0, |&n| n as f64);
    logits.softmax().scaled(paths)
}

fn inputs(b: &Tch, op: &Gate<Tensor>) -> [Value; 3] {
    [b.whole(op.hidden), b.matrix(op.weight), b.vector(op.bias)]
}

/// The columns of the paths that are on.
fn control(b: &Tch, control: &Columns<Tensor>, on: [bool; 3]) -> Value {
    let all = b.wide(&columns(control));
    Value::cat(&paths(on).map(|i| all.columns(i, 1)).collect::<Vec<_>>(), -1)
}

fn paths(on: [bool; 3]) -> impl Iterator<Item = usize> {
    (0..3).filter(move |&i| on[i])
}

pub(crate) fn forward(b: &mut Tch, op: Gate<Tensor>, gates: &mut Tensor) {
    op.dims(gates.shape);
    let [hidden, weight, bias] = inputs(b, &op);
    let control = op.control.map(|c| control(b, &c, op.on));
    b.put(&formula(&hidden, &weight, &bias, control.as_ref()), gates);
}

pub(crate) fn backward(b: &mut Tch, op: Gate<Tensor>, dy: &Tensor, d: GateGrad<Tensor>) {
    op.dims(dy.shape);
    let ([hidden, weight, bias], dy) = (inputs(b, &op), dy.value());
    let [d_hidden, d_weight, d_bias] = match (op.control, d.control) {
        (Some(given), Some(to)) => {
            let control = control(b, &given, op.on);
            let [d_hidden, d_weight, d_bias, d_control] =
                replay([&hidden, &weight, &bias, &control], &dy, |[h, w, b, c]| formula(h, w, b, Some(c)));
            let mut found = (0..).map(|i| d_control.columns(i, 1));
            let off = control.columns(0, 1).map(tch::Tensor::f_zeros_like);
            let all = op.on.map(|on| if on { found.next().unwrap_or_else(|| off.clone()) } else { off.clone() });
            b.put_columns(&Value::cat(&all, -1), to);
            [d_hidden, d_weight, d_bias]
        }
        (None, None) => replay([&hidden, &weight, &bias], &dy, |[h, w, b]| formula(h, w, b, None)),
        _ => panic!("gate: the control columns and their gradient must both be present or absent"),
    };
    b.put(&d_hidden, d.hidden);
    b.add(&d_weight, d.weight);
    b.add(&d_bias, d.bias);
}
