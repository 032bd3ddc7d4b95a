//! One Muon step on all matrices of a model: each part of a matrix is a task, computed on one thread.
//!
//! A product of a part alone has too little work for several threads; a model has enough parts for them.

use crate::{
    Cpu, Float, Tensor,
    matmul::{
        factor::Matrix,
        gemm::{Extent, serial, serial_scratch},
    },
    reduce::sum,
    scratch::{Bump, PerThread, scratch},
    simd::Level,
    threads::Shared,
};
use hh_core::ops::{Muon, MuonLeaf, NEWTON_SCHULZ, Rectangle};

/// Most parts that are computed at the same time: those of several layers, and nothing is allocated for them.
const BATCH: usize = 64;
/// Rows and columns of a tile of a transposition: both sides of it fit the L1 cache.
const TILE: usize = 16;

/// One part of a matrix.
struct Task<'a, F> {
    /// Weight, gradient, momentum, average.
    tensors: [Shared<'a, F>; 4],
    /// Columns of the whole matrix.
    stride: usize,
    part: Rectangle,
    rate: F,
    decay: F,
}

/// What is the same for all parts.
struct Step<F> {
    clipped: F,
    momentum: F,
    eps: F,
    ema_rate: F,
    steps: usize,
}

pub(crate) fn forward<'a, F: Float>(cpu: &mut Cpu<F>, op: &Muon<Tensor<F>>, leaves: impl Iterator<Item = MuonLeaf<'a, Tensor<F>>>) {
    let &[lr, _, _, ema_rate] = op.schedule.data() else { unreachable!("dims() has checked") };
    let norm = op.total.data()[0].sqrt();
    let clip = F::of_f32(op.clip);
    // The comparison is false for a norm of NaN, so that a broken gradient is not clipped into a finite one.
    let clipped = if op.clip == 0.0 || norm <= clip { F::ONE } else { clip / norm };
    let step = Step { clipped, momentum: F::of_f32(op.momentum), eps: F::of_f32(op.eps), ema_rate, steps: op.steps };
    let mut batch = [const { None }; BATCH];
    let mut count = 0;
    for leaf in leaves {
        let [_, stride] = op.dims(&leaf);
        let (rate, decay) = (lr * F::of_f32(leaf.rate), F::of_f32(leaf.decay));
        let MuonLeaf { weight, grad, momentum, ema, parts, .. } = leaf;
        let tensors = [weight, grad, momentum, ema].map(|t| Shared::new(t.data_mut()));
        for &part in parts {
            if count == BATCH {
                together(cpu, &step, &mut batch);
                count = 0;
            }
            batch[count] = Some(Task { tensors, stride, part, rate, decay });
            count += 1;
        }
    }
    together(cpu, &step, &mut batch[..count]);
}

/// Runs tasks at the same time.
fn together<F: Float>(cpu: &mut Cpu<F>, step: &Step<F>, tasks: &mut [Option<Task<F>>]) {
    // Threads take tasks in turn: the longest first, so that none of them starts late.
    tasks.sort_unstable_by_key(|task| core::cmp::Reverse(task.as_ref().map(Task::work)));
    let (tasks, level) = (&*tasks, cpu.level);
    let size = tasks.iter().flatten().map(|task| memory::<F>(level, task.part.flat())).max().unwrap_or(0);
    let memory = scratch(&mut cpu.scratch, PerThread::<F>::len(&cpu.threads, size));
    let (threads, memory) = (&cpu.threads, PerThread::new(memory, size));
    threads.each(tasks.len(), |i| {
        // SAFETY: called once, from a task of the threads that the memory was sized for.
        let memory = unsafe { memory.current(threads) };
        tasks[i].iter().for_each(|task| task.run(level, step, memory));
    });
}

/// Elements that a part needs: two factors X, two squares, and what the largest product packs.
fn memory<F: Float>(level: Level, [n, m]: [usize; 2]) -> usize {
    let products = [[n, m, n], [n, n, n], [n, n, m]].map(|extents| serial_scratch::<F>(level, extents));
    2 * n * m + 2 * n * n + products.into_iter().max().unwrap_or(0)
}

