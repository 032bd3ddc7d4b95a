//! Rotary position embeddings (RoPE).

use crate::{Cpu, Float, Indices, Tensor, scratch::PerThread, scratch::scratch, share::share, strip::StripMut};
use hh_core::ops::{ColumnsMut, Rotate};

/// Positions per task.
const RUN: usize = 32;

pub(crate) fn forward<F: Float>(cpu: &mut Cpu<F>, op: Rotate<Indices>, x: ColumnsMut<Tensor<F>>) {
    let ((batch, time, _), d) = (x.layout(), op.head_dim);
    assert!(d.is_multiple_of(2) && x.width.is_multiple_of(d), "rotate: {} columns, heads of {d}", x.width);
    // Sequences that share their positions share the angles.
    let groups = op.clock.map_or(1, |clock| clock.data().len());
    assert!(groups == 1 || groups == batch, "rotate: {groups} clocks for {batch} sequences");
    let runs = time.div_ceil(RUN);
    let (level, width, half, x) = (cpu.level, x.width, d / 2, StripMut::of(x));
    let size = RUN * d;
    let per_thread = PerThread::new(scratch(&mut cpu.scratch, PerThread::<F>::len(&cpu.threads, size)), size);
    share(&cpu.threads, groups * runs, batch * time * width, |task| {
        // SAFETY: called once in this task.
        let table = unsafe { per_thread.current(&cpu.threads) };
        let (group, run) = (task / runs, task % runs);
        let (from, to) = (run * RUN, time.min((run + 1) * RUN));
        let sequences = if groups == 1 { 0..batch } else { group..group + 1 };
        let clock = op.clock.map_or(0, |clock| clock.of(group));
        turns(clock as f64 + from as f64, to - from, op.base as f64, op.inverse, d, table);
        F::vectorise(
            level,
            #[inline(always)]
            || {
                for (t, turn) in (from..to).zip(table.chunks_exact(d)) {
                    let (cos, sin) = turn.split_at(half);
                    for row in sequences.clone().map(|b| b * time + t) {
                        // SAFETY: each position belongs to one task.
                        for head in unsafe { x.row(row, 0, width) }.chunks_exact_mut(d) {
                            let (a, b) = head.split_at_mut(half);
                            for (((a, b), &cos), &sin) in a.iter_mut().zip(b).zip(cos).zip(sin) {
                                (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                            }
                        }
                    }
                }
            },
        );
    });
}

/// `cos | sin` of each pair of a head, for `count` positions, by the angle-addition recurrence in f64.
fn turns<F: Float>(position: f64, count: usize, base: f64, inverse: bool, d: usize, table: &mut [F]) {
    for i in 0..d / 2 {
        let rate = libm::pow(base, -2.0 * i as f64 / d as f64) * if inverse { -1.0 } else { 1.0 };
        let (step_sin, step_cos) = libm::sincos(rate);
        let (mut sin, mut cos) = libm::sincos(position * rate);
        for turn in table.chunks_exact_mut(d).take(count) {
            (turn[i], turn[d / 2 + i]) = (F::of(cos), F::of(sin));
            (sin, cos) = (sin * step_cos + cos * step_sin, cos * step_cos - sin * step_sin);
        }
    }
}
