//! Modern Hopfield memory: refinements of a query by softmax retrieval.

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
    tile::{add_scaled, padded, put_scaled, softmax, unit_scale},
};
use hh_core::{
    ops::{ColumnsMut, MemoryDims, Recall, RecallSaved, RecallState, Slots},
    shape::Shaped,
};

/// Positions of one task: the memory is gathered once for all of them.
const RUN: usize = 256;

/// The state from before the chunk; of a chunk of one position, which is stored first, the state with the chunk.
#[derive(Clone, Copy)]
struct Past<'a, F> {
    /// `[B, N, patterns | values]`
    items: &'a [F],
    /// `N`
    rows: usize,
    /// Unit pattern of the last position before the chunk.
    last: Strip<'a, F>,
}

/// The sources of the memory's items: slots, ring and chunk.
#[derive(Clone, Copy)]
struct Source<'a, F> {
    dims: MemoryDims,
    qpv: Strip<'a, F>,
    /// Patterns and values, `[H, M, d]`.
    slots: Option<[&'a [F]; 2]>,
    past: Option<Past<'a, F>>,
    clock: usize,
    successor: bool,
}

impl<'a, F: Float> Source<'a, F> {
    fn new(dims: MemoryDims, op: &Recall<'a, Tensor<F>>) -> Self {
        let slots = op.slots.as_ref().map(|Slots { patterns, values }| [patterns.data(), values.data()]);
        Self { dims, qpv: Strip::of(&op.qpv), slots, past: None, clock: 0, successor: op.successor }
    }

    /// The view of the queries from `position` on.
    fn view(&self, position: usize) -> View {
        View::from(position, self.dims.slots, usize::from(self.successor), self.dims.window)
    }

    /// Gathers the first `columns` columns of the view, for one head (given by its first column) of one sequence.
    #[inline(always)]
    fn gather<const FMA: bool>(&self, sequence: usize, column: usize, view: &View, items: &mut Items<'_, F>, columns: usize) {
        let MemoryDims { time, width, head_dim: d, slots, .. } = self.dims;
        self.gather_slots::<FMA>(column, items);
        for c in slots..columns {
            let position = view.first + c - slots;
            match position.checked_sub(self.clock) {
                Some(t) => {
                    let (pattern, scale) = self.pattern::<FMA>(sequence, t, column);
                    items.put(c, self.qpv.row(sequence * time + t, 2 * width + column, d), pattern, scale);
                }
                None => {
                    let past = self.past.expect("items before the chunk are in the ring");
                    let row = &past.items[(sequence * past.rows + position % past.rows) * 2 * width..][..2 * width];
                    items.put(c, &row[width + column..][..d], &row[column..][..d], F::ONE);
                }
            }
        }
    }

    /// Gathers the slots of one head.
    #[inline(always)]
    fn gather_slots<const FMA: bool>(&self, column: usize, items: &mut Items<'_, F>) {
        let MemoryDims { head_dim: d, slots, .. } = self.dims;
        if let Some(of) = self.slots {
            for slot in 0..slots {
                let [pattern, value] = of.map(|x| &x[(column / d * slots + slot) * d..][..d]);
                items.put(slot, value, pattern, unit_scale::<F, FMA>(pattern));
            }
        }
    }

    /// The pattern of the item at position `t` of the chunk, and the factor that normalises it.
    #[inline(always)]
    fn pattern<const FMA: bool>(&self, sequence: usize, t: usize, column: usize) -> (&'a [F], F) {
        let MemoryDims { time, width, head_dim: d, .. } = self.dims;
        match t.checked_sub(usize::from(self.successor)) {
            Some(t) => {
                let pattern = self.qpv.row(sequence * time + t, width + column, d);
                (pattern, unit_scale::<F, FMA>(pattern))
            }
            None => (self.past.expect("only item 0 has no pattern before it").last.row(sequence, column, d), F::ONE),
        }
    }
}

/// Activations saved for the backward pass.
#[derive(Clone, Copy)]
struct Saved<'a, F> {
    reads: StripMut<'a, F>,
    moved: StripMut<'a, F>,
    log_sum: StripMut<'a, F>,
}

/// A run of positions of one head of one sequence.
struct Task<'a, F> {
    source: Source<'a, F>,
    depth: Strip<'a, F>,
    log_beta: &'a [F],
    sequence: usize,
    /// First column of the head.
    column: usize,
    /// Positions within the chunk.
    from: usize,
    to: usize,
    saved: Option<Saved<'a, F>>,
    y: StripMut<'a, F>,
    working: &'a mut [F],
}

/// As in attention: no transposed copies for a few queries.
fn sides(dims: &MemoryDims) -> usize {
    if dims.time < 4 { 0 } else { 1 }
}

