//! The gradient of the refinements, from the last to the first. One task is one head of one sequence.

use super::{Source, check_saved};
use crate::{
    Cpu, Float, Tensor,
    lookup::{Items, OutGrad, QUERIES, Queries, TILE, look_up_grad},
    reduce::dot,
    scratch::scratch,
    scratch::{Bump, PerThread},
    simd::Kernel,
    strip::{Strip, StripMut},
    threads::Shared,
    tile::{padded, put_scaled, softmax, softmax_grad, unit_grad, unit_scale},
};
use core::ops::Range;
use hh_core::{
    ops::{Columns, MemoryDims, Recall, RecallGrad, RecallSaved},
    shape::Shaped,
};

struct Task<'a, F> {
    source: Source<'a, F>,
    depth: Strip<'a, F>,
    log_beta: &'a [F],
    sequence: usize,
    /// First column of the head.
    column: usize,
    reads: Strip<'a, F>,
    moved: Strip<'a, F>,
    log_sum: Strip<'a, F>,
    dy: Strip<'a, F>,
    d_qpv: StripMut<'a, F>,
    /// Partial gradients of the parameters for this sequence and head: log_beta, then the slots' `[M, value | unit pattern]`.
    partial: &'a mut [F],
    working: &'a mut [F],
}

/// Length of a [`Task::partial`].
fn partial_len(dims: &MemoryDims) -> usize {
    1 + dims.slots * 2 * dims.head_dim
}

fn working_len<F: Float>(dims: &MemoryDims) -> usize {
    let [rows, transposed] = Items::<F>::need(dims.slots + dims.time, dims.head_dim, 2);
    2 * rows + transposed + QUERIES * (dims.depth + 6 * padded(dims.head_dim) + 2 * TILE)
}

impl<F: Float> Task<'_, F> {
    /// ξᵏ before `unit`.
    #[inline(always)]
    fn before_unit(&self, row: usize, k: usize) -> &[F] {
        let MemoryDims { width, head_dim: d, .. } = self.source.dims;
        match k.checked_sub(1) {
            Some(k) => self.moved.row(row, k * width + self.column, d),
            None => self.source.qpv.row(row, self.column, d),
        }
    }
}

impl<F: Float> Kernel for Task<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(mut self) {
        let (source, sequence, column) = (self.source, self.sequence, self.column);
        let MemoryDims { time, width, heads, head_dim: d, depth, slots, .. } = source.dims;
        let (pad, head, beta) = (padded(d), column / d, self.log_beta[column / d].exp());
        let row = |t: usize| sequence * time + t;
        let view = source.view(0);
        let columns = view.columns(time - 1);
        let mut working = Bump(core::mem::take(&mut self.working));
        let [rows, transposed] = Items::<F>::need(columns, d, 2).map(|n| working.take(n));
        let d_items = working.take(rows.len());
        d_items.fill(F::ZERO);
        let mut items = Items::new(columns, d, 2, rows, transposed);
        source.gather::<FMA>(sequence, column, &view, &mut items, columns);

