//! The episodic memory: products of keys for a block of positions at a time, then a softmax over the items that each position sees.

mod backward;
mod log_probs;
mod store;

pub(crate) use backward::backward;
pub(crate) use log_probs::{log_add_exp, log_probs};
pub(crate) use store::store;

use crate::{
    Cpu, Float, Indices, Tensor,
    matmul::{dense, write::Write},
    reduce::{largest, sum},
    scratch::{Bump, scratch},
    threads::Shared,
};
use core::{mem::take, ops::Range};
use hh_core::{
    ops::{Episodic, EpisodicDims, EpisodicItems, IGNORE},
    shape::Shaped,
};

/// Positions whose products are in memory at a time.
const BLOCK: usize = 64;
/// The logarithm of nothing.
const NEVER: f64 = -1e30;
/// The least probability that the memory gives to a token.
const LEAST: f64 = 1e-30;

/// Items of one sequence.
#[derive(Clone, Copy)]
struct Ring<'a, F> {
    /// `[R, m]`
    keys: &'a [F],
    /// `[R]`
    tokens: &'a [F],
    dims: EpisodicDims,
    clock: usize,
}

impl<'a, F: Float> Ring<'a, F> {
    fn new(items: &EpisodicItems<'a, Tensor<F>>, sequence: usize, dims: EpisodicDims, clock: Option<&Indices>) -> Self {
        let (n, m) = (dims.rows, dims.width);
        let (keys, tokens) = (&items.keys.data()[sequence * n * m..][..n * m], &items.tokens.data()[sequence * n..][..n]);
        Self { keys, tokens, dims, clock: clock.map_or(0, |clock| clock.data()[0] as usize) }
    }

    fn key(&self, item: usize) -> &'a [F] {
        &self.keys[item % self.dims.rows * self.dims.width..][..self.dims.width]
    }

    /// The items that position `t` of the chunk sees.
    fn visible(&self, t: usize) -> Range<usize> {
        self.dims.visible(self.clock, t)
    }

    /// Items in runs that are contiguous in the ring, and either all older than the chunk or all of it.
    fn pieces(&self, items: Range<usize>) -> impl Iterator<Item = Range<usize>> + use<F> {
        let (rows, clock, mut at) = (self.dims.rows, self.clock, items.start);
        core::iter::from_fn(move || {
            let from = at;
            let wrap = (from / rows + 1) * rows;
            at = items.end.min(wrap).min(if from < clock { clock } else { usize::MAX });
            (from < at).then_some(from..at)
        })
    }

    /// Where a piece lies in the ring.
    fn rows_of(&self, piece: &Range<usize>) -> Range<usize> {
        let first = piece.start % self.dims.rows;
        first..first + piece.len()
    }

    fn keys_of(&self, piece: &Range<usize>) -> &'a [F] {
        let rows = self.rows_of(piece);
        &self.keys[rows.start * self.dims.width..rows.end * self.dims.width]
    }
}

/// A block of positions, whose keys are multiplied with those of all items that one of them sees.
struct Block<'a, F> {
    ring: Ring<'a, F>,
    /// Positions in the chunk.
    positions: Range<usize>,
    /// All items that one of the positions sees.
    items: Range<usize>,
    /// `[n, m]`
    queries: &'a [F],
}

/// A piece of the items in one row of a block.
struct Part {
    /// Where its products lie.
    products: Range<usize>,
    /// Which of them the position sees.
    seen: Range<usize>,
    /// Where these items lie in the ring.
    rows: Range<usize>,
}

impl<'a, F: Float> Block<'a, F> {
    /// Elements of working memory for chunks of these extents.
    fn need(dims: &EpisodicDims) -> usize {
        BLOCK.min(dims.time) * (dims.width + dims.rows)
    }

    /// The positions from `from` on, and their products: for each piece of the items one after the other, `[n, length]`.
    fn new(cpu: &mut Cpu<F>, ring: Ring<'a, F>, from: usize, working: &'a mut [F]) -> (Self, &'a mut [F]) {
        let (m, positions) = (ring.dims.width, from..ring.dims.time.min(from + BLOCK));
        let items = ring.visible(from).start..ring.visible(positions.end - 1).end;
        let mut working = Bump(working);
        let (queries, products) = (working.take(positions.len() * m), working.take(positions.len() * items.len()));
        for (t, query) in positions.clone().zip(queries.chunks_exact_mut(m)) {
            query.copy_from_slice(ring.key(ring.clock + t));
        }
        let mut rest = &mut *products;
        for piece in ring.pieces(items.clone()) {
            let (now, later) = rest.split_at_mut(positions.len() * piece.len());
            let extents = [positions.len(), m, piece.len()];
            dense(cpu, queries, ring.keys_of(&piece), extents, Write::Set { bias: None, add: None }, now);
            rest = later;
        }
        (Self { ring, positions, items, queries }, products)
    }

