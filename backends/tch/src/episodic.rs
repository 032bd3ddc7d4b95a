//! The episodic memory: products of a chunk's keys with the whole ring, and a mask of the items that each position sees.

use crate::{Indices, Tch, Tensor, replay::scalar_grads, value::Value};
use hh_core::{
    ops::{Episodic, EpisodicDims, EpisodicGrad, EpisodicItems, EpisodicLogProbs, EpisodicStore, UNKNOWN},
    shape::Shaped,
};
use tch::{Kind, Tensor as Torch};

/// The logarithm of nothing.
const NEVER: f64 = -1e30;
/// The least probability that the memory gives to a token.
const LEAST: f64 = 1e-30;

/// Positions of a chunk: clock + t.
fn positions(b: &Tch, clock: Option<&Indices>, time: usize) -> Value {
    let chunk = b.count(time);
    clock.map_or(chunk.clone(), |clock| chunk.plus(&clock.vector()))
}

fn rows_of(positions: &Value, rows: usize) -> Value {
    positions.map(|p| p.f_remainder(rows as i64))
}

/// A copy of `ring` with `values` in some rows of dimension `dim`.
fn with_rows(ring: &Value, dim: i64, rows: &Value, values: &Value) -> Value {
    Value::all(&[ring, rows, values], |t| t[0].f_index_copy(dim, t[1], &t[2].f_to_kind(t[0].kind())?))
}

pub(crate) fn store(b: &mut Tch, op: EpisodicStore<Tensor, Indices>, keys: &mut Tensor, tokens: &mut Tensor) {
    let d = op.dims(keys.shape, tokens.shape);
    let all = positions(b, op.clock, d.time);
    let kept = d.time.min(d.rows);
    let new = b.whole(op.keys).unit().part(1, d.time - kept, kept);
    let rows = rows_of(&all.part(0, d.time - kept, kept), d.rows);
    b.copy_to(&with_rows(&keys.value(), 1, &rows, &new), &keys.value());
    // The token of position p belongs to the item of p − 1, unless that ended a document; position 0 has none before it.
    let known = d.time.min(d.rows - 1);
    let ring = tokens.value();
    let mut after = ring.clone();
    if known > 0 {
        let at = all.part(0, d.time - known, known);
        let ids = Value::share(&op.tokens.inner).view(&[1, d.batch, d.time]).columns(d.time - known, known);
        let rows = rows_of(&at.map(|p| p.f_sub_scalar(1)), d.rows);
        let old = ring.with(&rows, |ring, rows| ring.f_index_select(2, rows));
        let first = all.part(0, 0, 1);
        let open = old.map(|old| old.f_eq(f64::from(UNKNOWN))).with(&at.with(&first, Torch::f_gt_tensor), Torch::f_logical_or);
        let exists = open.with(&at.map(|p| p.f_gt(0)), Torch::f_logical_and);
        let new = Value::all(&[&exists, &ids.to(b.full), &old], |t| t[1].f_where_self(t[0], t[2]));
        after = with_rows(&after, 2, &rows, &new);
    }
    let newest = rows_of(&all.part(0, d.time - 1, 1), d.rows);
    let unknown = after.map(|t| t.f_new_full([1, d.batch as i64, 1], f64::from(UNKNOWN), (t.kind(), t.device())));
    b.copy_to(&with_rows(&after, 2, &newest, &unknown), &ring);
}

/// Which rows of the ring each of the positions sees, `[T, R]`.
fn seen(b: &Tch, d: &EpisodicDims, positions: &Value) -> Value {
    let newest = positions.part(0, d.time - 1, 1);
    // Row r holds the newest item that is r modulo R; negative if there is none.
    let items = newest.minus(&rows_of(&newest.minus(&b.count(d.rows)), d.rows)).unsqueezed(0);
    let age = positions.unsqueezed(1).minus(&items);
    let both = |a: &Value, b: &Value| a.with(b, Torch::f_logical_and);
    let window = i64::try_from(d.window).unwrap_or(i64::MAX);
    let old_enough = both(&age.map(|age| age.f_ge(1)), &age.map(|age| age.f_le(window)));
    both(&old_enough, &items.map(|items| items.f_ge(0)))
}

/// Weights of the items, and log(1 − g), log g: of queries `[B, T, m]` in keys `[B, R, m]`.
fn look_up(seen: &Value, queries: &Value, keys: &Value, gate: &Value, log_beta: &Value, match_weight: &Value) -> [Value; 3] {
    let scores = queries.matmul(&keys.transposed(1, 2)).with(seen, |s, seen| s.f_masked_fill(&seen.f_logical_not()?, NEVER));
    let best = scores.map(|s| s.f_amax(-1i64, true));
    let any = seen.map(|seen| seen.f_any_dim(-1, true));
    let weights = scores.times(&log_beta.exp()).softmax().with(&any, |a, any| a.f_mul(&any.f_to_kind(a.kind())?));
    let z = gate.plus(&best.times(match_weight));
    let z = z.with(&any, |z, any| z.f_where_self(any, &z.f_full_like(NEVER)?));
    [weights, z.scaled(-1.0).map(Torch::f_log_sigmoid), z.map(Torch::f_log_sigmoid)]
}