        let weights = working.take(QUERIES * depth);
        // ξ and its gradient from the next refinement; β ξ and its gradient; gradients of the reads.
        let [xi, d_next, scaled, d_scaled] = [(); 4].map(|()| working.take(QUERIES * pad));
        let d_out = working.take(QUERIES * 2 * pad);
        let mut d_log_beta = F::ZERO;
        for first in (0..time).step_by(QUERIES) {
            let count = QUERIES.min(time - first);
            for i in 0..count {
                softmax(self.depth.row(row(first + i), 0, depth), &mut weights[i * depth..][..depth]);
            }
            for k in (0..depth).rev() {
                let last = k + 1 == depth;
                let read = if last { pad } else { 2 * pad };
                let (mut delta, mut log_sum) = ([F::ZERO; QUERIES], [F::ZERO; QUERIES]);
                for i in 0..count {
                    let (row, xi) = (row(first + i), &mut xi[i * pad..][..pad]);
                    let before = self.before_unit(row, k);
                    put_scaled(before, unit_scale::<F, FMA>(before), xi);
                    put_scaled(xi, beta, &mut scaled[i * pad..][..pad]);
                    log_sum[i] = self.log_sum.row(row, k * heads + head, 1)[0];
                    let (d_read, d_moved) = d_out[i * read..][..read].split_at_mut(pad);
                    put_scaled(self.dy.row(row, column, d), weights[i * depth + k], d_read);
                    delta[i] = dot::<F, FMA>(&d_read[..d], self.reads.row(row, k * width + column, d));
                    if !last {
                        let moved = self.before_unit(row, k + 1);
                        unit_grad::<F, FMA>(moved, &d_next[i * pad..][..d], &mut d_moved[..d]);
                        d_moved[d..].fill(F::ZERO);
                        // Σ s_j p_j = moved − ξ
                        delta[i] += dot::<F, FMA>(&d_moved[..d], moved) - dot::<F, FMA>(d_moved, xi);
                    }
                }
                let queries = Queries { position: first, rows: count, scaled };
                let out_grad = OutGrad { d_out, width: read, delta: &delta, log_sum: &log_sum };
                look_up_grad::<F, FMA>(&view, &queries, &items, &out_grad, working.0, d_scaled, d_items);
                for i in 0..count {
                    let (d_next, d_scaled) = (&mut d_next[i * pad..][..pad], &d_scaled[i * pad..][..pad]);
                    d_log_beta += dot::<F, FMA>(&scaled[i * pad..][..pad], d_scaled);
                    put_scaled(d_scaled, beta, d_next);
                    if !last {
                        d_next.iter_mut().zip(&d_out[i * read + pad..]).for_each(|(dx, &d)| *dx += d);
                    }
                }
            }
            for (i, d_xi) in d_next.chunks_exact(pad).take(count).enumerate() {
                // SAFETY: each head's columns belong to one task, here and below.
                let dq = unsafe { self.d_qpv.row(row(first + i), column, d) };
                unit_grad::<F, FMA>(self.before_unit(row(first + i), 0), &d_xi[..d], dq);
            }
        }

        for t in 0..time {
            unsafe { self.d_qpv.row(row(t), 2 * width + column, d) }.fill(F::ZERO);
            unsafe { self.d_qpv.row(row(t), width + column, d) }.fill(F::ZERO);
        }
        for (c, item) in d_items.chunks_exact(2 * pad).enumerate().take(columns).skip(slots) {
            let t = view.first + c - slots;
            let of = t - usize::from(source.successor);
            unsafe { self.d_qpv.row(row(t), 2 * width + column, d) }.copy_from_slice(&item[..d]);
            let (pattern, d_pattern) = (source.qpv.row(row(of), width + column, d), unsafe { self.d_qpv.row(row(of), width + column, d) });
            unit_grad::<F, FMA>(pattern, &item[pad..][..d], d_pattern);
        }
        let (partial_beta, partial_slots) = self.partial.split_at_mut(1);
        partial_beta[0] = d_log_beta;
        for (to, item) in partial_slots.chunks_exact_mut(2 * d).zip(d_items.chunks_exact(2 * pad)) {
            to[..d].copy_from_slice(&item[..d]);
            to[d..].copy_from_slice(&item[pad..][..d]);
        }
    }
}

