//! AdamW on several tensors at once, with and without clipping and decay.

use super::prelude::*;
use hh_core::ops::AdamWLeaf;

/// See [`ops::AdamW`].
#[derive(Debug)]
pub struct AdamW {
    /// Extents of the weights.
    pub leaves: Vec<Shape>,
    /// Sum of squares of all gradients.
    pub total: f32,
    /// Largest norm of the whole gradient; 0 means no clipping.
    pub clip: f32,
    /// Decoupled weight decay.
    pub decay: f32,
}

/// Learning rate, corrections of both moments, rate of the average.
const SCHEDULE: [f32; 4] = [0.04, 1.5, 1.25, 0.75];
const BETA1: f32 = 0.875;
const BETA2: f32 = 0.96875;
const EPS: f32 = 0.015625;
/// The tensors of a leaf.
const PARTS: [&str; 5] = ["weight", "grad", "first", "second", "ema"];

/// Learning rate of a leaf, as a multiple of the schedule's.
fn rate(leaf: usize) -> f32 {
    [0.25, 1.0, 0.5][leaf % 3]
}

impl Case for AdamW {
    /// Tensors of a few numbers, of one, and of many, all at once.
    fn cases() -> Vec<Self> {
        let kinds = [(16.0, 1.0, 0.125), (0.25, 1.0, 0.125), (16.0, 0.0, 0.0), (f32::NAN, 1.0, 0.125)];
        let leaves = |[batch, time]: [usize; 2]| vec![Shape::matrix(time, 5), Shape::vector(1), Shape::matrix(batch * time, 72)];
        let of = |size| kinds.map(|(total, clip, decay)| Self { leaves: leaves(size), total, clip, decay });
        SIZES.into_iter().flat_map(of).collect()
    }
    fn large() -> Vec<Self> {
        let all = [(1, 16.0, 1.0), (65, 0.25, 1.0), (500, 16.0, 0.0), (40_000, 0.0, 1.0)];
        all.map(|(count, total, clip)| Self { leaves: vec![Shape::vector(count)], total, clip, decay: 0.125 }).into()
    }
    fn bench() -> Vec<Self> {
        vec![Self { leaves: vec![Shape::vector(4_500_000)], total: 16.0, clip: 1.0, decay: 0.125 }]
    }
    fn tolerance(&self) -> f64 {
        1e-6
    }
    fn tolerance_f64(&self) -> f64 {
        1e-14
    }
    fn has_nan(&self) -> bool {
        self.total.is_nan()
    }
    fn inputs(&self) -> Vec<Input> {
        let mut all = vec![
            Input::full("schedule", Shape::vector(4)).with(SCHEDULE.to_vec()),
            Input::full("total", Shape::vector(1)).with(vec![self.total]),
        ];
        for (i, &shape) in self.leaves.iter().enumerate() {
            // Second moments are sums of squares.
            let second = (0..shape.count()).map(|j| ((i + 5 * j) % 61) as f32 / 64.0).collect();
            let part = |name| Input::full(name, shape);
            all.extend(PARTS.map(|name| if name == "second" { part(name).with(Vec::clone(&second)) } else { part(name) }));
        }
        all
    }
    fn outputs(&self) -> Vec<Output> {
        self.leaves.iter().flat_map(|&shape| PARTS.map(|name| Output::full(name, shape))).collect()
    }
    fn formula(&self, x: &[Vec<f64>], _: Option<&mut State>) -> Vec<Vec<f64>> {
        let [lr, correct1, correct2, ema_rate] = SCHEDULE.map(f64::from);
        let [clip, beta1, beta2, eps, decay] = [self.clip, BETA1, BETA2, EPS, self.decay].map(f64::from);
        let norm = x[1][0].sqrt();
        // A gradient without a norm (NaN, ∞) is not clipped into a finite one.
        let clipped = if clip == 0.0 || norm <= clip { 1.0 } else { clip / norm };
        let mut y = vec![];
        for (leaf, parts) in x[2..].chunks_exact(5).enumerate() {
            let updated = |i: usize| {
                let [w, g, m, v, ema] = [0, 1, 2, 3, 4].map(|part| parts[part][i]);
                let g = g * clipped;
                let (m, v) = (beta1 * m + (1.0 - beta1) * g, beta2 * v + (1.0 - beta2) * g * g);
                let w = w - lr * f64::from(rate(leaf)) * (m * correct1 / ((v * correct2).sqrt() + eps) + decay * w);
                [w, 0.0, m, v, ema + (1.0 - ema_rate) * (w - ema)]
            };
            let all: Vec<_> = (0..parts[0].len()).map(updated).collect();
            y.extend([0, 1, 2, 3, 4].map(|part| all.iter().map(|new| new[part]).collect::<Vec<f64>>()));
        }
        y
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], _: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        x[2..].iter().zip(&mut *y).for_each(|(x, y)| start_from(d, x, y));
        let (schedule, total) = (x[0].whole(), x[1].whole());
        let op = ops::AdamW { schedule, total, clip: self.clip, beta1: BETA1, beta2: BETA2, eps: EPS };
        let leaves = y.chunks_exact_mut(5).enumerate().map(|(leaf, parts)| {
            let [weight, grad, first, second, ema] = all_mut(parts).each_mut().map(Held::whole_mut);
            AdamWLeaf { weight, grad, first, second, ema, decay: self.decay, rate: rate(leaf) }
        });
        d.b.adamw(op, leaves);
    }
}
