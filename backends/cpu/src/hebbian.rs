//! Classic Hopfield memory: Hebbian matrices with exponential forgetting.

mod backward;

pub(crate) use backward::backward;

use crate::{
    Cpu, Float, Tensor,
    scratch::scratch,
    scratch::{Bump, PerThread},
    share::share,
    simd::Kernel,
    strip::{Strip, StripMut},
    tile::{add_scaled, put_scaled, softmax, unit_scale},
};
use hh_core::{
    ops::{ColumnsMut, Hebbian, HebbianState, MemoryDims},
    shape::Shaped,
};

/// Columns of a matrix whose sums are kept in registers.
const HELD: usize = 32;

/// One head of one sequence: inputs of forward and backward.
#[derive(Clone, Copy)]
struct Head<'a, F> {
    dims: MemoryDims,
    qpv: Strip<'a, F>,
    depth: Strip<'a, F>,
    /// β
    beta: F,
    /// γ
    decay: F,
    successor: bool,
    sequence: usize,
    /// First column.
    column: usize,
}

impl<'a, F: Float> Head<'a, F> {
    fn new(dims: MemoryDims, op: &Hebbian<'a, Tensor<F>>, sequence: usize, head: usize) -> Self {
        Self {
            dims,
            qpv: Strip::of(&op.qpv),
            depth: Strip::all(op.depth),
            beta: op.log_beta.data()[head].exp(),
            decay: op.decay.data()[head].sigmoid(),
            successor: op.successor,
            sequence,
            column: head * dims.head_dim,
        }
    }

    /// Row of position `t` in packed tensors.
    #[inline(always)]
    fn row(&self, t: usize) -> usize {
        self.sequence * self.dims.time + t
    }

    /// q, pattern or value (0, 1, 2) of position `t`.
    #[inline(always)]
    fn part(&self, t: usize, part: usize) -> &'a [F] {
        self.qpv.row(self.row(t), part * self.dims.width + self.column, self.dims.head_dim)
    }

    /// `to = unit(q or pattern)`
    #[inline(always)]
    fn unit<const FMA: bool>(&self, t: usize, part: usize, to: &mut [F]) {
        let v = self.part(t, part);
        put_scaled(v, unit_scale::<F, FMA>(v), to);
    }
}

/// The two matrices of a head, `d × d`.
struct Matrices<'a, F> {
    /// `Σ γ^{t−j} p_j p_jᵀ`
    patterns: &'a mut [F],
    /// `Σ γ^{t−j} p_j value_jᵀ`
    values: &'a mut [F],
}

impl<F: Float> Matrices<'_, F> {
    /// Decays the matrices and adds an item.
    #[inline(always)]
    fn add_item<const FMA: bool>(&mut self, decay: F, pattern: &[F], value: &[F]) {
        decay_and_add::<F, FMA>(self.patterns, decay, pattern, pattern);
        decay_and_add::<F, FMA>(self.values, decay, pattern, value);
    }
}

/// `m = decay · m + a bᵀ`
#[inline(always)]
fn decay_and_add<F: Float, const FMA: bool>(m: &mut [F], decay: F, a: &[F], b: &[F]) {
    for (row, &a) in m.chunks_exact_mut(b.len()).zip(a) {
        for (m, &b) in row.iter_mut().zip(b) {
            *m = a.mul_add::<FMA>(b, decay * *m);
        }
    }
}

/// `y = xᵀ m`
#[inline(always)]
fn times<F: Float, const FMA: bool>(x: &[F], m: &[F], y: &mut [F]) {
    let d = y.len();
    let (blocks, rest) = y.as_chunks_mut::<HELD>();
    let (pairs, odd) = x.as_chunks::<2>();
    for (at, y) in blocks.iter_mut().enumerate() {
        let row = |i: usize| -> &[F; HELD] { m[i * d + at * HELD..].first_chunk().expect("a whole block") };
        // Two independent sums per column hide the latency of fused multiply-add.
        let (mut even, mut uneven) = ([F::ZERO; HELD], [F::ZERO; HELD]);
        for (p, &[a, b]) in pairs.iter().enumerate() {
            add_held::<F, FMA>(&mut even, a, row(2 * p));
            add_held::<F, FMA>(&mut uneven, b, row(2 * p + 1));
        }
        if let [a] = *odd {
            add_held::<F, FMA>(&mut even, a, row(d - 1));
        }
        for c in 0..HELD {
            y[c] = even[c] + uneven[c];
        }
    }
    let start = d - rest.len();
    if start < d {
        rest.fill(F::ZERO);
        for (row, &x) in m.chunks_exact(d).zip(x) {
            add_scaled::<F, FMA>(rest, x, &row[start..]);
        }
    }
}

