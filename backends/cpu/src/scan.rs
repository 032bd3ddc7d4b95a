//! The gated diagonal recurrence.

use crate::{
    Cpu, Float, Tensor,
    channels::{Block, each_block, lane, sum_blocks},
    strip::{Strip, StripMut},
};
use hh_core::{
    ops::{ColumnsMut, Scan, ScanGrad},
    shape::Shaped,
};

/// What a channel makes of its two gates at one position.
struct Gates<F> {
    /// gᵢ
    input: F,
    /// g_f
    forget: F,
    /// a
    decay: F,
    /// a²
    decay_squared: F,
    /// `sqrt(1 − a² + 1e-6)`
    scale: F,
}

/// `rate`: −8 softplus(Λ)
#[inline(always)]
fn gates<F: Float>(g_in: F, g_forget: F, rate: F) -> Gates<F> {
    let (input, forget) = (g_in.sigmoid(), g_forget.sigmoid());
    let log = rate * forget;
    let decay = log.exp();
    let scale = (F::of(1e-6) - (log + log).exp_m1()).sqrt();
    Gates { input, forget, decay, decay_squared: decay * decay, scale }
}

#[inline(always)]
fn rate<F: Float>(log_decay: F) -> F {
    F::of(-8.0) * log_decay.softplus()
}

pub(crate) fn forward<F: Float>(
    cpu: &mut Cpu<F>,
    op: Scan<Tensor<F>>,
    state: Option<&mut Tensor<F>>,
    saved: Option<&mut Tensor<F>>,
    y: ColumnsMut<Tensor<F>>,
) {
    let dims = op.dims(state.as_ref().map(|s| s.shape()), saved.as_ref().map(|s| s.shape()));
    let (level, time, width) = (cpu.level, dims.time, dims.width);
    assert!(y.layout().0 == dims.batch && y.layout().1 == time && y.width == width, "scan: output of {} columns", y.width);
    let (x, packed, bias) = (Strip::all(op.x), Strip::of(&op.gates), Strip::all(op.gate_bias));
    let (log_decay, skip) = (op.log_decay.data(), op.skip.data());
    let (state, saved, y) = (state.map(StripMut::all), saved.map(StripMut::all), StripMut::of(y));
    each_block(&cpu.threads, [dims.batch, time, width], |block| {
        let (start, n) = (block.start, block.count);
        // SAFETY: each block is one task's, here and below.
        let state = state.map(|s| unsafe { s.row(block.sequence, start, n) });
        level.vectorise(|| {
            let rate = lane(&log_decay[start..][..n]).map(rate);
            let (skip, b_in, b_forget) = (lane(&skip[start..][..n]), lane(bias.row(0, start, n)), lane(bias.row(1, start, n)));
            let mut h = lane(state.as_deref().unwrap_or(&[]));
            for row in block.sequence * time..(block.sequence + 1) * time {
                let x = x.row(row, start, n);
                let [gate, g_in, g_forget] = [0, 1, 2].map(|i| packed.row(row, i * width + start, n));
                let y = unsafe { y.row(row, start, n) };
                for c in 0..n {
                    let g = gates(g_in[c] + b_in[c], g_forget[c] + b_forget[c], rate[c]);
                    h[c] = g.decay * h[c] + g.scale * g.input * x[c];
                    y[c] = (h[c] + skip[c] * x[c]) * gate[c].silu();
                }
                if let Some(saved) = saved {
                    unsafe { saved.row(row, start, n) }.copy_from_slice(&h[..n]);
                }
            }
            if let Some(state) = state {
                state.copy_from_slice(&h[..n]);
            }
        });
    });
}

