//! Rotary positions in place, either way round.

use super::{heads::Heads, prelude::*};

/// See [`ops::Rotate`].
#[derive(Debug)]
pub struct Rotate {
    /// Extents.
    pub of: Heads,
    /// How many positions came before; `None` where the kernel is given no clock.
    pub clock: Option<u32>,
    /// Turns the other way.
    pub inverse: bool,
}

impl Rotate {
    fn turn<B: Testable>(&self, d: &mut Desk<B>, inverse: bool, from: &Held<B::Tensor>, to: &mut Held<B::Tensor>) {
        let clock = self.clock.map(|at| d.clock(at));
        start_from(d, from, to);
        let op = ops::Rotate { clock: clock.as_ref(), head_dim: self.of.head_dim, base: 10_000.0, inverse };
        d.b.rotate(op, to.columns_mut());
    }

    fn shape(&self) -> Shape {
        self.of.packed(1)
    }
}

impl Case for Rotate {
    fn cases() -> Vec<Self> {
        let kinds = [(None, false), (Some(100_003), false), (None, true), (Some(5), true)];
        let of = |size| kinds.map(|(clock, inverse)| Self { of: Heads::small(size), clock, inverse });
        SIZES.into_iter().flat_map(of).collect()
    }
    fn large() -> Vec<Self> {
        Heads::large().flat_map(|of| [0, 5, 1000].map(|clock| Self { of, clock: Some(clock), inverse: false })).collect()
    }
    fn bench() -> Vec<Self> {
        vec![Self { of: Heads::bench(), clock: None, inverse: false }]
    }
    fn tolerance(&self) -> f64 {
        // Beyond 2¹⁶ positions the angle itself has lost digits in f32.
        if self.clock.is_some_and(|at| at > 1 << 16) { 2e-5 } else { 2e-6 }
    }
    fn inputs(&self) -> Vec<Input> {
        vec![Input::columns("x", self.shape())]
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::columns("x", self.shape())]
    }
    fn formula(&self, x: &[Vec<f64>], _: Option<&mut State>) -> Vec<Vec<f64>> {
        let (d, half) = (self.of.head_dim, self.of.head_dim / 2);
        let way = if self.inverse { -1.0 } else { 1.0 };
        let mut y = vec![];
        for (head, x) in x[0].chunks_exact(d).enumerate() {
            let position = f64::from(self.clock.unwrap_or(0)) + (head / self.of.heads % self.of.time) as f64;
            let angle = |i: usize| way * position * 10_000f64.powf(-2.0 * i as f64 / d as f64);
            y.extend((0..half).map(|i| x[i] * angle(i).cos() - x[half + i] * angle(i).sin()));
            y.extend((0..half).map(|i| x[i] * angle(i).sin() + x[half + i] * angle(i).cos()));
        }
        vec![y]
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], _: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        self.turn(d, self.inverse, &x[0], &mut y[0]);
    }
    fn backward<B: Testable>(&self, d: &mut Desk<B>, _: &[Held<B::Tensor>], done: Done<'_, B::Tensor>, grads: &mut [Held<B::Tensor>]) {
        self.turn(d, !self.inverse, done.dy, &mut grads[0]);
    }
}