/// `sum += a row`
#[inline(always)]
fn add_held<F: Float, const FMA: bool>(sum: &mut [F; HELD], a: F, row: &[F; HELD]) {
    for c in 0..HELD {
        sum[c] = a.mul_add::<FMA>(row[c], sum[c]);
    }
}

/// `ξ + tanh(β z)`, in place of ξ
#[inline(always)]
fn moved<F: Float>(xi: &mut [F], beta: F, z: &[F]) {
    for (xi, &z) in xi.iter_mut().zip(z) {
        *xi += (beta * z).tanh();
    }
}

struct Task<'a, F> {
    head: Head<'a, F>,
    matrices: Matrices<'a, F>,
    /// The unit pattern of the previous position.
    last: &'a mut [F],
    y: StripMut<'a, F>,
    working: &'a mut [F],
}

impl<F: Float> Kernel for Task<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { head, mut matrices, last, y, working } = self;
        let MemoryDims { time, head_dim: d, depth, .. } = head.dims;
        let mut working = Bump(working);
        let [xi, read, pattern] = [(); 3].map(|()| working.take(d));
        let weights = working.take(depth);
        for t in 0..time {
            head.unit::<FMA>(t, 1, pattern);
            let item = if head.successor { &*last } else { &*pattern };
            matrices.add_item::<FMA>(head.decay, item, head.part(t, 2));
            last.copy_from_slice(pattern);

            softmax(head.depth.row(head.row(t), 0, depth), weights);
            head.unit::<FMA>(t, 0, xi);
            // SAFETY: each head's columns belong to one task.
            let y = unsafe { y.row(head.row(t), head.column, d) };
            y.fill(F::ZERO);
            for (k, &weight) in weights.iter().enumerate() {
                times::<F, FMA>(xi, matrices.values, read);
                add_scaled::<F, FMA>(y, weight, read);
                if k + 1 < depth {
                    times::<F, FMA>(xi, matrices.patterns, read);
                    moved(xi, head.beta, read);
                    let scale = unit_scale::<F, FMA>(xi);
                    xi.iter_mut().for_each(|xi| *xi *= scale);
                }
            }
        }
    }
}

pub(crate) fn forward<F: Float>(
    cpu: &mut Cpu<F>,
    op: Hebbian<Tensor<F>>,
    state: Option<HebbianState<Tensor<F>>>,
    y: ColumnsMut<Tensor<F>>,
) {
    let dims = op.dims(state.as_ref().map(|s| s.matrices.shape()));
    let MemoryDims { batch, time, width, heads, head_dim: d, depth, .. } = dims;
    assert!(y.layout().0 == batch && y.layout().1 == time && y.width == width, "hebbian: output of {} columns", y.width);
    let (level, y) = (cpu.level, StripMut::of(y));
    let state = state.map(|HebbianState { matrices, last }| {
        assert_eq!((last.shape().rows(), last.shape().width()), (batch, width), "hebbian: last pattern");
        (StripMut::all(matrices), StripMut::all(last))
    });
    let size = 2 * d * d + 4 * d + depth;
    let per_thread = PerThread::new(scratch(&mut cpu.scratch, PerThread::<F>::len(&cpu.threads, size)), size);
    share(&cpu.threads, batch * heads, batch * time * width * d * (depth + 1), |task| {
        let (sequence, head) = (task / heads, task % heads);
        // SAFETY: called once in this task; each task has its own rows and columns of the state.
        let mut working = Bump(unsafe { per_thread.current(&cpu.threads) });
        let (matrices, last) = match state {
            Some((matrices, last)) => unsafe {
                let [patterns, values] = [0, width].map(|half| matrices.rows(sequence * 2 * width + half + head * d, d));
                (Matrices { patterns, values }, last.row(sequence, head * d, d))
            },
            None => {
                let [patterns, values, last] = [d * d, d * d, d].map(|n| working.take(n));
                for x in [&mut *patterns, &mut *values, &mut *last] {
                    x.fill(F::ZERO);
                }
                (Matrices { patterns, values }, last)
            }
        };
        F::run(level, Task { head: Head::new(dims, &op, sequence, head), matrices, last, y, working: working.0 });
    });
}
