//! The mixer of the paths.

use super::prelude::*;
use hh_core::ops::MixGrad;

/// See [`ops::Mix`].
#[derive(Debug)]
pub struct Mix {
    /// `[B, T]`
    pub size: [usize; 2],
    /// Widths of the paths; 0 is off.
    pub widths: [usize; 3],
    /// With gates.
    pub gates: bool,
    /// Each path is normalised.
    pub norm: bool,
}

const EPS: f32 = 1e-5;

impl Mix {
    fn on(&self) -> Vec<usize> {
        self.widths.into_iter().filter(|&w| w > 0).collect()
    }

    fn op<'a, T: Shaped>(&self, x: &'a [Held<T>]) -> ops::Mix<'a, T> {
        let gates = x.get(2).map(Held::whole);
        ops::Mix { paths: x[0].whole(), gain: x[1].whole(), gates, widths: self.widths, norm: self.norm, eps: EPS }
    }
}

impl Case for Mix {
    fn cases() -> Vec<Self> {
        let kinds = [([4, 2, 6], true, true), ([4, 0, 6], false, true), ([0, 5, 3], true, false)];
        SIZES.into_iter().flat_map(|size| kinds.map(|(widths, gates, norm)| Self { size, widths, gates, norm })).collect()
    }
    fn large() -> Vec<Self> {
        let extents = [([1, 1], [1, 2, 3]), ([2, 65], [40, 0, 33]), ([3, 130], [160, 64, 64]), ([1, 63], [0, 0, 7]), ([2, 3], [3, 2, 4])];
        let kinds = [(true, true), (true, false), (false, true), (false, false)];
        extents.into_iter().flat_map(|(size, widths)| kinds.map(|(gates, norm)| Self { size, widths, gates, norm })).collect()
    }
    fn bench() -> Vec<Self> {
        vec![Self { size: [8, 256], widths: [160, 64, 64], gates: true, norm: true }]
    }
    fn inputs(&self) -> Vec<Input> {
        let ([batch, time], w) = (self.size, self.widths.iter().sum());
        let mut all = vec![Input::activation("paths", Shape::cube(batch, time, w)), Input::parameter("gain", Shape::vector(w))];
        all.extend(self.gates.then(|| Input::activation("gates", Shape::cube(batch, time, self.on().len()))));
        all
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::new("y", self.inputs()[0].shape)]
    }
    fn formula(&self, x: &[Vec<f64>], _: Option<&mut State>) -> Vec<Vec<f64>> {
        let (widths, mut y) = (self.on(), vec![]);
        let width: usize = widths.iter().sum();
        for (row, paths) in x[0].chunks_exact(width).enumerate() {
            let mut start = 0;
            for (i, &w) in widths.iter().enumerate() {
                let path = &paths[start..][..w];
                let scale = if self.norm { 1.0 / (inner(path, path) / w as f64 + f64::from(EPS)).sqrt() } else { 1.0 };
                let gate = x.get(2).map_or(1.0, |gates| gates[row * widths.len() + i]);
                y.extend(path.iter().zip(&x[1][start..]).map(|(x, gain)| gate * gain * x * scale));
                start += w;
            }
        }
        vec![y]
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], _: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        d.b.mix(self.op(x), y[0].whole_mut());
    }
    fn backward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], done: Done<'_, B::Tensor>, grads: &mut [Held<B::Tensor>]) {
        let [paths, gain, gates @ ..] = grads else { unreachable!("as many gradients as inputs") };
        let gates = gates.first_mut().map(Held::whole_mut);
        d.b.mix_grad(self.op(x), done.dy.whole(), MixGrad { paths: paths.whole_mut(), gain: gain.whole_mut(), gates });
    }
}
