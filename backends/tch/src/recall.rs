//! Modern Hopfield memory: refinements of a query by softmax retrieval.

use crate::{
    Indices, Tch, Tensor,
    heads::{Sight, join, mixture, parts, retrieve, shifted, split, units, wide},
    replay::replay,
    ring::{Past, begun, remember, sight},
    tensor::columns,
    value::Value,
};
use hh_core::{
    ops::{Columns, ColumnsMut, MemoryDims, Recall, RecallGrad, RecallState},
    shape::Shaped,
};

/// All that a formula knows beside what it is differentiated by.
struct Setting {
    dims: MemoryDims,
    successor: bool,
    compute: tch::Kind,
    sight: Sight,
    /// `[T, 1]`: 0 where a query sees nothing.
    begun: Option<Value>,
}

impl Setting {
    fn new(b: &Tch, op: &Recall<Tensor>, dims: MemoryDims, past: Option<&Past>) -> Self {
        let sight = sight(b, &dims, past, usize::from(op.successor));
        let begun = (op.successor && dims.slots == 0).then(|| begun(b, &dims, past));
        Self { dims, successor: op.successor, compute: b.compute, sight, begun }
    }
}

/// Unit patterns and values of the chunk's items, `[B, T, w]` each; and the patterns of its positions.
fn items(set: &Setting, qpv: &Value, last: Option<&Value>) -> [Value; 3] {
    let [_, pattern, value] = parts(qpv, &set.dims);
    let pattern = units(&pattern, &set.dims);
    let item = if set.successor { shifted(&pattern, last, set.dims.time) } else { pattern.clone() };
    [item, value, pattern]
}

/// Patterns and values that a query may see, in front of the chunk's own: `[B, H, …, d]` each.
fn older(dims: &MemoryDims, slots: Option<[&Value; 2]>, ring: Option<&Value>) -> [Vec<Value>; 2] {
    let (batch, w) = (dims.batch as i64, dims.width);
    let slots =
        slots.map(|[patterns, values]| [&patterns.unit(), values].map(|x| x.unsqueezed(0).map(|x| x.f_expand([batch, -1, -1, -1], false))));
    let ring = ring.map(|ring| [ring.columns(0, w), ring.columns(w, w)].map(|x| split(&x, dims)));
    let mut all = [Vec::new(), Vec::new()];
    for pair in [slots, ring].into_iter().flatten() {
        all.iter_mut().zip(pair).for_each(|(all, x)| all.push(x));
    }
    all
}

fn formula(set: &Setting, [qpv, depth, log_beta]: [&Value; 3], slots: Option<[&Value; 2]>, past: Option<[&Value; 2]>) -> Value {
    let (dims, d) = (&set.dims, set.dims.head_dim);
    let [ring, last] = [past.map(|[ring, _]| ring), past.map(|[_, last]| last)];
    let [pattern, value, _] = items(set, qpv, last);
    let [mut patterns, mut values] = older(dims, slots, ring);
    patterns.push(split(&pattern, dims));
    values.push(split(&value, dims));
    let [patterns, values] = [patterns, values].map(|x| Value::cat(&x, 2).to(set.compute));
    // One pass reads both: [value | pattern] by the pattern, with zeros beside it, since the fused kernel wants equal widths.
    let zeros = |x: &Value| x.map(|x| x.f_constant_pad_nd([0, d as i64]));
    let (keys, both) = (zeros(&patterns), Value::cat(&[&values, &patterns], -1));

    let beta = log_beta.exp().view(&[dims.heads, 1, 1]);
    let [query, ..] = parts(qpv, dims);
    let mut xi = split(&units(&query, dims), dims);
    let see = |x: Value| set.begun.as_ref().map_or(x.clone(), |begun| x.times(begun));
    let reads: Vec<Value> = (1..=dims.depth)
        .map(|k| {
            let hot = xi.times(&beta).to(set.compute);
            if k == dims.depth {
                return see(retrieve(&hot, &patterns, &values, &set.sight, 1.0));
            }
            let read = see(retrieve(&zeros(&hot), &keys, &both, &set.sight, 1.0));
            xi = xi.plus(&read.columns(d, d)).unit();
            read.columns(0, d)
        })
        .collect();
    join(&mixture(depth, &reads))
}

pub(crate) fn forward(b: &mut Tch, op: Recall<Tensor>, state: Option<RecallState<Tensor, Indices>>, y: ColumnsMut<Tensor>) {
    let dims = op.dims(state.as_ref().map(|s| s.ring.items.shape()));
    let past = state.as_ref().map(|s| Past { clock: s.ring.clock, rows: s.ring.items.shape().extents()[1] });
    let set = Setting::new(b, &op, dims, past.as_ref());
    let (qpv, depth, log_beta) = (wide(b, &op.qpv), b.whole(op.depth), b.vector(op.log_beta));
    let slots = op.slots.as_ref().map(|s| [b.whole(s.patterns), b.whole(s.values)]);
    let before = state.as_ref().map(|s| [s.ring.items.value(), b.matrix(s.last)]);
    let read = formula(&set, [&qpv, &depth, &log_beta], slots.as_ref().map(|s| s.each_ref()), before.as_ref().map(|s| s.each_ref()));
    b.put_columns(&read, y);
    if let (Some(past), Some([ring, last])) = (past, before) {
        let [pattern, value, newest] = items(&set, &qpv, Some(&last));
        remember(b, &dims, &past, &Value::cat(&[&pattern, &value], -1), &ring);
        b.copy_to(&newest.part(1, dims.time - 1, 1), &last);
    }
}

pub(crate) fn backward(b: &mut Tch, op: Recall<Tensor>, dy: Columns<Tensor>, d: RecallGrad<Tensor>) {
    let dims = op.dims(None);
    let set = Setting::new(b, &op, dims, None);
    let (qpv, depth, log_beta) = (wide(b, &op.qpv), b.whole(op.depth), b.vector(op.log_beta));
    let dy = columns(&dy);
    let [d_qpv, d_depth, d_beta] = match (&op.slots, d.slots) {
        (Some(slots), Some(d_slots)) => {
            let at = [&qpv, &depth, &log_beta, &b.whole(slots.patterns), &b.whole(slots.values)];
            let [d_qpv, d_depth, d_beta, d_patterns, d_values] = replay(at, &dy, |[qpv, depth, log_beta, patterns, values]| {
                formula(&set, [qpv, depth, log_beta], Some([patterns, values]), None)
            });
            b.add(&d_patterns, d_slots.patterns);
            b.add(&d_values, d_slots.values);
            [d_qpv, d_depth, d_beta]
        }
        (None, None) => replay([&qpv, &depth, &log_beta], &dy, |at| formula(&set, at.each_ref(), None, None)),
        _ => panic!("recall: gradients of slots exactly where there are slots"),
    };
    b.put_columns(&d_qpv, d.qpv);
    b.put(&d_depth, d.depth);
    b.add(&d_beta, d.log_beta);
}
