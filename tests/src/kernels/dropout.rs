//! Dropout in place, with and without a residual.

use super::prelude::*;
use hh_core::{ops::Draw, rng};

/// See [`ops::Dropout`].
#[derive(Debug)]
pub struct Dropout {
    /// `[B, T]`
    pub size: [usize; 2],
    /// Width of a row.
    pub width: usize,
    /// With a residual.
    pub residual: bool,
}

const KEY: [u32; 4] = [3, u32::MAX, 1 << 31, 5];
const SITE: u32 = (1 << 31) + 3;
const RATE: f32 = 0.25;

impl Case for Dropout {
    fn cases() -> Vec<Self> {
        SIZES.into_iter().flat_map(|size| [false, true].map(|residual| Self { size, width: 9, residual })).collect()
    }
    fn large() -> Vec<Self> {
        AWKWARD.map(|rows| Self { size: [1, rows], width: 67, residual: true }).into()
    }
    fn bench() -> Vec<Self> {
        vec![Self { size: [8, 256], width: 256, residual: true }]
    }
    fn inputs(&self) -> Vec<Input> {
        let shape = Shape::cube(self.size[0], self.size[1], self.width);
        let mut all = vec![Input::activation("y before", shape)];
        // The gradient of the residual is dy itself.
        all.extend(self.residual.then(|| Input::activation("residual", shape).constant()));
        all
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::new("y", self.inputs()[0].shape)]
    }
    fn formula(&self, x: &[Vec<f64>], _: Option<&mut State>) -> Vec<Vec<f64>> {
        let factor = |i: usize| if rng::uniform(KEY, SITE, i as u32) >= RATE { 1.0 / (1.0 - f64::from(RATE)) } else { 0.0 };
        let residual = |i: usize| x.get(1).map_or(0.0, |residual| residual[i]);
        vec![x[0].iter().enumerate().map(|(i, before)| residual(i) + factor(i) * before).collect()]
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], _: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        let key = d.indices(Shape::vector(4), &KEY);
        start_from(d, &x[0], &mut y[0]);
        let op = ops::Dropout { residual: x.get(1).map(Held::whole), rate: RATE, draw: Draw { key: &key, site: SITE } };
        d.b.dropout(op, y[0].whole_mut());
    }
    fn backward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], done: Done<'_, B::Tensor>, grads: &mut [Held<B::Tensor>]) {
        let key = d.indices(Shape::vector(4), &KEY);
        let op = ops::Dropout { residual: x.get(1).map(Held::whole), rate: RATE, draw: Draw { key: &key, site: SITE } };
        d.b.dropout_grad(op, done.dy.whole(), grads[0].whole_mut());
    }
}
