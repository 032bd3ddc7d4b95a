//! Causal multi-head attention.

mod backward;

pub(crate) use backward::backward;

use crate::{
    Cpu, Float, Indices, Tensor,
    lookup::{Columns, InPlace, Items, QUERIES, Queries, TILE, View, look_up, reads_in_place},
    scratch::scratch,
    scratch::{Bump, PerThread},
    share::share,
    simd::Kernel,
    strip::{Strip, StripMut},
    tile::{padded, put_scaled},
};
use hh_core::{
    ops::{Attend, ColumnsMut, MemoryDims, Ring},
    shape::Shaped,
};

/// Positions of one task: the memory is gathered once for all of them.
const RUN: usize = 256;

/// `1/√d`
fn scale<F: Float>(head_dim: usize) -> F {
    F::ONE / F::of(head_dim as f64).sqrt()
}

/// Keys and values of the positions before the chunk; of a chunk of one position, which is stored first, those of the chunk as well.
#[derive(Clone, Copy)]
struct Past<'a, F> {
    /// `[B, N, keys | values]`
    items: &'a [F],
    /// Rows of the ring, `N`.
    rows: usize,
}

/// A run of positions of one head of one sequence.
struct Task<'a, F> {
    dims: MemoryDims,
    sequence: usize,
    /// First column of the head.
    column: usize,
    /// Positions within the chunk.
    from: usize,
    to: usize,
    clock: usize,
    qkv: Strip<'a, F>,
    past: Option<Past<'a, F>>,
    saved: Option<StripMut<'a, F>>,
    y: StripMut<'a, F>,
    working: &'a mut [F],
}

impl<F: Float> Kernel for Task<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(mut self) {
        let mut working = Bump(core::mem::take(&mut self.working));
        let Self { dims, sequence, column, from, to, clock, .. } = self;
        let (d, width) = (dims.head_dim, dims.width);
        let view = View::from(clock + from, 0, 0, dims.window);
        let columns = view.columns(clock + to - 1);
        if let (true, Some(past)) = (reads_in_place(&dims), self.past) {
            let slots = Items::new(0, d, 0, &mut [], &mut []);
            return self.look_up::<FMA>(&view, &InPlace::new(&dims, slots, past.items, [sequence, column], view, columns), working);
        }
        let sides = sides(&dims);
        let [rows, transposed] = Items::<F>::need(columns, d, sides).map(|n| working.take(n));
        let mut items = Items::new(columns, d, sides, rows, transposed);
        for c in 0..columns {
            let position = view.first + c;
            let [key, value] = match position.checked_sub(clock) {
                Some(t) => [1, 2].map(|part| self.qkv.row(sequence * dims.time + t, part * width + column, d)),
                None => {
                    let past = self.past.expect("positions before the chunk are in the ring");
                    let row = &past.items[(sequence * past.rows + position % past.rows) * 2 * width..][..2 * width];
                    [0, 1].map(|part| &row[part * width + column..][..d])
                }
            };
            items.put(c, value, key, F::ONE);
        }
        self.look_up::<FMA>(&view, &items, working);
    }
}

impl<'a, F: Float> Task<'a, F> {
    #[inline(always)]
    fn look_up<const FMA: bool>(&self, view: &View, items: &impl Columns<F>, mut working: Bump<'a, F>) {
        let Self { dims, sequence, column, from, to, clock, .. } = *self;
        let (d, pad) = (dims.head_dim, padded(dims.head_dim));
        let [scaled, out, scores, log_sum] = [pad, pad, TILE, 1].map(|n| working.take(QUERIES.min(dims.time) * n));
        for first in (from..to).step_by(QUERIES) {
            let count = QUERIES.min(to - first);
            let row = |i: usize| sequence * dims.time + first + i;
            for (i, query) in scaled.chunks_exact_mut(pad).take(count).enumerate() {
                put_scaled(self.qkv.row(row(i), column, d), scale(d), query);
            }
            let queries = Queries { position: clock + first, rows: count, scaled };
            look_up::<F, FMA>(view, &queries, items, pad, scores, out, log_sum);
            for (i, out) in out.chunks_exact(pad).take(count).enumerate() {
                // SAFETY: each head's positions belong to one task, here and below.
                unsafe { self.y.row(row(i), column, d) }.copy_from_slice(&out[..d]);
                if let Some(saved) = self.saved {
                    unsafe { saved.row(row(i), column / d, 1) }.fill(log_sum[i]);
                }
            }
        }
    }
}

/// How many transposed copies [`Items`] keeps. None for a few queries: transposing would cost more than it saves.
fn sides(dims: &MemoryDims) -> usize {
    if dims.time < 4 { 0 } else { 1 }
}

pub(crate) fn forward<F: Float>(
    cpu: &mut Cpu<F>,
    op: Attend<Tensor<F>>,
    ring: Option<Ring<Tensor<F>, Indices>>,
    saved: Option<&mut Tensor<F>>,
    y: ColumnsMut<Tensor<F>>,
) {
    let dims = op.dims(ring.as_ref().map(|r| r.items.shape()), saved.as_ref().map(|s| s.shape()));
    let MemoryDims { batch, time, width, heads, head_dim: d, window, .. } = dims;
    assert!(y.layout().0 == batch && y.layout().1 == time && y.width == width, "attend: output of {} columns", y.width);
    let (level, qkv, y, saved) = (cpu.level, Strip::of(&op.qkv), StripMut::of(y), saved.map(StripMut::all));
    let first = reads_in_place(&dims);
    let mut ring = ring;
    if let (true, Some(ring)) = (first, &mut ring) {
        store(&dims, qkv, ring);
    }
    let clock = ring.as_ref().map(|r| r.clock);
    let past = ring.as_ref().map(|r| Past { items: r.items.data(), rows: r.items.shape().extents()[1] });

    let most = (time + past.map_or(0, |p| p.rows - 1)).min(time.min(RUN).saturating_add(window - 1));
    let gathered = if first && past.is_some() { 0 } else { Items::<F>::need(most, d, sides(&dims)).iter().sum() };
    let size = gathered + QUERIES.min(time) * (2 * padded(d) + TILE + 1);
    let per_thread = PerThread::new(scratch(&mut cpu.scratch, PerThread::<F>::len(&cpu.threads, size)), size);
    let runs = time.div_ceil(RUN);
    share(&cpu.threads, batch * heads * runs, batch * time * width * most.min(clock.map_or(0, Indices::most) + time), |task| {
        let (run, head) = (task % runs, task / runs);
        let (from, to) = (run * RUN, time.min((run + 1) * RUN));
        // SAFETY: called once in this task.
        let working = unsafe { per_thread.current(&cpu.threads) };
        let (sequence, column) = (head / heads, head % heads * d);
        let clock = clock.map_or(0, |clock| clock.of(sequence));
        F::run(level, Task { dims, sequence, column, from, to, clock, qkv, past, saved, y, working });
    });

    if let (false, Some(ring)) = (first, &mut ring) {
        store(&dims, qkv, ring);
    }
}

/// Writes keys and values of the chunk to the ring.
fn store<F: Float>(dims: &MemoryDims, qkv: Strip<'_, F>, Ring { items, clock }: &mut Ring<Tensor<F>, Indices>) {
    let (MemoryDims { batch, time, width, .. }, rows) = (*dims, items.shape().extents()[1]);
    for sequence in 0..batch {
        for t in time.saturating_sub(rows)..time {
            let to = sequence * rows + (clock.of(sequence) + t) % rows;
            items.data_mut()[to * 2 * width..][..2 * width].copy_from_slice(qkv.row(sequence * time + t, width, 2 * width));
        }
    }
}
