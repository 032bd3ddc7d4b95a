//! Causal depthwise convolution.

use crate::{
    Cpu, Float, Tensor,
    channels::{GROUP, Group, Lane, each_group, lane, put},
    scratch::scratch,
    simd::Kernel,
    strip::{Strip, StripMut},
    threads::Shared,
};
use hh_core::{
    ops::{Conv, ConvGrad},
    shape::Shaped,
};

/// Inputs of forward and backward.
#[derive(Clone, Copy)]
struct Filter<'a, F> {
    time: usize,
    taps: usize,
    x: Strip<'a, F>,
    /// The weight transposed, `[k, w]`: channels are contiguous for each tap.
    weight: &'a [F],
    bias: &'a [F],
}

impl<F: Float> Filter<'_, F> {
    /// The weights of a group's channels for the input `age` positions back.
    #[inline(always)]
    fn tap(&self, group: Group, age: usize) -> Lane<F> {
        group.of(&self.weight[(self.taps - 1 - age) * self.bias.len()..])
    }

    /// The sum before `silu`; `past(age)` is an input from before the chunk, `None` without a state.
    #[inline(always)]
    fn sum(&self, group: Group, t: usize, past: impl Fn(usize) -> Option<Lane<F>>) -> Lane<F> {
        let mut sum = group.of(self.bias);
        for age in (0..self.taps).rev() {
            let x = match t.checked_sub(age) {
                Some(t) => lane(self.x.row(group.sequence * self.time + t, group.start, group.count)),
                None => match past(age - t) {
                    Some(x) => x,
                    None => continue,
                },
            };
            add(&mut sum, &self.tap(group, age), &x);
        }
        sum
    }
}

/// `sum += a ∘ b`
#[inline(always)]
fn add<F: Float>(sum: &mut Lane<F>, a: &Lane<F>, b: &Lane<F>) {
    for c in 0..GROUP {
        sum[c] += a[c] * b[c];
    }
}

/// `to = weightᵀ`
fn transpose<F: Float>(weight: &[F], taps: usize, to: &mut [F]) {
    let width = weight.len() / taps;
    for (c, weight) in weight.chunks_exact(taps).enumerate() {
        for (i, &w) in weight.iter().enumerate() {
            to[i * width + c] = w;
        }
    }
}

struct Run<'a, F> {
    filter: Filter<'a, F>,
    group: Group,
    state: Option<StripMut<'a, F>>,
    y: StripMut<'a, F>,
}

impl<F: Float> Kernel for Run<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { filter, group, .. } = self;
        let (start, n, time, kept) = (group.start, group.count, filter.time, filter.taps - 1);
        // SAFETY: each group belongs to one task, here and below.
        let state = |row: usize| self.state.map(|s| unsafe { s.row(group.sequence * kept + row, start, n) });
        for t in 0..time {
            let mut y = filter.sum(group, t, |age| state(kept - age).map(|x| lane(x)));
            for y in &mut y {
                *y = y.silu();
            }
            put(&y, unsafe { self.y.row(group.sequence * time + t, start, n) });
        }
        // The last k − 1 rows of the old state followed by this chunk; oldest first, so that no row is overwritten
        // before it was copied.
        for row in 0..kept {
            let Some(to) = state(row) else { break };
            match (row + time).checked_sub(kept) {
                Some(t) => to.copy_from_slice(filter.x.row(group.sequence * time + t, start, n)),
                None => to.copy_from_slice(state(row + time).expect("there is a state")),
            }
        }
    }
}

pub(crate) fn forward<F: Float>(cpu: &mut Cpu<F>, op: Conv<Tensor<F>>, state: Option<&mut Tensor<F>>, y: &mut Tensor<F>) {
    let dims = op.dims(state.as_ref().map(|s| s.shape()), y.shape());
    let (level, time, taps) = (cpu.level, dims.time, dims.taps);
    let weight = scratch(&mut cpu.scratch, dims.width * taps);
    transpose(op.weight.data(), taps, weight);
    let filter = Filter { time, taps, x: Strip::of(&op.x), weight, bias: op.bias.data() };
    let (y, state) = (StripMut::all(y), state.map(StripMut::all));
    each_group(&cpu.threads, [dims.batch, time, dims.width], |group| F::run(level, Run { filter, group, state, y }));
}

