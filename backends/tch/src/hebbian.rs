//! Classic Hopfield memory: Hebbian matrices with exponential forgetting, a chunk of positions at a time.
//!
//! Within a chunk items are weighted pairwise by `γ^{t−j}`; earlier items are read through the matrices at the beginning
//! of the chunk, which a recurrence over chunks computes from the sums of each chunk. No tensor is `T × T`, and no loop
//! runs over positions.

use crate::{
    Tch, Tensor,
    heads::{join, mixture, parts, shifted, split, units, wide},
    replay::replay,
    scan::{recurrence, recurrence_after},
    tensor::columns,
    value::Value,
};
use hh_core::{
    ops::{Columns, ColumnsMut, Hebbian, HebbianGrad, HebbianState, MemoryDims},
    shape::Shaped,
};

/// Positions per chunk.
const CHUNK: usize = 64;

/// Dimensions and constants of a chunked computation.
struct Memory {
    dims: MemoryDims,
    successor: bool,
    chunks: usize,
    /// Positions per chunk.
    size: usize,
    /// `0, 1, 2 …` up to `T`, as floats.
    count: Value,
}

/// Unit patterns `[B, T, w]`, and patterns | values `[B, H, T, 2d]`.
struct Items {
    pattern: Value,
    both: Value,
    newest: Value,
}

impl Memory {
    fn new(b: &Tch, op: &Hebbian<Tensor>, dims: MemoryDims) -> Self {
        let size = dims.time.min(CHUNK);
        let count = b.count(dims.time + 1).to(b.full);
        Self { dims, successor: op.successor, chunks: dims.time.div_ceil(size), size, count }
    }

    fn items(&self, qpv: &Value, last: Option<&Value>) -> Items {
        let [_, pattern, value] = parts(qpv, &self.dims);
        let newest = units(&pattern, &self.dims);
        let item = if self.successor { shifted(&newest, last, self.dims.time) } else { newest.clone() };
        let [pattern, value] = [&item, &value].map(|x| split(x, &self.dims));
        Items { both: Value::cat(&[&pattern, &value], -1), pattern, newest }
    }

    /// `[B, H, T, n]` as `[B, chunks, H, size, n]`; padded with zeros at the end of the last chunk.
    fn chunked(&self, x: &Value) -> Value {
        let (chunks, size) = (self.chunks as i64, self.size as i64);
        let missing = chunks * size - self.dims.time as i64;
        x.map(|x| x.f_constant_pad_nd([0, 0, 0, missing])?.f_unflatten(2, [chunks, size])?.f_transpose(1, 2))
    }

    /// The inverse of [`chunked`](Self::chunked).
    fn whole(&self, x: &Value) -> Value {
        x.map(|x| x.f_transpose(1, 2)?.f_flatten(2, 3)).part(2, 0, self.dims.time)
    }

    /// `γ^ages` for each head, `[H, ages…]`.
    fn powers(&self, log_gamma: &Value, ages: &Value) -> Value {
        let extents: Vec<i64> = std::iter::once(-1).chain(ages.extents().iter().map(|_| 1)).collect();
        log_gamma.map(|x| x.f_view(&extents[..])).times(&ages.unsqueezed(0)).exp()
    }

    /// The matrices at the beginning of each chunk, `[B, chunks, H, d, 2d]`; none for a single chunk without a state.
    fn initial_states(&self, log_gamma: &Value, pattern: &Value, both: &Value, before: Option<&Value>) -> Option<Value> {
        let (chunks, size) = (self.chunks, self.size);
        if chunks == 1 {
            return before.map(|before| before.unsqueezed(1));
        }
        // For all chunks but the last: the sums of their items at the end of the chunk.
        let ages = self.count.part(0, 0, size).map(|x| x.f_flip([0]));
        let fading = self.powers(log_gamma, &ages).unsqueezed(-1);
        let [pattern, both] = [pattern, both].map(|x| x.part(1, 0, chunks - 1));
        let sums = pattern.times(&fading).transposed(-1, -2).matmul(&both);
        let a = log_gamma.scaled(size as f64).exp().view(&[1, 1, self.dims.heads, 1, 1]);
        let a = a.with(&sums, |a, sums| a.f_expand_as(sums));
        Some(match before {
            Some(before) => Value::cat(&[&before.unsqueezed(1), &recurrence_after(before, &a, &sums, chunks - 1)], 1),
            None => recurrence(&a, &sums, chunks - 1).map(|x| x.f_constant_pad_nd([0, 0, 0, 0, 0, 0, 1, 0])),
        })
    }
}

