//! The controller's running summary.

use crate::{
    Cpu, Float, Tensor,
    channels::{each_block, lane, sum_blocks},
    strip::{Strip, StripMut},
};
use hh_core::{
    ops::{Pool, PoolGrad},
    shape::Shaped,
};

pub(crate) fn forward<F: Float>(cpu: &mut Cpu<F>, op: Pool<Tensor<F>>, state: Option<&mut Tensor<F>>, y: &mut Tensor<F>) {
    let extents = op.dims(state.as_ref().map(|s| s.shape()), y.shape());
    let (level, time) = (cpu.level, extents[1]);
    let (x, decay, y, state) = (Strip::all(op.x), op.decay.data(), StripMut::all(y), state.map(StripMut::all));
    each_block(&cpu.threads, extents, |block| {
        let (start, n) = (block.start, block.count);
        // SAFETY: each block is one task's, here and below.
        let state = state.map(|s| unsafe { s.row(block.sequence, start, n) });
        level.vectorise(|| {
            let a = lane(&decay[start..][..n]).map(F::sigmoid);
            let mut m = lane(state.as_deref().unwrap_or(&[]));
            for row in block.sequence * time..(block.sequence + 1) * time {
                let y = unsafe { y.row(row, start, n) };
                for (c, (y, &x)) in y.iter_mut().zip(x.row(row, start, n)).enumerate() {
                    m[c] = a[c] * m[c] + (F::ONE - a[c]) * x.silu();
                    *y = m[c];
                }
            }
            if let Some(state) = state {
                state.copy_from_slice(&m[..n]);
            }
        });
    });
}

/// `μ_t = dy_t + a ∘ μ_{t+1}`, `dx = (1 − a) ∘ μ ∘ silu'(x)`, `da = Σ μ_t ∘ (m_{t−1} − silu(x_t))`
pub(crate) fn backward<F: Float>(cpu: &mut Cpu<F>, op: Pool<Tensor<F>>, y: &Tensor<F>, dy: &Tensor<F>, d: PoolGrad<Tensor<F>>) {
    let extents = op.dims(None, y.shape());
    let (level, time) = (cpu.level, extents[1]);
    assert!(dy.shape() == y.shape() && d.x.shape() == y.shape(), "pool: gradients {} and {} of {}", dy.shape(), d.x.shape(), y.shape());
    let (x, decay, y, dy, dx) = (Strip::all(op.x), op.decay.data(), Strip::all(y), Strip::all(dy), StripMut::all(d.x));
    let d_decay = d.decay.data_mut();
    let sums = |block: crate::channels::Block| {
        let (start, n) = (block.start, block.count);
        level.vectorise(|| {
            let a = lane(&decay[start..][..n]).map(F::sigmoid);
            let (mut mu, mut da, nothing) = (lane(&[]), lane(&[]), lane(&[]));
            for t in (0..time).rev() {
                let row = block.sequence * time + t;
                let (x, dy) = (x.row(row, start, n), dy.row(row, start, n));
                let before = if t > 0 { y.row(row - 1, start, n) } else { &nothing[..n] };
                // SAFETY: each block is one task's.
                let dx = unsafe { dx.row(row, start, n) };
                for c in 0..n {
                    let s = x[c].sigmoid();
                    mu[c] = dy[c] + a[c] * mu[c];
                    da[c] += mu[c] * (before[c] - x[c] * s);
                    dx[c] = (F::ONE - a[c]) * mu[c] * s * (F::ONE + x[c] * (F::ONE - s));
                }
            }
            [da]
        })
    };
    sum_blocks(&cpu.threads, &mut cpu.scratch, extents, sums, |_, c, da| {
        let a = decay[c].sigmoid();
        d_decay[c] += da * a * (F::ONE - a);
    });
}