/// Elements of working memory in addition to the items': weights of the reads, scaled queries, ξ, sum of reads, read, scores.
fn need(dims: &MemoryDims) -> usize {
    QUERIES.min(dims.time) * (dims.depth + 5 * padded(dims.head_dim) + TILE)
}

impl<F: Float> Kernel for Task<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(mut self) {
        let mut working = Bump(core::mem::take(&mut self.working));
        let Self { source, sequence, column, from, to, .. } = self;
        let MemoryDims { head_dim: d, slots, .. } = source.dims;
        let view = source.view(source.clock + from);
        let columns = view.columns(source.clock + to - 1);
        if let (true, Some(past)) = (reads_in_place(&source.dims), source.past) {
            let [rows, transposed] = Items::<F>::need(slots, d, 0).map(|n| working.take(n));
            let mut items = Items::new(slots, d, 0, rows, transposed);
            source.gather_slots::<FMA>(column, &mut items);
            let memory = InPlace::new(&source.dims, items, past.items, [sequence, column], view, columns);
            return self.refine::<FMA>(&view, &memory, working);
        }
        let sides = sides(&source.dims);
        let [rows, transposed] = Items::<F>::need(columns, d, sides).map(|n| working.take(n));
        let mut items = Items::new(columns, d, sides, rows, transposed);
        source.gather::<FMA>(sequence, column, &view, &mut items, columns);
        self.refine::<FMA>(&view, &items, working);
    }
}

impl<'a, F: Float> Task<'a, F> {
    /// The refinements of the queries.
    #[inline(always)]
    fn refine<const FMA: bool>(&self, view: &View, items: &impl Columns<F>, mut working: Bump<'a, F>) {
        let Self { source, sequence, column, from, to, .. } = *self;
        let MemoryDims { time, width, heads, head_dim: d, depth, .. } = source.dims;
        let (pad, head, beta) = (padded(d), column / d, self.log_beta[column / d].exp());
        let [weights, scaled, xi, sum, out, scores] = [depth, pad, pad, pad, 2 * pad, TILE].map(|n| working.take(QUERIES.min(time) * n));
        for first in (from..to).step_by(QUERIES) {
            let count = QUERIES.min(to - first);
            let row = |i: usize| sequence * time + first + i;
            for i in 0..count {
                softmax(self.depth.row(row(i), 0, depth), &mut weights[i * depth..][..depth]);
                let query = source.qpv.row(row(i), column, d);
                put_scaled(query, unit_scale::<F, FMA>(query), &mut xi[i * pad..][..pad]);
            }
            sum[..count * pad].fill(F::ZERO);
            for k in 0..depth {
                let last = k + 1 == depth;
                let read = if last { pad } else { 2 * pad };
                let mut log_sum = [F::ZERO; QUERIES];
                put_scaled(&xi[..count * pad], beta, &mut scaled[..count * pad]);
                let queries = Queries { position: source.clock + first, rows: count, scaled };
                look_up::<F, FMA>(view, &queries, items, read, scores, out, &mut log_sum);
                for (i, out) in out.chunks_exact(read).take(count).enumerate() {
                    let (xi, sum) = (&mut xi[i * pad..][..d], &mut sum[i * pad..][..d]);
                    add_scaled::<F, FMA>(sum, weights[i * depth + k], &out[..d]);
                    // SAFETY: each head's positions belong to one task, here and below.
                    if let Some(saved) = self.saved {
                        unsafe { saved.reads.row(row(i), k * width + column, d) }.copy_from_slice(&out[..d]);
                        unsafe { saved.log_sum.row(row(i), k * heads + head, 1) }.fill(log_sum[i]);
                    }
                    if !last {
                        xi.iter_mut().zip(&out[pad..]).for_each(|(xi, &o)| *xi += o);
                        if let Some(saved) = self.saved {
                            unsafe { saved.moved.row(row(i), k * width + column, d) }.copy_from_slice(xi);
                        }
                        let scale = unit_scale::<F, FMA>(xi);
                        xi.iter_mut().for_each(|xi| *xi *= scale);
                    }
                }
            }
            for (i, sum) in sum.chunks_exact(pad).take(count).enumerate() {
                unsafe { self.y.row(row(i), column, d) }.copy_from_slice(&sum[..d]);
            }
        }
    }
}

