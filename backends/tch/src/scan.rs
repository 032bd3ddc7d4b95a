//! The gated diagonal recurrence.

use crate::{Tch, Tensor, replay::replay, tensor::columns, value::Value};
use hh_core::{
    ops::{Columns, ColumnsMut, Scan, ScanDims, ScanGrad},
    shape::Shaped,
};

/// `h_t = a_t ∘ h_{t−1} + b_t` along dimension 1 of length `time`, `h_{−1} = 0`.
///
/// A parallel scan (Brent and Kung 1982): pairs of steps combine to `(a₁a₀, a₁b₀ + b₁)`, a recurrence of half the length,
/// whose states are every second state here; the others are one step from them. O(T) work in log T passes, while recursive
/// doubling needs O(T log T).
pub(crate) fn recurrence(a: &Value, b: &Value, time: usize) -> Value {
    if time <= 1 {
        return b.clone();
    }
    let (even, odd) = (time.div_ceil(2), time / 2);
    let [a0, a1] = [0, 1].map(|first| a.alternate(first, 2 * odd));
    let [b0, b1] = [0, 1].map(|first| b.alternate(first, 2 * odd));
    let h1 = recurrence(&a1.times(&a0), &b1.plus_product(&a1, &b0), odd);
    // States 2, 4, … are one step after states 1, 3, …
    let later = b.alternate(2, time).plus_product(&a.alternate(2, time), &h1.part(1, 0, even - 1));
    let h0 = Value::cat(&[&b.part(1, 0, 1), &later], 1);
    let pairs = Value::stack(&[&h0.part(1, 0, odd), &h1], 2).map(|pairs| pairs.f_flatten(1, 2));
    if even > odd { Value::cat(&[&pairs, &h0.part(1, odd, 1)], 1) } else { pairs }
}

/// As [`recurrence`], with the initial state `before`, `[B, …]`.
pub(crate) fn recurrence_after(before: &Value, a: &Value, b: &Value, time: usize) -> Value {
    let first = b.part(1, 0, 1).plus_product(&a.part(1, 0, 1), &before.unsqueezed(1));
    recurrence(a, &Value::cat(&[&first, &b.part(1, 1, time - 1)], 1), time)
}

/// States and output; `gates` is `gate | g_in | g_forget`, the other inputs are those of [`Scan`].
fn formula(dims: ScanDims, before: Option<&Value>, [x, gates, bias, log_decay, skip]: &[Value; 5]) -> [Value; 2] {
    let ScanDims { time, width, .. } = dims;
    let gate = |i: usize| gates.columns(i * width, width);
    let sigmoid = |i: usize| gate(i).plus(&bias.part(0, i - 1, 1).flat()).sigmoid();
    let log_a = log_decay.softplus().scaled(-8.0).times(&sigmoid(2));
    let scale = log_a.scaled(2.0).expm1().scaled(-1.0).shifted(1e-6).sqrt();
    let (a, input) = (log_a.exp(), scale.times(&sigmoid(1)).times(x));
    let h = match before {
        Some(before) => recurrence_after(before, &a, &input, time),
        None => recurrence(&a, &input, time),
    };
    let y = h.plus_product(skip, x).times(&gate(0).silu());
    [h, y]
}

fn inputs(b: &Tch, op: &Scan<Tensor>) -> [Value; 5] {
    [b.whole(op.x), b.wide(&columns(&op.gates)), b.matrix(op.gate_bias), b.vector(op.log_decay), b.vector(op.skip)]
}

pub(crate) fn forward(b: &mut Tch, op: Scan<Tensor>, state: Option<&mut Tensor>, saved: Option<&mut Tensor>, y: ColumnsMut<Tensor>) {
    let dims = op.dims(state.as_ref().map(|s| s.shape()), saved.as_ref().map(|s| s.shape()));
    let before = state.as_ref().map(|state| b.matrix(state));
    let [h, out] = formula(dims, before.as_ref(), &inputs(b, &op));
    b.put_columns(&out, y);
    if let Some(state) = state {
        b.copy_to(&h.part(1, dims.time - 1, 1), &state.value());
    }
}

pub(crate) fn backward(b: &mut Tch, op: Scan<Tensor>, dy: Columns<Tensor>, d: ScanGrad<Tensor>) {
    let dims = op.dims(None, None);
    let inputs = inputs(b, &op);
    let [dx, d_gates, d_bias, d_decay, d_skip] = replay(inputs.each_ref(), &columns(&dy), |at| {
        let [_, y] = formula(dims, None, at);
        y
    });
    b.put(&dx, d.x);
    b.put_columns(&d_gates, d.gates);
    b.add(&d_bias, d.gate_bias);
    b.add(&d_decay, d.log_decay);
    b.add(&d_skip, d.skip);
}
