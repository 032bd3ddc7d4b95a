//! Points on the path from noise to the target's embedding.

use super::prelude::*;
use hh_core::ops::IGNORE;

/// See [`ops::FlowPoint`].
#[derive(Debug)]
pub struct FlowPoint {
    /// `[B, T]`
    pub size: [usize; 2],
    /// `V`
    pub vocab: usize,
    /// `E`
    pub width: usize,
}

impl FlowPoint {
    /// Every third target is none.
    fn targets(&self) -> Vec<u32> {
        let target = |i: usize| if i % 3 == 1 { IGNORE } else { ((self.vocab - 1 + i * 7) % self.vocab) as u32 };
        (0..self.size[0] * self.size[1]).map(target).collect()
    }
}

impl Case for FlowPoint {
    fn cases() -> Vec<Self> {
        SIZES.map(|size| Self { size, vocab: 11, width: 6 }).into()
    }
    fn large() -> Vec<Self> {
        AWKWARD.map(|width| Self { size: [1, 3], vocab: 5, width }).into()
    }
    fn bench() -> Vec<Self> {
        vec![Self { size: [8, 256], vocab: 65, width: 256 }]
    }
    fn inputs(&self) -> Vec<Input> {
        let [batch, time] = self.size;
        vec![
            Input::full("table", Shape::matrix(self.vocab, self.width)),
            Input::activation("noise", Shape::cube(batch, time, self.width)).constant(),
            Input::activation("time", Shape::cube(batch, time, 1)).constant(),
        ]
    }
    fn outputs(&self) -> Vec<Output> {
        ["point", "velocity"].map(|name| Output::new(name, self.inputs()[1].shape)).into()
    }
    fn tolerance_f64(&self) -> f64 {
        1e-14
    }
    fn exact_where_untouched(&self) -> bool {
        true
    }
    fn formula(&self, x: &[Vec<f64>], _: Option<&mut State>) -> Vec<Vec<f64>> {
        let width = self.width;
        let mut y = vec![vec![0.0; x[1].len()]; 2];
        for (row, target) in self.targets().into_iter().enumerate().filter(|&(_, target)| target != IGNORE) {
            let goal = &x[0][target as usize * width..][..width];
            let scale = (width as f64).sqrt() / (inner(goal, goal) + 1e-6).sqrt();
            for (i, goal) in goal.iter().enumerate() {
                let (noise, tau) = (x[1][row * width + i], x[2][row]);
                y[0][row * width + i] = (1.0 - tau) * noise + tau * scale * goal;
                y[1][row * width + i] = scale * goal - noise;
            }
        }
        y
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], _: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        let targets = d.indices(Shape::matrix(self.size[0], self.size[1]), &self.targets());
        let ([table, noise, time], [point, velocity]) = (all(x).each_ref().map(Held::whole), all_mut(y));
        d.b.flow_point(ops::FlowPoint { targets: &targets, table, noise, time }, point.whole_mut(), velocity.whole_mut());
    }
}
