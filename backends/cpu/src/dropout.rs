//! Dropout. The backward pass recomputes the mask from the counter-based generator instead of storing it.

use crate::{Cpu, Float, Indices, Tensor, random::blocks, threads::Shared};
use hh_core::{
    ops::{Draw, Dropout},
    rng::unit_interval,
    shape::Shaped,
};

pub(crate) fn forward<F: Float>(cpu: &mut Cpu<F>, op: Dropout<Tensor<F>, Indices>, y: &mut Tensor<F>) {
    let residual = op.residual.map(|residual| {
        assert_eq!(residual.shape().extents(), y.shape().extents(), "dropout: residual");
        residual.data()
    });
    masked(cpu, op.draw, op.rate, y, |i, y, factor| {
        let masked = factor.map_or(F::ZERO, |f| *y * f);
        *y = masked + residual.map_or(F::ZERO, |residual| residual[i]);
    });
}

pub(crate) fn backward<F: Float>(cpu: &mut Cpu<F>, op: Dropout<Tensor<F>, Indices>, dy: &Tensor<F>, dx: &mut Tensor<F>) {
    assert_eq!(dy.shape().extents(), dx.shape().extents(), "dropout: gradient");
    let dy = dy.data();
    masked(cpu, op.draw, op.rate, dx, |i, dx, factor| *dx = factor.map_or(F::ZERO, |f| dy[i] * f));
}

/// Calls `f(i, y[i], 1 / (1 − rate) if element i is kept)`.
fn masked<F: Float>(cpu: &mut Cpu<F>, draw: Draw<Indices>, rate: f32, y: &mut Tensor<F>, f: impl Fn(usize, &mut F, Option<F>) + Sync) {
    let factor = F::of(1.0 / (1.0 - rate as f64));
    let count = y.data().len();
    let y = Shared::new(y.data_mut());
    blocks(cpu, draw, count, |start, words| {
        // SAFETY: each block of four elements belongs to one task.
        let y = unsafe { y.slice(start, 4.min(count - start)) };
        for (i, (y, word)) in y.iter_mut().zip(words).enumerate() {
            f(start + i, y, (unit_interval(word) >= rate).then_some(factor));
        }
    });
}
