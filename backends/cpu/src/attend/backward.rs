//! The gradient of attention. One task is one head of one sequence.

use super::scale;
use crate::{
    Cpu, Float, Tensor,
    lookup::{Items, OutGrad, QUERIES, Queries, TILE, View, look_up_grad},
    reduce::dot,
    scratch::scratch,
    scratch::{Bump, PerThread},
    simd::Kernel,
    strip::{Strip, StripMut},
    tile::{padded, put_scaled},
};
use hh_core::{
    ops::{Attend, Columns, ColumnsMut, MemoryDims},
    shape::Shaped,
};

struct Task<'a, F> {
    dims: MemoryDims,
    sequence: usize,
    /// First column of the head.
    column: usize,
    qkv: Strip<'a, F>,
    y: Strip<'a, F>,
    saved: Strip<'a, F>,
    dy: Strip<'a, F>,
    d: StripMut<'a, F>,
    working: &'a mut [F],
}

impl<F: Float> Kernel for Task<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let MemoryDims { time, width, head_dim: d, window, .. } = self.dims;
        let (pad, column, scale) = (padded(d), self.column, scale::<F>(d));
        let row = |t: usize| self.sequence * time + t;
        let view = View::from(0, 0, 0, window);
        let mut working = Bump(self.working);
        let [rows, transposed] = Items::<F>::need(time, d, 2).map(|n| working.take(n));
        let d_items = working.take(rows.len());
        d_items.fill(F::ZERO);
        let mut items = Items::new(time, d, 2, rows, transposed);
        for t in 0..time {
            let [key, value] = [1, 2].map(|part| self.qkv.row(row(t), part * width + column, d));
            items.put(t, value, key, F::ONE);
        }
        let [scaled, d_queries, d_out] = [working.take(QUERIES * pad), working.take(QUERIES * pad), working.take(QUERIES * pad)];
        for first in (0..time).step_by(QUERIES) {
            let count = QUERIES.min(time - first);
            let (mut delta, mut log_sum) = ([F::ZERO; QUERIES], [F::ZERO; QUERIES]);
            for i in 0..count {
                let (row, at) = (row(first + i), i * pad);
                let dy = self.dy.row(row, column, d);
                put_scaled(self.qkv.row(row, column, d), scale, &mut scaled[at..at + pad]);
                put_scaled(dy, F::ONE, &mut d_out[at..at + pad]);
                delta[i] = dot::<F, FMA>(dy, self.y.row(row, column, d));
                log_sum[i] = self.saved.row(row, column / d, 1)[0];
            }
            let queries = Queries { position: first, rows: count, scaled };
            let out_grad = OutGrad { d_out, width: pad, delta: &delta, log_sum: &log_sum };
            look_up_grad::<F, FMA>(&view, &queries, &items, &out_grad, working.0, d_queries, d_items);
            for (i, dq) in d_queries.chunks_exact(pad).take(count).enumerate() {
                // SAFETY: each head's columns belong to one task, here and below.
                put_scaled(&dq[..d], scale, unsafe { self.d.row(row(first + i), column, d) });
            }
        }
        for (t, item) in d_items.chunks_exact(2 * pad).take(time).enumerate() {
            for (part, gradient) in [(1, &item[pad..]), (2, item)] {
                unsafe { self.d.row(row(t), part * width + column, d) }.copy_from_slice(&gradient[..d]);
            }
        }
    }
}

pub(crate) fn backward<F: Float>(
    cpu: &mut Cpu<F>,
    op: Attend<Tensor<F>>,
    y: Columns<Tensor<F>>,
    saved: &Tensor<F>,
    dy: Columns<Tensor<F>>,
    d: ColumnsMut<Tensor<F>>,
) {
    let dims = op.dims(None, Some(saved.shape()));
    let MemoryDims { batch, time, width, heads, head_dim, .. } = dims;
    for (name, (b, t, _), columns, want) in [
        ("output", y.layout(), y.width, width),
        ("its gradient", dy.layout(), dy.width, width),
        ("gradient", d.layout(), d.width, 3 * width),
    ] {
        assert!((b, t, columns) == (batch, time, want), "attend: {name} of {columns} columns");
    }
    let (level, qkv, y, saved) = (cpu.level, Strip::of(&op.qkv), Strip::of(&y), Strip::all(saved));
    let (dy, d) = (Strip::of(&dy), StripMut::of(d));
    let [rows, transposed] = Items::<F>::need(time, head_dim, 2);
    let size = 2 * rows + transposed + QUERIES * (3 * padded(head_dim) + 2 * TILE);
    let per_thread = PerThread::new(scratch(&mut cpu.scratch, PerThread::<F>::len(&cpu.threads, size)), size);
    cpu.threads.each(batch * heads, |task| {
        // SAFETY: called once in this task.
        let working = unsafe { per_thread.current(&cpu.threads) };
        let (sequence, column) = (task / heads, task % heads * head_dim);
        F::run(level, Task { dims, sequence, column, qkv, y, saved, dy, d, working });
    });
}
