//! Modern Hopfield memory: refinements of a query by softmax retrieval.

use crate::{
    Indices, Tch, Tensor,
    heads::{AttnMask, join, mixture, parts, retrieve, shifted, split, units, wide},
    replay::replay,
    ring::{Past, has_item, mask, update_ring},
    tensor::columns,
    value::Value,
};
use hh_core::{
    ops::{Columns, ColumnsMut, MemoryDims, Recall, RecallGrad, RecallState},
    shape::Shaped,
};

/// Inputs that are not differentiated.
struct Context {
    dims: MemoryDims,
    successor: bool,
    compute: tch::Kind,
    mask: AttnMask,
    /// `[T, 1]`: 0 for queries without a visible item, else 1.
    has_item: Option<Value>,
}

impl Context {
    fn new(b: &Tch, op: &Recall<Tensor>, dims: MemoryDims, past: Option<&Past>) -> Self {
        let mask = mask(b, &dims, past, usize::from(op.successor));
        let has_item = (op.successor && dims.slots == 0).then(|| has_item(b, &dims, past));
        Self { dims, successor: op.successor, compute: b.compute, mask, has_item }
    }
}

/// Unit patterns and values of the chunk's items, `[B, T, w]` each; and the patterns of its positions.
fn items(ctx: &Context, qpv: &Value, last: Option<&Value>) -> [Value; 3] {
    let [_, pattern, value] = parts(qpv, &ctx.dims);
    let pattern = units(&pattern, &ctx.dims);
    let item = if ctx.successor { shifted(&pattern, last, ctx.dims.time) } else { pattern.clone() };
    [item, value, pattern]
}

/// Patterns and values before the chunk's own, of slots and ring: `[B, H, …, d]` each.
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

fn formula(ctx: &Context, [qpv, depth, log_beta]: [&Value; 3], slots: Option<[&Value; 2]>, past: Option<[&Value; 2]>) -> Value {
    let (dims, d) = (&ctx.dims, ctx.dims.head_dim);
    let [ring, last] = [past.map(|[ring, _]| ring), past.map(|[_, last]| last)];
    let [pattern, value, _] = items(ctx, qpv, last);
    let [mut patterns, mut values] = older(dims, slots, ring);
    patterns.push(split(&pattern, dims));
    values.push(split(&value, dims));
    let [patterns, values] = [patterns, values].map(|x| Value::cat(&x, 2).to(ctx.compute));
    // One pass reads both: values are [value | pattern] and keys are padded with zeros, since the fused kernel needs equal widths.
    let zeros = |x: &Value| x.map(|x| x.f_constant_pad_nd([0, d as i64]));
    let (keys, both) = (zeros(&patterns), Value::cat(&[&values, &patterns], -1));

    let beta = log_beta.exp().view(&[dims.heads, 1, 1]);
    let [query, ..] = parts(qpv, dims);
    let mut xi = split(&units(&query, dims), dims);
    let see = |x: Value| ctx.has_item.as_ref().map_or(x.clone(), |has_item| x.times(has_item));
    let reads: Vec<Value> = (1..=dims.depth)
        .map(|k| {
            let hot = xi.times(&beta).to(ctx.compute);
            if k == dims.depth {
                return see(retrieve(&hot, &patterns, &values, &ctx.mask, 1.0));
            }
            let read = see(retrieve(&zeros(&hot), &keys, &both, &ctx.mask, 1.0));
            xi = xi.plus(&read.columns(d, d)).unit();
            read.columns(0, d)
        })
        .collect();
    join(&mixture(depth, &reads))
}

pub(crate) fn forward(b: &mut Tch, op: Recall<Tensor>, state: Option<RecallState<Tensor, Indices>>, y: ColumnsMut<Tensor>) {
    let dims = op.dims(state.as_ref().map(|s| s.ring.items.shape()));
    let past = state.as_ref().map(|s| Past { clock: s.ring.clock, rows: s.ring.items.shape().extents()[1] });
    let ctx = Context::new(b, &op, dims, past.as_ref());
    let (qpv, depth, log_beta) = (wide(b, &op.qpv), b.whole(op.depth), b.vector(op.log_beta));
    let slots = op.slots.as_ref().map(|s| [b.whole(s.patterns), b.whole(s.values)]);
    let before = state.as_ref().map(|s| [s.ring.items.value(), b.matrix(s.last)]);
    let read = formula(&ctx, [&qpv, &depth, &log_beta], slots.as_ref().map(|s| s.each_ref()), before.as_ref().map(|s| s.each_ref()));
    b.put_columns(&read, y);
    if let (Some(past), Some([ring, last])) = (past, before) {
        let [pattern, value, newest] = items(&ctx, &qpv, Some(&last));
        update_ring(b, &dims, &past, &Value::cat(&[&pattern, &value], -1), &ring);
        b.copy_to(&newest.part(1, dims.time - 1, 1), &last);
    }
}

pub(crate) fn backward(b: &mut Tch, op: Recall<Tensor>, dy: Columns<Tensor>, d: RecallGrad<Tensor>) {
    let dims = op.dims(None);
    let ctx = Context::new(b, &op, dims, None);
    let (qpv, depth, log_beta) = (wide(b, &op.qpv), b.whole(op.depth), b.vector(op.log_beta));
    let dy = columns(&dy);
    let [d_qpv, d_depth, d_beta] = match (&op.slots, d.slots) {
        (Some(slots), Some(d_slots)) => {
            let at = [&qpv, &depth, &log_beta, &b.whole(slots.patterns), &b.whole(slots.values)];
            let [d_qpv, d_depth, d_beta, d_patterns, d_values] = replay(at, &dy, |[qpv, depth, log_beta, patterns, values]| {
                formula(&ctx, [qpv, depth, log_beta], Some([patterns, values]), None)
            });
            b.add(&d_patterns, d_slots.patterns);
            b.add(&d_values, d_slots.values);
            [d_qpv, d_depth, d_beta]
        }
        (None, None) => replay([&qpv, &depth, &log_beta], &dy, |at| formula(&ctx, at.each_ref(), None, None)),
        _ => panic!("recall: the slots and their gradients must both be present or absent"),
    };
    b.put_columns(&d_qpv, d.qpv);
    b.put(&d_depth, d.depth);
    b.add(&d_beta, d.log_beta);
}
