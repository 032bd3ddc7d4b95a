//! The weighted sum over a sequence's positions, into rows of a tensor whose other rows stay.

use super::prelude::*;

/// See [`ops::Average`].
#[derive(Debug)]
pub struct Average {
    /// `[B, T]`
    pub size: [usize; 2],
    /// `D`
    pub width: usize,
    /// Row of the first sequence.
    pub first: usize,
}

impl Average {
    fn op<'a, T: Shaped>(&self, x: &'a [Held<T>]) -> ops::Average<'a, T> {
        ops::Average { x: x[0].whole(), weights: x[1].whole(), first: self.first }
    }
}

impl Case for Average {
    fn cases() -> Vec<Self> {
        SIZES.into_iter().flat_map(|size| [0, 2].map(|first| Self { size, width: 6, first })).collect()
    }
    fn bench() -> Vec<Self> {
        vec![Self { size: [8, 256], width: 256, first: 0 }]
    }
    fn inputs(&self) -> Vec<Input> {
        let [batch, time] = self.size;
        let weights = Shape::cube(batch, time, 1);
        // Some of them zero, as where a row is filled up.
        let values = (0..weights.count()).map(|i| if i % 3 == 2 { 0.0 } else { (i % 7) as f32 / 8.0 - 0.25 }).collect();
        vec![
            Input::activation("x", Shape::cube(batch, time, self.width)),
            Input::full("weights", weights).with(values),
            Input::activation("y before", self.outputs()[0].shape).constant(),
        ]
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::new("y", Shape::matrix(self.size[0] + 3, self.width))]
    }
    fn formula(&self, x: &[Vec<f64>], _: Option<&mut State>) -> Vec<Vec<f64>> {
        let ([batch, time], width) = (self.size, self.width);
        let mut y = x[2].clone();
        for b in 0..batch {
            let y = &mut y[(self.first + b) * width..][..width];
            y.fill(0.0);
            (b * time..(b + 1) * time).for_each(|row| add_scaled(y, x[1][row], &x[0][row * width..][..width]));
        }
        vec![y]
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], _: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        start_from(d, &x[2], &mut y[0]);
        d.b.average(self.op(x), y[0].whole_mut());
    }
    fn backward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], done: Done<'_, B::Tensor>, grads: &mut [Held<B::Tensor>]) {
        d.b.average_grad(self.op(x), done.dy.whole(), grads[0].whole_mut());
    }
}
