//! The gated diagonal recurrence (RG-LRU, Griffin).

use crate::{
    Cpu, Float, Tensor,
    channels::{GROUP, Group, Lane, each_group, lane, put, sum_groups},
    simd::Kernel,
    strip::{Strip, StripMut},
};
use hh_core::{
    ops::{Columns, ColumnsMut, Scan, ScanGrad},
    shape::Shaped,
};

/// Values derived from the two gates of a channel at one position.
struct Gates<F> {
    /// gᵢ
    input: F,
    /// g_f
    forget: F,
    /// a
    decay: F,
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
    Gates { input, forget, decay, scale }
}

/// The parameters of a group's channels.
struct Parameters<F> {
    /// −8 softplus(Λ)
    rate: Lane<F>,
    skip: Lane<F>,
    bias_in: Lane<F>,
    bias_forget: Lane<F>,
}

/// Inputs of forward and backward.
#[derive(Clone, Copy)]
struct Inputs<'a, F> {
    time: usize,
    width: usize,
    x: Strip<'a, F>,
    /// gate | g_in | g_forget
    packed: Strip<'a, F>,
    /// `[2, w]`
    gate_bias: Strip<'a, F>,
    log_decay: &'a [F],
    skip: &'a [F],
}

impl<'a, F: Float> Inputs<'a, F> {
    fn new(op: &Scan<'a, Tensor<F>>, time: usize, width: usize) -> Self {
        Self {
            time,
            width,
            x: Strip::all(op.x),
            packed: Strip::of(&op.gates),
            gate_bias: Strip::all(op.gate_bias),
            log_decay: op.log_decay.data(),
            skip: op.skip.data(),
        }
    }

    #[inline(always)]
    fn parameters(&self, group: Group) -> Parameters<F> {
        let mut rate = group.of(self.log_decay);
        for r in &mut rate {
            *r = F::of(-8.0) * r.softplus();
        }
        let [bias_in, bias_forget] = [0, 1].map(|i| group.of(self.gate_bias.row(i, 0, self.width)));
        Parameters { rate, skip: group.of(self.skip), bias_in, bias_forget }
    }

    /// gate, g_in and g_forget of one row.
    #[inline(always)]
    fn gates(&self, row: usize, group: Group) -> [Lane<F>; 3] {
        let of = |part: usize| lane(self.packed.row(row, part * self.width + group.start, group.count));
        [of(0), of(1), of(2)]
    }
}

struct Run<'a, F> {
    inputs: Inputs<'a, F>,
    group: Group,
    state: Option<StripMut<'a, F>>,
    saved: Option<StripMut<'a, F>>,
    y: StripMut<'a, F>,
}

impl<F: Float> Kernel for Run<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { inputs, group, .. } = self;
        let (start, n) = (group.start, group.count);
        let p = inputs.parameters(group);
        // SAFETY: each group belongs to one task, here and below.
        let state = self.state.map(|s| unsafe { s.row(group.sequence, start, n) });
        let mut h = lane(state.as_deref().unwrap_or(&[]));
        let mut y = lane(&[]);
        for row in group.sequence * inputs.time..(group.sequence + 1) * inputs.time {
            let x = lane(inputs.x.row(row, start, n));
            let [gate, g_in, g_forget] = inputs.gates(row, group);
            for c in 0..GROUP {
                let g = gates(g_in[c] + p.bias_in[c], g_forget[c] + p.bias_forget[c], p.rate[c]);
                h[c] = g.decay * h[c] + g.scale * g.input * x[c];
                y[c] = (h[c] + p.skip[c] * x[c]) * gate[c].silu();
            }
            put(&y, unsafe { self.y.row(row, start, n) });
            if let Some(saved) = self.saved {
                put(&h, unsafe { saved.row(row, start, n) });
            }
        }
        if let Some(state) = state {
            put(&h, state);
        }
    }
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
    let inputs = Inputs::new(&op, time, width);
    let (state, saved, y) = (state.map(StripMut::all), saved.map(StripMut::all), StripMut::of(y));
    each_group(&cpu.threads, [dims.batch, time, width], |group| F::run(level, Run { inputs, group, state, saved, y }));
}

/// The gates are recomputed; `η_t` is the gradient of `h_t` including all later positions:
///
/// ```text
/// e_t = dy_t ∘ silu(gate_t)       η_t = e_t + a_{t+1} ∘ η_{t+1}
/// d log a = η ∘ (a ∘ h_{t−1} − gᵢ ∘ x ∘ a² / scale)            scale = sqrt(1 − a² + 1e-6)
/// ```
struct RunBack<'a, F> {
    inputs: Inputs<'a, F>,
    group: Group,
    saved: Strip<'a, F>,
    dy: Strip<'a, F>,
    dx: StripMut<'a, F>,
    d_packed: StripMut<'a, F>,
}

