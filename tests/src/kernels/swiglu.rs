//! The feed-forward gate.

use super::prelude::*;

/// See [`ops::Swiglu`].
#[derive(Debug)]
pub struct Swiglu {
    /// `[B, T]`
    pub size: [usize; 2],
    /// `F`
    pub width: usize,
}

impl Case for Swiglu {
    fn cases() -> Vec<Self> {
        SIZES.map(|size| Self { size, width: 5 }).into()
    }
    fn large() -> Vec<Self> {
        awkward().map(|(rows, width)| Self { size: [1, rows], width }).collect()
    }
    fn bench() -> Vec<Self> {
        vec![Self { size: [8, 256], width: 496 }]
    }
    fn inputs(&self) -> Vec<Input> {
        vec![Input::activation("packed", Shape::cube(self.size[0], self.size[1], 2 * self.width))]
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::new("y", Shape::cube(self.size[0], self.size[1], self.width))]
    }
    fn formula(&self, x: &[Vec<f64>], _: Option<&mut State>) -> Vec<Vec<f64>> {
        let gated = |row: &[f64]| (0..self.width).map(|i| silu(row[i]) * row[self.width + i]).collect::<Vec<_>>();
        vec![x[0].chunks_exact(2 * self.width).flat_map(gated).collect()]
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], _: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        d.b.swiglu(ops::Swiglu { packed: x[0].whole() }, y[0].whole_mut());
    }
    fn backward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], done: Done<'_, B::Tensor>, grads: &mut [Held<B::Tensor>]) {
        d.b.swiglu_grad(ops::Swiglu { packed: x[0].whole() }, done.dy.whole(), grads[0].whole_mut());
    }
}
