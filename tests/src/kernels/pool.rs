//! The controller's running summary.

use super::prelude::*;
use hh_core::ops::PoolGrad;

/// See [`ops::Pool`].
#[derive(Debug)]
pub struct Pool {
    /// `[B, T]`
    pub size: [usize; 2],
    /// `C`
    pub width: usize,
}

fn op<T: Shaped>(x: &[Held<T>]) -> ops::Pool<'_, T> {
    ops::Pool { x: x[0].whole(), decay: x[1].whole() }
}

impl Case for Pool {
    fn cases() -> Vec<Self> {
        SIZES.map(|size| Self { size, width: 5 }).into()
    }
    fn large() -> Vec<Self> {
        let extents = [[1, 1, 1], [2, 3, 33], [3, 65, 128], [1, 130, 7], [2, 5, 3], [2, 9, 33], [1, 65, 5], [1, 1, 2]];
        extents.map(|[batch, time, width]| Self { size: [batch, time], width }).into()
    }
    fn bench() -> Vec<Self> {
        vec![Self { size: [8, 256], width: 128 }]
    }
    fn inputs(&self) -> Vec<Input> {
        let [batch, time] = self.size;
        vec![Input::activation("x", Shape::cube(batch, time, self.width)), Input::parameter("decay", Shape::vector(self.width))]
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::new("y", self.inputs()[0].shape)]
    }
    fn state(&self) -> Vec<Shape> {
        vec![Shape::matrix(self.size[0], self.width)]
    }
    fn formula(&self, x: &[Vec<f64>], mut state: Option<&mut State>) -> Vec<Vec<f64>> {
        let ([batch, time], w) = (self.size, self.width);
        let mut y = vec![0.0; batch * time * w];
        for (b, c) in (0..batch * w).map(|i| (i / w, i % w)) {
            let a = sigmoid(x[1][c]);
            let mut m = state.as_ref().map_or(0.0, |state| state.tensors[0][b * w + c]);
            for row in b * time..(b + 1) * time {
                m = a * m + (1.0 - a) * silu(x[0][row * w + c]);
                y[row * w + c] = m;
            }
            if let Some(state) = &mut state {
                state.tensors[0][b * w + c] = m;
            }
        }
        vec![y]
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], mode: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        d.b.pool(op(x), mode.state(), y[0].whole_mut());
    }
    fn backward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], done: Done<'_, B::Tensor>, grads: &mut [Held<B::Tensor>]) {
        let [dx, decay] = all_mut(grads);
        let grad = PoolGrad { x: dx.whole_mut(), decay: decay.whole_mut() };
        d.b.pool_grad(op(x), done.y[0].whole(), done.dy.whole(), grad);
    }
}