    /// The pieces of the items in row `i` of the block.
    fn parts(&self, i: usize) -> impl Iterator<Item = Part> {
        let (n, ring, mut before) = (self.positions.len(), self.ring, 0);
        let visible = ring.visible(self.positions.start + i);
        ring.pieces(self.items.clone()).map(move |piece| {
            let start = before + i * piece.len();
            before += n * piece.len();
            let from = visible.start.clamp(piece.start, piece.end) - piece.start;
            let to = visible.end.clamp(piece.start, piece.end) - piece.start;
            let first = ring.rows_of(&piece).start;
            Part { products: start..start + piece.len(), seen: from..to, rows: first + from..first + to }
        })
    }

    /// What row `i` finds for its target; `read` gives products by their places.
    #[inline(always)]
    fn look_up<'p>(&self, i: usize, beta: F, target: u32, read: impl Fn(Range<usize>) -> &'p [F]) -> LookUp<F> {
        let target = target_number::<F>(target);
        let seen = |part: Part| &read(part.products)[part.seen];
        let top = self.parts(i).fold(F::NEG_INFINITY, |top, part| largest(seen(part)).max(top));
        let (mut total, mut matched, mut best) = (F::ZERO, F::ZERO, 0usize);
        for part in self.parts(i) {
            let tokens = &self.ring.tokens[part.rows.clone()];
            let products = seen(part);
            total += sum(products, |s| ((s - top) * beta).exp());
            for (&s, &token) in products.iter().zip(tokens) {
                if token == target {
                    matched += ((s - top) * beta).exp();
                }
                best += usize::from(s == top);
            }
        }
        LookUp { top, total, matched: if total > F::ZERO { matched / total } else { F::ZERO }, best }
    }
}

/// A target as the ring holds tokens; nothing equals one that is not scored.
fn target_number<F: Float>(target: u32) -> F {
    F::of(if target == IGNORE { -2.0 } else { f64::from(target) })
}

/// What one position finds in the memory.
struct LookUp<F> {
    /// The best match; −∞ in an empty memory.
    top: F,
    /// Sum of exp(β (s − top)).
    total: F,
    /// M
    matched: F,
    /// How many items match best.
    best: usize,
}

impl<F: Float> LookUp<F> {
    /// The gate's logit; none in an empty memory.
    fn gate(&self, gate: F, match_weight: F) -> Option<F> {
        (self.total > F::ZERO).then(|| gate + match_weight * self.top)
    }
}

/// log(1 − g) and log g.
#[inline(always)]
fn log_gates<F: Float>(z: Option<F>) -> [F; 2] {
    match z {
        Some(z) => [-z.softplus(), -(-z).softplus()],
        None => [F::ZERO, F::of(NEVER)],
    }
}

pub(crate) fn forward<F: Float>(cpu: &mut Cpu<F>, op: Episodic<Tensor<F>, Indices>, mixture: &mut Tensor<F>) {
    let dims = op.dims(mixture.shape());
    let (beta, match_weight) = (op.log_beta.data()[0].exp(), op.match_weight.data()[0]);
    let mut gathered = take(&mut cpu.gathered);
    let working = scratch(&mut gathered, Block::<F>::need(&dims));
    for sequence in 0..dims.batch {
        let ring = Ring::new(&op.items, sequence, dims, op.clock);
        for from in (0..dims.time).step_by(BLOCK) {
            let (block, products) = Block::new(cpu, ring, from, working);
            let first = sequence * dims.time + from;
            let (products, gate, targets, n) = (&*products, &op.gate.data()[first..], &op.targets.data()[first..], block.positions.len());
            let (level, to) = (cpu.level, Shared::new(&mut mixture.data_mut()[2 * first..][..2 * n]));
            cpu.threads.rows(n, 4 * block.items.len(), |run| {
                F::vectorise(
                    level,
                    #[inline(always)]
                    || {
                        for i in run {
                            let found = block.look_up(i, beta, targets[i], |at| &products[at]);
                            let [keep, used] = log_gates(found.gate(gate[i], match_weight));
                            // SAFETY: each row belongs to one task.
                            let to = unsafe { to.slice(2 * i, 2) };
                            to.copy_from_slice(&[keep, (used + found.matched.max(F::of(LEAST)).ln()).max(F::of(NEVER))]);
                        }
                    },
                );
            });
        }
    }
    cpu.gathered = gathered;
}