/// With `p` the sum before `silu` and `δ_t = dy_t ∘ silu'(p_t)`: `dx_t = Σ_age weight[age] ∘ δ_{t+age}`,
/// `d_weight[age] = Σ_t δ_t ∘ x_{t−age}`, `d_bias = Σ δ`.
struct RunBack<'a, F> {
    filter: Filter<'a, F>,
    group: Group,
    dy: Strip<'a, F>,
    dx: StripMut<'a, F>,
    /// Per sequence `[k + 1, w]`: the taps, oldest input first, then the bias.
    d_parameters: StripMut<'a, F>,
}

impl<F: Float> Kernel for RunBack<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { filter, group, .. } = self;
        let (start, n, time, taps) = (group.start, group.count, filter.time, filter.taps);
        let row = |t: usize| group.sequence * time + t;
        // SAFETY: each group belongs to one task, here and below.
        let dx = |t: usize| unsafe { self.dx.row(row(t), start, n) };
        let parameter = |i: usize| unsafe { self.d_parameters.row(group.sequence * (taps + 1) + i, start, n) };
        // dx holds δ until its last use.
        let mut d_bias = lane::<F>(&[]);
        for t in 0..time {
            let mut delta = filter.sum(group, t, |_| None);
            let dy = lane(self.dy.row(row(t), start, n));
            for c in 0..GROUP {
                delta[c] = dy[c] * delta[c].silu_grad();
                d_bias[c] += delta[c];
            }
            put(&delta, dx(t));
        }
        put(&d_bias, parameter(taps));
        for age in 0..taps {
            let mut sum = lane::<F>(&[]);
            for t in age..time {
                add(&mut sum, &lane(dx(t)), &lane(filter.x.row(row(t - age), start, n)));
            }
            put(&sum, parameter(taps - 1 - age));
        }
        for t in 0..time {
            let mut sum = lane::<F>(&[]);
            for age in 0..taps.min(time - t) {
                add(&mut sum, &filter.tap(group, age), &lane(dx(t + age)));
            }
            put(&sum, dx(t));
        }
    }
}

pub(crate) fn backward<F: Float>(cpu: &mut Cpu<F>, op: Conv<Tensor<F>>, dy: &Tensor<F>, d: ConvGrad<Tensor<F>>) {
    let dims = op.dims(None, dy.shape());
    let (level, batch, time, width, taps) = (cpu.level, dims.batch, dims.time, dims.width, dims.taps);
    assert!(d.x.layout().0 == batch && d.x.layout().1 == time && d.x.width == width, "conv: gradient of {width} columns");
    assert!(d.weight.shape().count() == width * taps && d.bias.shape().count() == width, "conv: gradients of the parameters");
    let (weight, partials) = scratch(&mut cpu.scratch, width * taps + batch * (taps + 1) * width).split_at_mut(width * taps);
    transpose(op.weight.data(), taps, weight);
    let filter = Filter { time, taps, x: Strip::of(&op.x), weight, bias: op.bias.data() };
    let (dy, dx, d_parameters) = (Strip::all(dy), StripMut::of(d.x), StripMut::over(Shared::new(partials), width));
    each_group(&cpu.threads, [batch, time, width], |group| F::run(level, RunBack { filter, group, dy, dx, d_parameters }));
    for partial in partials.chunks_exact((taps + 1) * width) {
        let (d_weight, d_bias) = partial.split_at(taps * width);
        for (i, tap) in d_weight.chunks_exact(width).enumerate() {
            d.weight.data_mut()[i..].iter_mut().step_by(taps).zip(tap).for_each(|(d, &x)| *d += x);
        }
        d.bias.data_mut().iter_mut().zip(d_bias).for_each(|(d, &x)| *d += x);
    }
}