impl<F: Float> Task<'_, F> {
    /// Operations of a step, up to a factor.
    fn work(&self) -> usize {
        let [n, m] = self.part.flat();
        n * n * (n + 3 * m)
    }

    fn run(&self, level: Level, step: &Step<F>, memory: &mut [F]) {
        let Rectangle { rows, columns, .. } = self.part;
        let [n, m] = self.part.flat();
        let mut memory = Bump(memory);
        let (mut x, mut other) = (memory.take(n * m), memory.take(n * m));
        let (square, polynomial) = (memory.take(n * n), memory.take(n * n));
        F::vectorise(
            level,
            #[inline(always)]
            || self.momentum(step, x),
        );
        if rows > columns {
            transpose(x, [rows, columns], other);
            core::mem::swap(&mut x, &mut other);
        }
        for _ in 0..step.steps {
            newton_schulz(level, [n, m], x, other, [square, polynomial], memory.0);
            core::mem::swap(&mut x, &mut other);
        }
        if rows > columns {
            transpose(x, [n, m], other);
            core::mem::swap(&mut x, &mut other);
        }
        F::vectorise(
            level,
            #[inline(always)]
            || self.apply(step, x),
        );
    }

    /// A row of the part in each of the four tensors, of which a task looks at one at a time.
    #[allow(clippy::mut_from_ref)]
    #[inline(always)]
    fn row(&self, row: usize) -> [&mut [F]; 4] {
        let at = (self.part.row + row) * self.stride + self.part.column;
        // SAFETY: parts of a matrix are disjoint, and a task has one part and looks at one row at a time.
        self.tensors.map(|t| unsafe { t.slice(at, self.part.columns) })
    }

    /// Moves the momentum, and writes the update of unit norm.
    #[inline(always)]
    fn momentum(&self, step: &Step<F>, update: &mut [F]) {
        let &Step { clipped, momentum, eps, .. } = step;
        for (i, update) in update.chunks_exact_mut(self.part.columns).enumerate() {
            let [_, grad, m, _] = self.row(i);
            for ((update, grad), m) in update.iter_mut().zip(grad).zip(m) {
                let g = *grad * clipped;
                *m = momentum * *m + (F::ONE - momentum) * g;
                *update = momentum * *m + (F::ONE - momentum) * g;
                *grad = F::ZERO;
            }
        }
        let norm = F::of(sum(update, |x| x.to_f64() * x.to_f64())).sqrt();
        // A norm of NaN stays one, so that a broken gradient does not pass for a finite one.
        let scale = F::ONE / if norm < eps { eps } else { norm };
        update.iter_mut().for_each(|x| *x *= scale);
    }

    /// Moves the weights by the orthogonalised update, and the average by the weights.
    #[inline(always)]
    fn apply(&self, step: &Step<F>, update: &[F]) {
        let (rate, decay, scale) = (self.rate, self.decay, F::of(self.part.scale()));
        for (i, update) in update.chunks_exact(self.part.columns).enumerate() {
            let [weight, _, _, ema] = self.row(i);
            for ((w, &update), ema) in weight.iter_mut().zip(update).zip(ema) {
                *w = *w - rate * (scale * update + decay * *w);
                *ema += (F::ONE - step.ema_rate) * (*w - *ema);
            }
        }
    }
}

/// `y = (a + b A + c A²) x` with `A = x xᵀ`, `x` `[n, m]`. Both squares are symmetric, so only half of each is computed.
fn newton_schulz<F: Float>(level: Level, [n, m]: [usize; 2], x: &[F], y: &mut [F], [a, q]: [&mut [F]; 2], memory: &mut [F]) {
    let wide = Matrix::new(x, [n, m]);
    serial(level, memory, Extent::Lower, wide, wide.transposed(), a);
    mirror(a, n);
    let square = Matrix::new(&*a, [n, n]);
    // The second factor is read as its transpose, which is the same and contiguous.
    serial(level, memory, Extent::Lower, square, square.transposed(), q);
    let [c0, c1, c2] = NEWTON_SCHULZ.map(F::of);
    F::vectorise(
        level,
        #[inline(always)]
        || {
            for (i, (q, a)) in q.chunks_exact_mut(n).zip(a.chunks_exact(n)).enumerate() {
                q[..=i].iter_mut().zip(a).for_each(|(q, &a)| *q = c1 * a + c2 * *q);
                q[i] += c0;
            }
        },
    );
    mirror(q, n);
    serial(level, memory, Extent::Whole, Matrix::new(&*q, [n, n]), wide, y);
}

/// Copies what is below the diagonal above it.
fn mirror<F: Float>(a: &mut [F], n: usize) {
    for top in (0..n).step_by(TILE) {
        for left in (0..=top).step_by(TILE) {
            for i in top..n.min(top + TILE) {
                for j in left..i.min(left + TILE) {
                    a[j * n + i] = a[i * n + j];
                }
            }
        }
    }
}

/// `y = xᵀ`, `x` `[rows, columns]`.
fn transpose<F: Float>(x: &[F], [rows, columns]: [usize; 2], y: &mut [F]) {
    for top in (0..rows).step_by(TILE) {
        for left in (0..columns).step_by(TILE) {
            for j in left..columns.min(left + TILE) {
                for i in top..rows.min(top + TILE) {
                    y[j * rows + i] = x[i * columns + j];
                }
            }
        }
    }
}
