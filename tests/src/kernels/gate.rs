//! The gates of the paths.

use super::prelude::*;
use hh_core::ops::GateGrad;

/// See [`ops::Gate`].
#[derive(Debug)]
pub struct Gate {
    /// `[B, T]`
    pub size: [usize; 2],
    /// `G`
    pub hidden: usize,
    /// Which paths are on.
    pub on: [bool; 3],
    /// With a controller's columns.
    pub control: bool,
}

impl Gate {
    fn paths(&self) -> usize {
        self.on.iter().filter(|&&on| on).count()
    }

    fn op<'a, T: Shaped>(&self, x: &'a [Held<T>]) -> ops::Gate<'a, T> {
        ops::Gate { hidden: x[0].whole(), weight: x[1].whole(), bias: x[2].whole(), control: x.get(3).map(Held::columns), on: self.on }
    }
}

impl Case for Gate {
    fn cases() -> Vec<Self> {
        let kinds = [([true; 3], true), ([true, false, true], true), ([false, true, true], false)];
        SIZES.into_iter().flat_map(|size| kinds.map(|(on, control)| Self { size, hidden: 5, on, control })).collect()
    }
    fn large() -> Vec<Self> {
        let on = [[true, true, true], [true, false, true], [false, true, true], [true, true, false]];
        let kinds = on.into_iter().flat_map(|on| [false, true].map(|control| (on, control)));
        let extents = [([1, 1], 1), ([2, 3], 64), ([3, 65], 33), ([1, 130], 128), ([2, 3], 5)];
        kinds.flat_map(|(on, control)| extents.map(|(size, hidden)| Self { size, hidden, on, control })).collect()
    }
    fn bench() -> Vec<Self> {
        vec![Self { size: [8, 256], hidden: 64, on: [true; 3], control: true }]
    }
    fn inputs(&self) -> Vec<Input> {
        let ([batch, time], n) = (self.size, self.paths());
        let mut all = vec![
            Input::activation("hidden", Shape::cube(batch, time, self.hidden)),
            Input::parameter("weight", Shape::matrix(n, self.hidden)),
            Input::parameter("bias", Shape::vector(n)),
        ];
        all.extend(self.control.then(|| Input::columns("control", Shape::cube(batch, time, 3))));
        all
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::new("gates", Shape::cube(self.size[0], self.size[1], self.paths()))]
    }
    fn formula(&self, x: &[Vec<f64>], _: Option<&mut State>) -> Vec<Vec<f64>> {
        let (g, n) = (self.hidden, self.paths());
        let columns: Vec<usize> = (0..3).filter(|&i| self.on[i]).collect();
        let mut y = vec![];
        for (row, hidden) in x[0].chunks_exact(g).enumerate() {
            let logit = |i: usize| {
                let sum: f64 = hidden.iter().zip(&x[1][i * g..]).map(|(h, w)| silu(*h) * w).sum();
                sum + x[2][i] + x.get(3).map_or(0.0, |control| control[row * 3 + columns[i]])
            };
            y.extend(softmax(&(0..n).map(logit).collect::<Vec<_>>()).into_iter().map(|p| n as f64 * p));
        }
        vec![y]
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], _: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        d.b.gate(self.op(x), y[0].whole_mut());
    }
    fn backward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], done: Done<'_, B::Tensor>, grads: &mut [Held<B::Tensor>]) {
        let [hidden, weight, bias, control @ ..] = grads else { unreachable!("as many gradients as inputs") };
        let control = control.first_mut().map(Held::columns_mut);
        let grad = GateGrad { hidden: hidden.whole_mut(), weight: weight.whole_mut(), bias: bias.whole_mut(), control };
        d.b.gate_grad(self.op(x), done.y[0].whole(), done.dy.whole(), grad);
    }
}