/// `[B, T, 2]`
fn mixture([weights, keep, used]: &[Value; 3], matches: &Value) -> Value {
    let matched = weights.times(matches).map(|x| x.f_sum_dim_intlist(-1i64, true, None)?.f_clamp_min(LEAST)?.f_log());
    Value::cat(&[keep, &used.plus(&matched)], -1)
}

/// Which items have the target, `[B, T, R]`.
fn matches(b: &Tch, items: &EpisodicItems<Tensor>, targets: &Indices, d: &EpisodicDims) -> Value {
    let targets = Value::share(&targets.inner).view(&[d.batch, d.time, 1]).to(b.full);
    let tokens = b.whole(items.tokens).view(&[d.batch, 1, d.rows]);
    tokens.with(&targets, |tokens, targets| tokens.f_eq_tensor(targets)).to(b.full)
}

pub(crate) fn forward(b: &mut Tch, op: Episodic<Tensor, Indices>, to: &mut Tensor) {
    let d = op.dims(to.shape);
    let positions = positions(b, op.clock, d.time);
    let keys = b.whole(op.items.keys);
    let queries = keys.with(&rows_of(&positions, d.rows), |keys, rows| keys.f_index_select(1, rows));
    let parameters = [op.log_beta, op.match_weight].map(|p| b.vector(p));
    let found = look_up(&seen(b, &d, &positions), &queries, &keys, &b.whole(op.gate), &parameters[0], &parameters[1]);
    b.put(&mixture(&found, &matches(b, &op.items, op.targets, &d)), to);
}

pub(crate) fn backward(b: &mut Tch, op: Episodic<Tensor, Indices>, keys: &Tensor, d_mixture: &Tensor, to: EpisodicGrad<Tensor>) {
    let d = op.dims(d_mixture.shape);
    assert!(to.keys.shape() == keys.shape() && keys.shape().extents() == [d.batch, d.time, d.width], "episodic: keys {}", keys.shape());
    let positions = positions(b, op.clock, d.time);
    let (rows, seen, matches) = (rows_of(&positions, d.rows), seen(b, &d, &positions), matches(b, &op.items, op.targets, &d));
    let ring = b.whole(op.items.keys);
    let (keys, gate, log_beta, match_weight) = (b.whole(keys), b.whole(op.gate), b.vector(op.log_beta), b.vector(op.match_weight));
    let dy = b.whole(d_mixture);
    let [d_keys, d_gate, d_log_beta, d_match] = scalar_grads([&keys, &gate, &log_beta, &match_weight], |[keys, gate, log_beta, weight]| {
        let queries = keys.unit();
        let ring = with_rows(&ring, 1, &rows, &queries);
        // An empty memory's logarithm of nothing would make the sum of all rows lose its digits, and has no gradient.
        let y = mixture(&look_up(&seen, &queries, &ring, gate, log_beta, weight), &matches);
        y.map(|y| y.f_clamp_min(NEVER / 2.0)).dot(&dy)
    });
    b.put(&d_keys, to.keys);
    b.put(&d_gate, to.gate);
    b.add(&d_log_beta, to.log_beta);
    b.add(&d_match, to.match_weight);
}

pub(crate) fn log_probs(b: &mut Tch, op: EpisodicLogProbs<Tensor, Indices>, weights: &mut Tensor, logits: &mut Tensor) {
    let (d, vocab) = op.dims(weights.shape, logits.shape);
    let newest = op.clock.vector().map(|clock| clock.f_sub_scalar(1));
    let keys = b.whole(op.items.keys);
    let query = keys.with(&rows_of(&newest, d.rows), |keys, rows| keys.f_index_select(1, rows));
    let parameters = [op.log_beta, op.match_weight].map(|p| b.vector(p));
    let gate = b.whole(op.gate).view(&[d.batch, 1, 1]);
    let [found, keep, used] = look_up(&seen(b, &d, &newest), &query, &keys, &gate, &parameters[0], &parameters[1]);
    let tokens = op.items.tokens.value().view(&[d.batch, 1, d.rows]).map(|t| t.f_to_kind(Kind::Int64)?.f_clamp(0, vocab as i64 - 1));
    let by_token = Value::all(&[&found, &tokens], |t| {
        let zeros = t[0].f_new_zeros([d.batch as i64, 1, vocab as i64], (t[0].kind(), t[0].device()))?;
        zeros.f_scatter_add(-1, t[1], t[0])?.f_clamp_min(LEAST)?.f_log()
    });
    let own = logits.value().map(|l| l.f_log_softmax(-1, None)).plus(&keep);
    b.put(&own.with(&used.plus(&by_token), Torch::f_logaddexp), logits);
    b.put(&found, weights);
}
