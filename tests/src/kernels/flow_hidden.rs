//! The hidden layer of the flow head.

use super::prelude::*;
use hh_core::ops::FlowHiddenGrad;

/// See [`ops::FlowHidden`].
#[derive(Debug)]
pub struct FlowHidden {
    /// `[B, T]`
    pub size: [usize; 2],
    /// `R`
    pub width: usize,
}

fn op<T: Shaped>(x: &[Held<T>]) -> ops::FlowHidden<'_, T> {
    let [x, time, weight] = all(x).each_ref().map(Held::whole);
    ops::FlowHidden { x, time, weight }
}

impl Case for FlowHidden {
    fn cases() -> Vec<Self> {
        SIZES.map(|size| Self { size, width: 6 }).into()
    }
    fn large() -> Vec<Self> {
        awkward().map(|(rows, width)| Self { size: [1, rows], width }).collect()
    }
    fn bench() -> Vec<Self> {
        vec![Self { size: [8, 256], width: 512 }]
    }
    fn inputs(&self) -> Vec<Input> {
        let [batch, time] = self.size;
        vec![
            Input::activation("x", Shape::cube(batch, time, self.width)),
            Input::activation("time", Shape::cube(batch, time, 1)).constant(),
            Input::parameter("weight", Shape::vector(self.width)),
        ]
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::new("y", self.inputs()[0].shape)]
    }
    fn formula(&self, x: &[Vec<f64>], _: Option<&mut State>) -> Vec<Vec<f64>> {
        vec![(0..x[0].len()).map(|i| silu(x[0][i] + x[1][i / self.width] * x[2][i % self.width])).collect()]
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], _: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        d.b.flow_hidden(op(x), y[0].whole_mut());
    }
    fn backward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], done: Done<'_, B::Tensor>, grads: &mut [Held<B::Tensor>]) {
        let [dx, weight] = all_mut(grads);
        d.b.flow_hidden_grad(op(x), done.dy.whole(), FlowHiddenGrad { x: dx.whole_mut(), weight: weight.whole_mut() });
    }
}