pub(crate) fn forward<F: Float>(
    cpu: &mut Cpu<F>,
    op: Recall<Tensor<F>>,
    state: Option<RecallState<Tensor<F>, Indices>>,
    saved: Option<&mut RecallSaved<Tensor<F>>>,
    y: ColumnsMut<Tensor<F>>,
) {
    let dims = op.dims(state.as_ref().map(|s| s.ring.items.shape()));
    let MemoryDims { batch, time, width, heads, head_dim: d, window, slots, .. } = dims;
    assert!(y.layout().0 == batch && y.layout().1 == time && y.width == width, "recall: output of {} columns", y.width);
    let (level, depth, log_beta) = (cpu.level, Strip::all(op.depth), op.log_beta.data());
    let saved = saved.map(|s| {
        check_saved(&dims, s);
        Saved { reads: StripMut::all(&mut s.reads), moved: StripMut::all(&mut s.moved), log_sum: StripMut::all(&mut s.log_sum) }
    });
    let y = StripMut::of(y);
    let mut source = Source::new(dims, &op);
    let (first, mut state) = (reads_in_place(&dims), state);
    if let Some(state) = &mut state {
        assert_eq!((state.last.shape().rows(), state.last.shape().width()), (batch, width), "recall: last pattern");
        if first {
            F::run(level, Store { dims, qpv: source.qpv, successor: op.successor, state });
        }
    }
    if let Some(RecallState { ring, last }) = &state {
        source.past = Some(Past { items: ring.items.data(), rows: ring.items.shape().extents()[1], last: Strip::all(last) });
    }

    let clock = state.as_ref().map(|s| s.ring.clock);
    let most = slots + (time + source.past.map_or(0, |p| p.rows - 1)).min(time.min(RUN).saturating_add(window - 1));
    let gathered = if first && source.past.is_some() { slots } else { most };
    let size = Items::<F>::need(gathered, d, sides(&dims)).iter().sum::<usize>() + need(&dims);
    let per_thread = PerThread::new(scratch(&mut cpu.scratch, PerThread::<F>::len(&cpu.threads, size)), size);
    let runs = time.div_ceil(RUN);
    share(
        &cpu.threads,
        batch * heads * runs,
        batch * time * width * dims.depth * most.min(slots + clock.map_or(0, Indices::most) + time),
        |task| {
            let (run, head) = (task % runs, task / runs);
            let (from, to) = (run * RUN, time.min((run + 1) * RUN));
            // SAFETY: called once in this task.
            let working = unsafe { per_thread.current(&cpu.threads) };
            let (sequence, column) = (head / heads, head % heads * d);
            let source = Source { clock: clock.map_or(0, |clock| clock.of(sequence)), ..source };
            F::run(level, Task { source, depth, log_beta, sequence, column, from, to, saved, y, working });
        },
    );
    if let (false, Some(state)) = (first, &mut state) {
        F::run(level, Store { dims, qpv: Strip::of(&op.qpv), successor: op.successor, state });
    }
}

/// Writes the chunk's items to the ring, and its last pattern to the state.
struct Store<'a, 's, F: 'static> {
    dims: MemoryDims,
    qpv: Strip<'a, F>,
    successor: bool,
    state: &'a mut RecallState<'s, Tensor<F>, Indices>,
}

impl<F: Float> Kernel for Store<'_, '_, F> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { dims: MemoryDims { batch, time, width, head_dim: d, .. }, qpv, successor, state: RecallState { ring, last } } = self;
        let (rows, clock) = (ring.items.shape().extents()[1], ring.clock);
        let unit = |sequence: usize, t: usize, to: &mut [F]| {
            let patterns = qpv.row(sequence * time + t, width, width);
            for (pattern, to) in patterns.chunks_exact(d).zip(to.chunks_exact_mut(d)) {
                put_scaled(pattern, unit_scale::<F, FMA>(pattern), to);
            }
        };
        for (sequence, last) in last.data_mut().chunks_exact_mut(width).enumerate().take(batch) {
            for t in time.saturating_sub(rows)..time {
                let row = sequence * rows + (clock.of(sequence) + t) % rows;
                let (pattern, value) = ring.items.data_mut()[row * 2 * width..][..2 * width].split_at_mut(width);
                match t.checked_sub(usize::from(successor)) {
                    Some(t) => unit(sequence, t, pattern),
                    None => pattern.copy_from_slice(last),
                }
                value.copy_from_slice(qpv.row(sequence * time + t, 2 * width, width));
            }
            unit(sequence, time - 1, last);
        }
    }
}

fn check_saved<T: Shaped>(dims: &MemoryDims, saved: &RecallSaved<T>) {
    let MemoryDims { batch, time, width, heads, depth, .. } = *dims;
    for (name, tensor, columns) in [("reads", &saved.reads, width), ("moved", &saved.moved, width), ("log_sum", &saved.log_sum, heads)] {
        assert_eq!(tensor.shape().extents(), [batch, time, depth * columns], "recall: saved {name}");
    }
}
