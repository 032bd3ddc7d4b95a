//! Causal depthwise convolution.

use crate::{
    Cpu, Float, Tensor,
    channels::{Block, Lane, each_block, lane},
    strip::{Strip, StripMut, add_rows},
    tensor::scratch,
    threads::Shared,
};
use hh_core::{
    ops::{Conv, ConvGrad},
    shape::Shaped,
};

/// Weight and bias of a channel, read in its field's order.
#[derive(Clone, Copy)]
struct Filter<'a, F> {
    /// `[w, k]`
    weight: &'a [F],
    bias: &'a [F],
    taps: usize,
}

impl<F: Float> Filter<'_, F> {
    /// One tap of a block's channels.
    #[inline(always)]
    fn tap(&self, block: Block, i: usize) -> Lane<F> {
        let mut tap = lane(&[]);
        for (c, w) in tap[..block.count].iter_mut().enumerate() {
            *w = self.weight[(block.start + c) * self.taps + i];
        }
        tap
    }
}

/// `sum += w ∘ x`
#[inline(always)]
fn add<F: Float>(sum: &mut [F], w: &Lane<F>, x: &[F]) {
    for ((s, &w), &x) in sum.iter_mut().zip(w).zip(x) {
        *s += w * x;
    }
}

pub(crate) fn forward<F: Float>(cpu: &mut Cpu<F>, op: Conv<Tensor<F>>, state: Option<&mut Tensor<F>>, y: &mut Tensor<F>) {
    let dims = op.dims(state.as_ref().map(|s| s.shape()), y.shape());
    let (level, time, taps) = (cpu.level, dims.time, dims.taps);
    let filter = Filter { weight: op.weight.data(), bias: op.bias.data(), taps };
    let (x, y, state) = (Strip::of(&op.x), StripMut::all(y), state.map(StripMut::all));
    each_block(&cpu.threads, [dims.batch, time, dims.width], |block| {
        let (start, n) = (block.start, block.count);
        let before = block.sequence * time;
        // SAFETY: each block is one task's, here and below.
        let past = |row: usize| state.map(|s| unsafe { s.row(block.sequence * (taps - 1) + row, start, n) });
        level.vectorise(|| {
            for t in 0..time {
                let y = unsafe { y.row(before + t, start, n) };
                y.copy_from_slice(&filter.bias[start..][..n]);
            }
            for i in 0..taps {
                let (w, reach) = (filter.tap(block, i), taps - 1 - i);
                for t in 0..time {
                    let y = unsafe { y.row(before + t, start, n) };
                    if t >= reach {
                        add(y, &w, x.row(before + t - reach, start, n));
                    } else if let Some(past) = past(t + i) {
                        add(y, &w, past);
                    }
                }
            }
            for t in 0..time {
                unsafe { y.row(before + t, start, n) }.iter_mut().for_each(|y| *y = y.silu());
            }
            // The last k − 1 of what was remembered, followed by this chunk; oldest first, so that no row is
            // overwritten before it has moved.
            for row in 0..taps - 1 {
                let Some(to) = past(row) else { break };
                let from = row + time;
                match from.checked_sub(taps - 1) {
                    Some(t) => to.copy_from_slice(x.row(before + t, start, n)),
                    None => to.copy_from_slice(past(from).expect("there is a state")),
                }
            }
        });
    });
}

/// With `p` the sum before `silu` and `δ_t = dy_t ∘ silu'(p_t)`: `dx_s = Σ_i weight[:, i] ∘ δ_{s+k−1−i}`,
/// `d_weight[:, i] = Σ_t δ_t ∘ x_{t−k+1+i}`, `d_bias = Σ δ`.
pub(crate) fn backward<F: Float>(cpu: &mut Cpu<F>, op: Conv<Tensor<F>>, dy: &Tensor<F>, d: ConvGrad<Tensor<F>>) {
    let dims = op.dims(None, dy.shape());
    let (level, batch, time, width, taps) = (cpu.level, dims.batch, dims.time, dims.width, dims.taps);
    assert!(d.x.layout().0 == batch && d.x.layout().1 == time && d.x.width == width, "conv: gradient of {width} columns");
    assert!(d.weight.shape().count() == width * taps && d.bias.shape().count() == width, "conv: gradients of the parameters");
    let filter = Filter { weight: op.weight.data(), bias: op.bias.data(), taps };
    let (x, dy, dx) = (Strip::of(&op.x), Strip::all(dy), StripMut::of(d.x));
    // One row of weights and biases for each sequence.
    let row = width * (taps + 1);
    let partials = scratch(&mut cpu.scratch, batch * row);
    let shared = Shared::new(partials);
    each_block(&cpu.threads, [batch, time, width], |block| {
        let (start, n, before) = (block.start, block.count, block.sequence * time);
        let at = block.sequence * row + start * taps;
        // SAFETY: each block is one task's, here and below.
        let d_weight = unsafe { shared.slice(at, n * taps) };
        let d_bias = unsafe { shared.slice(block.sequence * row + width * taps + start, n) };
        level.vectorise(|| {
            d_weight.fill(F::ZERO);
            let mut bias_sum = lane(&[]);
            for t in 0..time {
                let mut slope = lane(&filter.bias[start..][..n]);
                for i in taps.saturating_sub(t + 1)..taps {
                    add(&mut slope[..n], &filter.tap(block, i), x.row(before + t + i + 1 - taps, start, n));
                }
                let dy = dy.row(before + t, start, n);
                for c in 0..n {
                    slope[c] = dy[c] * slope[c].silu_grad();
                    bias_sum[c] += slope[c];
                }
                // From the newest row to the oldest: a row of dx is first touched, and written, when it is the newest.
                for i in (taps.saturating_sub(t + 1)..taps).rev() {
                    let source = before + t + i + 1 - taps;
                    let (w, x) = (filter.tap(block, i), x.row(source, start, n));
                    let dx = unsafe { dx.row(source, start, n) };
                    if i + 1 == taps {
                        dx.fill(F::ZERO);
                    }
                    add(dx, &w, &slope[..n]);
                    for c in 0..n {
                        d_weight[c * taps + i] += slope[c] * x[c];
                    }
                }
            }
            d_bias.copy_from_slice(&bias_sum[..n]);
        });
    });
    for partial in partials.chunks_exact(row) {
        let (weight, bias) = partial.split_at(width * taps);
        add_rows(weight, d.weight.data_mut());
        add_rows(bias, d.bias.data_mut());
    }
}
