//! The controller's exponential moving average over time.

use crate::{
    Cpu, Float, Tensor,
    channels::{GROUP, Group, Lane, each_group, lane, put, sum_groups},
    simd::Kernel,
    strip::{Strip, StripMut},
};
use hh_core::{
    ops::{Pool, PoolGrad},
    shape::Shaped,
};

/// The decay `a` of a group's channels.
#[inline(always)]
fn rates<F: Float>(decay: &[F], group: Group) -> Lane<F> {
    let mut a = group.of(decay);
    for a in &mut a {
        *a = a.sigmoid();
    }
    a
}

struct Run<'a, F> {
    group: Group,
    time: usize,
    x: Strip<'a, F>,
    decay: &'a [F],
    state: Option<StripMut<'a, F>>,
    y: StripMut<'a, F>,
}

impl<F: Float> Kernel for Run<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { group, time, .. } = self;
        let (start, n) = (group.start, group.count);
        // SAFETY: each group belongs to one task, here and below.
        let state = self.state.map(|s| unsafe { s.row(group.sequence, start, n) });
        let (a, mut m) = (rates(self.decay, group), lane(state.as_deref().unwrap_or(&[])));
        for row in group.sequence * time..(group.sequence + 1) * time {
            let x = lane(self.x.row(row, start, n));
            for c in 0..GROUP {
                m[c] = a[c] * m[c] + (F::ONE - a[c]) * x[c].silu();
            }
            put(&m, unsafe { self.y.row(row, start, n) });
        }
        if let Some(state) = state {
            put(&m, state);
        }
    }
}

pub(crate) fn forward<F: Float>(cpu: &mut Cpu<F>, op: Pool<Tensor<F>>, state: Option<&mut Tensor<F>>, y: &mut Tensor<F>) {
    let extents = op.dims(state.as_ref().map(|s| s.shape()), y.shape());
    let (level, time) = (cpu.level, extents[1]);
    let (x, decay, y, state) = (Strip::all(op.x), op.decay.data(), StripMut::all(y), state.map(StripMut::all));
    each_group(&cpu.threads, extents, |group| F::run(level, Run { group, time, x, decay, state, y }));
}

/// `μ_t = dy_t + a ∘ μ_{t+1}`, `dx = (1 − a) ∘ μ ∘ silu'(x)`, `da = Σ μ_t ∘ (m_{t−1} − silu(x_t))`
struct RunBack<'a, F> {
    group: Group,
    time: usize,
    x: Strip<'a, F>,
    decay: &'a [F],
    y: Strip<'a, F>,
    dy: Strip<'a, F>,
    dx: StripMut<'a, F>,
}

impl<F: Float> Kernel for RunBack<'_, F> {
    /// `da`
    type Output = [Lane<F>; 1];
    #[inline(always)]
    fn run<const FMA: bool>(self) -> [Lane<F>; 1] {
        let (group, start, n) = (self.group, self.group.start, self.group.count);
        let a = rates(self.decay, group);
        let zeros = lane::<F>(&[]);
        let (mut mu, mut da, mut dx) = (zeros, zeros, zeros);
        for t in (0..self.time).rev() {
            let row = group.sequence * self.time + t;
            let [x, dy] = [self.x, self.dy].map(|s| lane(s.row(row, start, n)));
            let before = if t > 0 { lane(self.y.row(row - 1, start, n)) } else { zeros };
            for c in 0..GROUP {
                let s = x[c].sigmoid();
                mu[c] = dy[c] + a[c] * mu[c];
                da[c] += mu[c] * (before[c] - x[c] * s);
                dx[c] = (F::ONE - a[c]) * mu[c] * s * (F::ONE + x[c] * (F::ONE - s));
            }
            // SAFETY: each group belongs to one task.
            put(&dx, unsafe { self.dx.row(row, start, n) });
        }
        [da]
    }
}

pub(crate) fn backward<F: Float>(cpu: &mut Cpu<F>, op: Pool<Tensor<F>>, y: &Tensor<F>, dy: &Tensor<F>, d: PoolGrad<Tensor<F>>) {
    let extents = op.dims(None, y.shape());
    let (level, time) = (cpu.level, extents[1]);
    assert!(dy.shape() == y.shape() && d.x.shape() == y.shape(), "pool: gradients {} and {} of {}", dy.shape(), d.x.shape(), y.shape());
    let (x, decay, y, dy, dx) = (Strip::all(op.x), op.decay.data(), Strip::all(y), Strip::all(dy), StripMut::all(d.x));
    let d_decay = d.decay.data_mut();
    let sums = |group| F::run(level, RunBack { group, time, x, decay, y, dy, dx });
    sum_groups(&cpu.threads, &mut cpu.scratch, extents, sums, |_, c, da| {
        let a = decay[c].sigmoid();
        d_decay[c] += da * a * (F::ONE - a);
    });
}