fn formula(m: &Memory, [qpv, depth, log_beta, decay]: &[Value; 4], last: Option<&Value>, before: Option<&Value>) -> Value {
    let (dims, d) = (&m.dims, m.dims.head_dim);
    let log_gamma = decay.map(tch::Tensor::f_log_sigmoid);
    let Items { pattern, both, .. } = m.items(qpv, last);
    let [pattern, both] = [&pattern, &both].map(|x| m.chunked(x));
    let initial_states = m.initial_states(&log_gamma, &pattern, &both, before);
    let at = m.count.part(0, 0, m.size);
    let ages = at.unsqueezed(1).minus(&at.unsqueezed(0));
    let weights = m.powers(&log_gamma, &ages.map(|x| x.f_clamp_min(0))).map(|x| x.f_tril(0));
    let carried = m.powers(&log_gamma, &m.count.part(0, 1, m.size)).unsqueezed(-1);

    let beta = log_beta.exp().view(&[dims.heads, 1, 1]);
    let [query, ..] = parts(qpv, dims);
    let mut xi = m.chunked(&split(&units(&query, dims), dims));
    let reads: Vec<Value> = (0..dims.depth)
        .map(|_| {
            let scores = xi.matmul(&pattern.transposed(-1, -2)).times(&weights);
            let near = scores.matmul(&both);
            let read = match &initial_states {
                Some(initial_states) => near.plus_product(&xi.matmul(initial_states), &carried),
                None => near,
            };
            xi = xi.plus(&read.columns(0, d).times(&beta).tanh()).unit();
            m.whole(&read.columns(d, d))
        })
        .collect();
    join(&mixture(depth, &reads))
}

fn inputs(b: &Tch, op: &Hebbian<Tensor>) -> [Value; 4] {
    [wide(b, &op.qpv), b.whole(op.depth), b.vector(op.log_beta), b.vector(op.decay)]
}

pub(crate) fn forward(b: &mut Tch, op: Hebbian<Tensor>, state: Option<HebbianState<Tensor>>, y: ColumnsMut<Tensor>) {
    let dims = op.dims(state.as_ref().map(|s| s.matrices.shape()));
    let (m, inputs) = (Memory::new(b, &op, dims), inputs(b, &op));
    let state = state.map(|s| [s.matrices.value(), b.matrix(s.last)]);
    let Some([matrices, last]) = state else {
        return b.put_columns(&formula(&m, &inputs, None, None), y);
    };
    // [B, 2w, d]: pattern ⊗ pattern, then pattern ⊗ value.
    let MemoryDims { batch, time, heads, head_dim: d, .. } = dims;
    let pair = matrices.view(&[batch, 2, heads, d, d]);
    let before = Value::cat(&[0, 1].map(|i| pair.part(1, i, 1).view(&[batch, heads, d, d])), -1);
    b.put_columns(&formula(&m, &inputs, Some(&last), Some(&before)), y);

    let [qpv, _, _, decay] = &inputs;
    let log_gamma = decay.map(tch::Tensor::f_log_sigmoid);
    let Items { pattern, both, newest } = m.items(qpv, Some(&last));
    let ages = m.count.part(0, 0, time).map(|x| x.f_flip([0]));
    let fading = m.powers(&log_gamma, &ages).unsqueezed(-1);
    let sum = pattern.times(&fading).transposed(-1, -2).matmul(&both);
    let kept = log_gamma.scaled(time as f64).exp().view(&[heads, 1, 1]);
    let after = sum.plus_product(&before, &kept);
    let after = Value::stack(&[after.columns(0, d), after.columns(d, d)], 1);
    b.copy_to(&after, &matrices);
    b.copy_to(&newest.part(1, time - 1, 1), &last);
}

pub(crate) fn backward(b: &mut Tch, op: Hebbian<Tensor>, dy: Columns<Tensor>, d: HebbianGrad<Tensor>) {
    let m = Memory::new(b, &op, op.dims(None));
    let inputs = inputs(b, &op);
    let [d_qpv, d_depth, d_beta, d_decay] = replay(inputs.each_ref(), &columns(&dy), |at| formula(&m, at, None, None));
    b.put_columns(&d_qpv, d.qpv);
    b.put(&d_depth, d.depth);
    b.add(&d_beta, d.log_beta);
    b.add(&d_decay, d.decay);
}