/// The gates are computed anew; `η_t` is the gradient of `h_t`, all of the future in it:
///
/// ```text
/// e_t = dy_t ∘ silu(gate_t)       η_t = e_t + a_{t+1} ∘ η_{t+1}
/// d log a = η ∘ (a ∘ h_{t−1} − gᵢ ∘ x ∘ a² / scale)            scale = sqrt(1 − a² + 1e-6)
/// ```
pub(crate) fn backward<F: Float>(
    cpu: &mut Cpu<F>,
    op: Scan<Tensor<F>>,
    saved: &Tensor<F>,
    dy: hh_core::ops::Columns<Tensor<F>>,
    d: ScanGrad<Tensor<F>>,
) {
    let dims = op.dims(None, Some(saved.shape()));
    let (level, time, width) = (cpu.level, dims.time, dims.width);
    let extents = [dims.batch, time, width];
    assert!(dy.layout().0 == dims.batch && dy.layout().1 == time && dy.width == width, "scan: gradient of {} columns", dy.width);
    assert!(d.x.shape().extents() == extents && d.gates.width == 3 * width, "scan: gradients");
    assert_eq!((d.gates.layout().0, d.gates.layout().1), (dims.batch, time), "scan: gradient of the gates");
    let (x, packed, bias) = (Strip::all(op.x), Strip::of(&op.gates), Strip::all(op.gate_bias));
    let (log_decay, skip) = (op.log_decay.data(), op.skip.data());
    let (saved, dy, dx, d_packed) = (Strip::all(saved), Strip::of(&dy), StripMut::all(d.x), StripMut::of(d.gates));
    let sums = |block: Block| {
        let (start, n) = (block.start, block.count);
        level.vectorise(|| {
            let rate = lane(&log_decay[start..][..n]).map(rate);
            let (skip, b_in, b_forget) = (lane(&skip[start..][..n]), lane(bias.row(0, start, n)), lane(bias.row(1, start, n)));
            let (mut eta, nothing) = (lane::<F>(&[]), lane(&[]));
            let [mut d_in, mut d_forget, mut d_rate, mut d_skip] = [lane(&[]); 4];
            for t in (0..time).rev() {
                let row = block.sequence * time + t;
                let (x, h, dy) = (x.row(row, start, n), saved.row(row, start, n), dy.row(row, start, n));
                let before = if t > 0 { saved.row(row - 1, start, n) } else { &nothing[..n] };
                let [gate, g_in, g_forget] = [0, 1, 2].map(|i| packed.row(row, i * width + start, n));
                // SAFETY: each block is one task's.
                let (dx, [dp_gate, dp_in, dp_forget]) =
                    unsafe { (dx.row(row, start, n), [0, 1, 2].map(|i| d_packed.row(row, i * width + start, n))) };
                for c in 0..n {
                    let g = gates(g_in[c] + b_in[c], g_forget[c] + b_forget[c], rate[c]);
                    let s = gate[c].sigmoid();
                    let e = dy[c] * gate[c] * s;
                    dp_gate[c] = dy[c] * (h[c] + skip[c] * x[c]) * s * (F::ONE + gate[c] * (F::ONE - s));
                    eta[c] += e;
                    let d_log = eta[c] * (g.decay * before[c] - g.input * x[c] * g.decay_squared / g.scale);
                    dp_in[c] = eta[c] * g.scale * x[c] * g.input * (F::ONE - g.input);
                    dp_forget[c] = d_log * rate[c] * g.forget * (F::ONE - g.forget);
                    dx[c] = e * skip[c] + eta[c] * g.scale * g.input;
                    d_skip[c] += e * x[c];
                    d_rate[c] += d_log * g.forget;
                    d_in[c] += dp_in[c];
                    d_forget[c] += dp_forget[c];
                    eta[c] = eta[c] * g.decay;
                }
            }
            [d_in, d_forget, d_rate, d_skip]
        })
    };
    let (d_bias, d_log_decay, d_skip) = (d.gate_bias.data_mut(), d.log_decay.data_mut(), d.skip.data_mut());
    sum_blocks(&cpu.threads, &mut cpu.scratch, extents, sums, |n, c, sum| match n {
        2 => d_log_decay[c] += F::of(-8.0) * log_decay[c].sigmoid() * sum,
        3 => d_skip[c] += sum,
        gate => d_bias[gate * width + c] += sum,
    });
}
