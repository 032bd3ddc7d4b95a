//! RMS norm, with and without a gradient that goes past it.

use super::prelude::*;
use hh_core::ops::NormGrad;

/// See [`ops::Norm`].
#[derive(Debug)]
pub struct Norm {
    /// `[B, T]`
    pub size: [usize; 2],
    /// `D`
    pub width: usize,
    /// A gradient goes past the norm.
    pub residual: bool,
}

const EPS: f32 = 1e-5;

fn op<T: Shaped>(x: &[Held<T>]) -> ops::Norm<'_, T> {
    ops::Norm { x: x[0].whole(), gain: x[1].whole(), eps: EPS }
}

impl Case for Norm {
    fn cases() -> Vec<Self> {
        SIZES.into_iter().flat_map(|size| [false, true].map(|residual| Self { size, width: 7, residual })).collect()
    }
    fn large() -> Vec<Self> {
        awkward().map(|(rows, width)| Self { size: [1, rows], width, residual: true }).collect()
    }
    fn bench() -> Vec<Self> {
        vec![Self { size: [8, 256], width: 256, residual: true }]
    }
    fn inputs(&self) -> Vec<Input> {
        let shape = Shape::cube(self.size[0], self.size[1], self.width);
        let mut all = vec![Input::activation("x", shape), Input::parameter("gain", Shape::vector(self.width))];
        all.extend(self.residual.then(|| Input::activation("residual", shape).constant()));
        all
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::new("y", self.inputs()[0].shape)]
    }
    fn formula(&self, x: &[Vec<f64>], _: Option<&mut State>) -> Vec<Vec<f64>> {
        let root = |row: &[f64]| (inner(row, row) / self.width as f64 + f64::from(EPS)).sqrt();
        let normed = |row: &[f64]| row.iter().zip(&x[1]).map(|(v, gain)| gain * v / root(row)).collect::<Vec<_>>();
        vec![x[0].chunks_exact(self.width).flat_map(normed).collect()]
    }
    fn objective(&self, x: &[Vec<f64>], y: &[Vec<f64>], dy: &[f64]) -> f64 {
        inner(&y[0], dy) + x.get(2).map_or(0.0, |residual| inner(residual, &x[0]))
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], _: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        d.b.norm(op(x), y[0].whole_mut());
    }
    fn backward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], done: Done<'_, B::Tensor>, grads: &mut [Held<B::Tensor>]) {
        let [dx, gain] = all_mut(grads);
        let grad = NormGrad { x: dx.whole_mut(), gain: gain.whole_mut() };
        d.b.norm_grad(op(x), done.dy.whole(), x.get(2).map(Held::whole), grad);
    }
}