pub(crate) fn backward<F: Float>(
    cpu: &mut Cpu<F>,
    op: Recall<Tensor<F>>,
    saved: &RecallSaved<Tensor<F>>,
    dy: Columns<Tensor<F>>,
    d: RecallGrad<Tensor<F>>,
) {
    let dims = op.dims(None);
    let MemoryDims { batch, time, width, heads, head_dim, depth, slots, .. } = dims;
    check_saved(&dims, saved);
    assert!(dy.layout().0 == batch && dy.layout().1 == time && dy.width == width, "recall: gradient of {} columns", dy.width);
    assert!(d.qpv.layout().0 == batch && d.qpv.layout().1 == time && d.qpv.width == 3 * width, "recall: gradient of the input");
    assert!(d.depth.shape() == op.depth.shape() && d.log_beta.shape().count() == heads, "recall: gradients");
    assert_eq!(d.slots.is_some(), op.slots.is_some(), "recall: gradient of the slots");

    let (level, source, logits, log_beta) = (cpu.level, Source::new(dims, &op), Strip::all(op.depth), op.log_beta.data());
    let (reads, moved, log_sum) = (Strip::all(&saved.reads), Strip::all(&saved.moved), Strip::all(&saved.log_sum));
    let (dy, d_qpv) = (Strip::of(&dy), StripMut::of(d.qpv));
    let (len, size) = (partial_len(&dims), working_len::<F>(&dims));
    let memory = scratch(&mut cpu.scratch, batch * heads * len + PerThread::<F>::len(&cpu.threads, size));
    let (partials, working) = memory.split_at_mut(batch * heads * len);
    let (shared, per_thread) = (Shared::new(partials), PerThread::new(working, size));
    cpu.threads.each(batch * heads, |task| {
        // SAFETY: called once in this task; each task owns its partial gradients.
        let (working, partial) = unsafe { (per_thread.current(&cpu.threads), shared.slice(task * len, len)) };
        let (sequence, column) = (task / heads, task % heads * head_dim);
        F::run(level, Task { source, depth: logits, log_beta, sequence, column, reads, moved, log_sum, dy, d_qpv, partial, working });
    });

    for (head, d_log_beta) in d.log_beta.data_mut().iter_mut().enumerate() {
        *d_log_beta = (0..batch).fold(*d_log_beta, |sum, b| sum + partials[(b * heads + head) * len]);
    }
    if let (Some(d), Some([patterns, _])) = (d.slots, source.slots) {
        let (d_patterns, d_values) = (d.patterns.data_mut(), d.values.data_mut());
        for (i, pattern) in patterns.chunks_exact(head_dim).enumerate() {
            let (head, slot) = (i / slots, i % slots);
            let (total, rest) = partials[head * len + 1 + slot * 2 * head_dim..].split_at_mut(2 * head_dim);
            for b in 1..batch {
                let partial = &rest[b * heads * len - 2 * head_dim..][..2 * head_dim];
                total.iter_mut().zip(partial).for_each(|(t, &p)| *t += p);
            }
            let (d_value, d_unit) = total.split_at_mut(head_dim);
            d_values[i * head_dim..].iter_mut().zip(&*d_value).for_each(|(d, &x)| *d += x);
            unit_grad::<F, false>(pattern, d_unit, d_value);
            d_patterns[i * head_dim..].iter_mut().zip(&*d_value).for_each(|(d, &x)| *d += x);
        }
    }

    let d_depth = StripMut::all(d.depth);
    cpu.threads.rows(batch * time, depth * width, |run| F::run(level, Depth { run, width, depth, reads, logits, dy, d_depth }));
}

/// The gradient of the mixture's logits, summed over heads.
struct Depth<'a, F> {
    run: Range<usize>,
    width: usize,
    depth: usize,
    reads: Strip<'a, F>,
    logits: Strip<'a, F>,
    dy: Strip<'a, F>,
    d_depth: StripMut<'a, F>,
}

impl<F: Float> Kernel for Depth<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for row in self.run {
            // SAFETY: each row belongs to one task.
            let d = unsafe { self.d_depth.row(row, 0, self.depth) };
            for (k, d) in d.iter_mut().enumerate() {
                *d = dot::<F, FMA>(self.dy.row(row, 0, self.width), self.reads.row(row, k * self.width, self.width));
            }
            softmax_grad(self.logits.row(row, 0, self.depth), d);
        }
    }
}
