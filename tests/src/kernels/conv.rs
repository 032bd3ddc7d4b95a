//! The causal convolution.

use super::prelude::*;
use hh_core::ops::ConvGrad;

/// See [`ops::Conv`].
#[derive(Debug)]
pub struct Conv {
    /// `[B, T]`
    pub size: [usize; 2],
    /// `w`
    pub width: usize,
    /// `k`
    pub taps: usize,
}

fn op<T: Shaped>(x: &[Held<T>]) -> ops::Conv<'_, T> {
    ops::Conv { x: x[0].columns(), weight: x[1].whole(), bias: x[2].whole() }
}

impl Case for Conv {
    /// Channels that fill no vector, and that a device takes four at a time.
    fn cases() -> Vec<Self> {
        let kinds = [(4, 6), (1, 6), (7, 6), (3, 8), (7, 8)];
        SIZES.into_iter().flat_map(|size| kinds.map(|(taps, width)| Self { size, width, taps })).collect()
    }
    fn large() -> Vec<Self> {
        let extents = RECURRENT.into_iter().chain([[2, 5, 3], [2, 9, 33], [1, 65, 5], [1, 1, 2]]);
        extents.flat_map(|[batch, time, width]| [1, 2, 4].map(|taps| Self { size: [batch, time], width, taps })).collect()
    }
    fn bench() -> Vec<Self> {
        vec![Self { size: [8, 256], width: 160, taps: 4 }]
    }
    fn inputs(&self) -> Vec<Input> {
        vec![
            Input::columns("x", Shape::cube(self.size[0], self.size[1], self.width)),
            Input::parameter("weight", Shape::matrix(self.width, self.taps)),
            Input::parameter("bias", Shape::vector(self.width)),
        ]
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::new("y", Shape::cube(self.size[0], self.size[1], self.width))]
    }
    fn state(&self) -> Vec<Shape> {
        vec![Shape::cube(self.size[0], self.taps - 1, self.width)]
    }
    fn formula(&self, x: &[Vec<f64>], state: Option<&mut State>) -> Vec<Vec<f64>> {
        let ([batch, time], w, k) = (self.size, self.width, self.taps);
        let past = state.as_ref().map(|state| state.tensors[0].clone());
        // Channel `c` of a position of the chunk, or, `k − 1` positions before it, of the state.
        let input = |b: usize, t: usize, c: usize| match t.checked_sub(k - 1) {
            Some(t) => x[0][(b * time + t) * w + c],
            None => past.as_ref().map_or(0.0, |past| past[(b * (k - 1) + t) * w + c]),
        };
        let mut y = vec![];
        for (b, t, c) in (0..batch * time * w).map(|i| (i / w / time, i / w % time, i % w)) {
            y.push(silu(x[2][c] + (0..k).map(|i| x[1][c * k + i] * input(b, t + i, c)).sum::<f64>()));
        }
        if let Some(state) = state {
            let newest = (0..batch * (k - 1) * w).map(|i| (i / w / (k - 1), i / w % (k - 1), i % w));
            state.tensors[0] = newest.map(|(b, t, c)| input(b, time + t, c)).collect();
        }
        vec![y]
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], mode: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        d.b.conv(op(x), mode.state(), y[0].whole_mut());
    }
    fn backward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], done: Done<'_, B::Tensor>, grads: &mut [Held<B::Tensor>]) {
        let [dx, weight, bias] = all_mut(grads);
        let grad = ConvGrad { x: dx.columns_mut(), weight: weight.whole_mut(), bias: bias.whole_mut() };
        d.b.conv_grad(op(x), done.dy.whole(), grad);
    }
}
