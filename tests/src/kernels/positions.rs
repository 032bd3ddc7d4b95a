//! Learned absolute positions, from the first row on and after some positions.

use super::prelude::*;

/// See [`ops::Positions`].
#[derive(Debug)]
pub struct Positions {
    /// `[B, T]`
    pub size: [usize; 2],
    /// `D`
    pub width: usize,
    /// How many positions came before; `None` where the kernel is given no clock.
    pub clock: Option<u32>,
}

impl Positions {
    fn shape(&self) -> Shape {
        Shape::cube(self.size[0], self.size[1], self.width)
    }
    fn first(&self) -> usize {
        self.clock.unwrap_or(0) as usize
    }
}

impl Case for Positions {
    fn cases() -> Vec<Self> {
        SIZES.into_iter().flat_map(|size| [None, Some(9)].map(|clock| Self { size, width: 6, clock })).collect()
    }
    fn large() -> Vec<Self> {
        awkward().map(|(time, width)| Self { size: [2, time], width, clock: Some(5) }).collect()
    }
    fn bench() -> Vec<Self> {
        vec![Self { size: [8, 256], width: 256, clock: None }]
    }
    fn inputs(&self) -> Vec<Input> {
        let rows = self.first() + self.size[1] + 1;
        // The gradient of what positions are added to is dy itself.
        vec![Input::parameter("table", Shape::matrix(rows, self.width)), Input::activation("y before", self.shape()).constant()]
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::new("y", self.shape())]
    }
    fn formula(&self, x: &[Vec<f64>], _: Option<&mut State>) -> Vec<Vec<f64>> {
        let rows = &x[0][self.first() * self.width..][..self.size[1] * self.width];
        vec![x[1].iter().zip(rows.iter().cycle()).map(|(y, row)| y + row).collect()]
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], _: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        let ([table, before], clock) = (all(x), self.clock.map(|at| d.clock(at)));
        start_from(d, before, &mut y[0]);
        d.b.positions(ops::Positions { table: table.whole(), clock: clock.as_ref() }, y[0].whole_mut());
    }
    fn backward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], done: Done<'_, B::Tensor>, grads: &mut [Held<B::Tensor>]) {
        let clock = self.clock.map(|at| d.clock(at));
        let op = ops::Positions { table: x[0].whole(), clock: clock.as_ref() };
        d.b.positions_grad(op, done.dy.whole(), grads[0].whole_mut());
    }
}