impl<F: Float> Kernel for RunBack<'_, F> {
    /// Sums over time: g_in, g_forget, rate, skip.
    type Output = [Lane<F>; 4];
    #[inline(always)]
    fn run<const FMA: bool>(self) -> [Lane<F>; 4] {
        let Self { inputs, group, .. } = self;
        let (start, n, width) = (group.start, group.count, inputs.width);
        let p = inputs.parameters(group);
        let zeros = lane::<F>(&[]);
        let (mut eta, mut dx) = (zeros, zeros);
        let ([mut d_in, mut d_forget, mut d_rate, mut d_skip], [mut dp_gate, mut dp_in, mut dp_forget]) = ([zeros; 4], [zeros; 3]);
        for t in (0..inputs.time).rev() {
            let row = group.sequence * inputs.time + t;
            let [x, h, dy] = [inputs.x, self.saved, self.dy].map(|s| lane(s.row(row, start, n)));
            let before = if t > 0 { lane(self.saved.row(row - 1, start, n)) } else { zeros };
            let [gate, g_in, g_forget] = inputs.gates(row, group);
            for c in 0..GROUP {
                let g = gates(g_in[c] + p.bias_in[c], g_forget[c] + p.bias_forget[c], p.rate[c]);
                let s = gate[c].sigmoid();
                let e = dy[c] * gate[c] * s;
                dp_gate[c] = dy[c] * (h[c] + p.skip[c] * x[c]) * s * (F::ONE + gate[c] * (F::ONE - s));
                eta[c] += e;
                let d_log = eta[c] * (g.decay * before[c] - g.input * x[c] * g.decay * g.decay / g.scale);
                dp_in[c] = eta[c] * g.scale * x[c] * g.input * (F::ONE - g.input);
                dp_forget[c] = d_log * p.rate[c] * g.forget * (F::ONE - g.forget);
                dx[c] = e * p.skip[c] + eta[c] * g.scale * g.input;
                d_skip[c] += e * x[c];
                d_rate[c] += d_log * g.forget;
                d_in[c] += dp_in[c];
                d_forget[c] += dp_forget[c];
                eta[c] *= g.decay;
            }
            // SAFETY: each group belongs to one task, here and below.
            put(&dx, unsafe { self.dx.row(row, start, n) });
            for (part, d) in [dp_gate, dp_in, dp_forget].iter().enumerate() {
                put(d, unsafe { self.d_packed.row(row, part * width + start, n) });
            }
        }
        [d_in, d_forget, d_rate, d_skip]
    }
}

pub(crate) fn backward<F: Float>(cpu: &mut Cpu<F>, op: Scan<Tensor<F>>, saved: &Tensor<F>, dy: Columns<Tensor<F>>, d: ScanGrad<Tensor<F>>) {
    let dims = op.dims(None, Some(saved.shape()));
    let (level, time, width) = (cpu.level, dims.time, dims.width);
    let extents = [dims.batch, time, width];
    assert!(dy.layout().0 == dims.batch && dy.layout().1 == time && dy.width == width, "scan: gradient of {} columns", dy.width);
    assert!(d.x.shape().extents() == extents && d.gates.width == 3 * width, "scan: gradients");
    assert_eq!((d.gates.layout().0, d.gates.layout().1), (dims.batch, time), "scan: gradient of the gates");
    assert!(d.gate_bias.shape().count() == 2 * width, "scan: gradient of gate_bias");
    let (inputs, log_decay) = (Inputs::new(&op, time, width), op.log_decay.data());
    let (saved, dy, dx, d_packed) = (Strip::all(saved), Strip::of(&dy), StripMut::all(d.x), StripMut::of(d.gates));
    let sums = |group| F::run(level, RunBack { inputs, group, saved, dy, dx, d_packed });
    let (d_bias, d_log_decay, d_skip) = (d.gate_bias.data_mut(), d.log_decay.data_mut(), d.skip.data_mut());
    sum_groups(&cpu.threads, &mut cpu.scratch, extents, sums, |n, c, sum| match n {
        2 => d_log_decay[c] += F::of(-8.0) * log_decay[c].sigmoid() * sum,
        3 => d_skip[c] += sum,
        gate => d_bias[gate * width + c] += sum,
    });
}
