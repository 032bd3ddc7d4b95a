//! Cross-entropy through the output table, in parts of any size, with rows that are not scored.

use super::prelude::*;
use hh_core::{
    backend::Precision,
    ops::{CrossEntropyGrad, IGNORE},
};

/// Which rows have a target.
#[derive(Clone, Copy, Debug)]
pub enum Scored {
    /// All of them.
    All,
    /// All but every `n`th.
    AllBut(usize),
    /// Every `n`th.
    Every(usize),
    /// The last of long runs.
    RunEnds,
    /// Every 16th, and the last.
    FewAndLast,
    /// None.
    None,
}

/// See [`ops::CrossEntropy`].
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy {
    /// `[B, T]`
    pub size: [usize; 2],
    /// `E`
    pub width: usize,
    /// `V`
    pub vocab: usize,
    /// Rows at a time.
    pub chunk: usize,
    /// Which rows have a target.
    pub scored: Scored,
    /// With what another source of tokens adds.
    pub mixture: bool,
    /// ε of label smoothing.
    pub smoothing: f32,
    /// λ of the z-loss.
    pub z_weight: f32,
    /// What the loss is multiplied by.
    pub scale: f32,
}

impl CrossEntropy {
    fn small(size: [usize; 2], chunk: usize, scored: Scored) -> Self {
        Self { size, width: 6, vocab: 11, chunk, scored, mixture: false, smoothing: 0.125, z_weight: 0.25, scale: 0.5 }
    }

    fn rows(&self, width: usize) -> Shape {
        Shape::cube(self.size[0], self.size[1], width)
    }

    fn targets(&self) -> Vec<u32> {
        let last = self.size[0] * self.size[1] - 1;
        let scored = |row: usize| match self.scored {
            Scored::All => true,
            Scored::AllBut(n) => row % n != 1,
            Scored::Every(n) => row % n == 2 % n,
            Scored::RunEnds => row % 30 > 26,
            Scored::FewAndLast => row % 16 == 2 || row == last,
            Scored::None => false,
        };
        (0..=last).map(|row| if scored(row) { (row * 31 % self.vocab) as u32 } else { IGNORE }).collect()
    }

    /// Runs one of the two kernels on the op and scratch full of NaN.
    fn run<B: Testable>(
        &self,
        d: &mut Desk<B>,
        x: &[Held<B::Tensor>],
        kernel: impl FnOnce(&mut Desk<B>, ops::CrossEntropy<B::Tensor, B::Indices>, &mut B::Tensor),
    ) {
        let targets = d.indices(Shape::matrix(self.size[0], self.size[1]), &self.targets());
        let mut scratch = d.scratch(Shape::matrix(self.chunk, self.vocab));
        let (x, table, mixture) = (x[0].whole(), x[1].whole(), x.get(2).map(Held::whole));
        let Self { smoothing, z_weight, scale, .. } = *self;
        kernel(d, ops::CrossEntropy { x, table, targets: &targets, mixture, smoothing, z_weight, scale }, &mut scratch);
    }
}

impl Case for CrossEntropy {
    fn cases() -> Vec<Self> {
        let of = |size| [4, 1000].map(|chunk| Self::small(size, chunk, Scored::AllBut(3)));
        let mut all: Vec<_> = SIZES.into_iter().flat_map(of).collect();
        all.push(Self::small([1, 3], 2, Scored::None));
        all.extend(all.clone().into_iter().map(|of| Self { mixture: true, ..of }));
        all
    }
    fn large() -> Vec<Self> {
        let scored = [Scored::All, Scored::AllBut(7), Scored::Every(16), Scored::RunEnds];
        let shapes = [(1, 3, 5, 1), (3, 1, 63, 8), (63, 65, 65, 17), (65, 17, 500, 65), (17, 63, 3, 4)];
        let of = |(rows, width, vocab, chunk), scored| Self {
            size: [1, rows],
            width,
            vocab,
            chunk,
            scored,
            mixture: matches!(scored, Scored::AllBut(_)),
            smoothing: 0.125,
            z_weight: 0.0625,
            scale: 1.0,
        };
        let mut all: Vec<_> = shapes.into_iter().flat_map(|shape| scored.map(|scored| of(shape, scored))).collect();
        // Among many rows that are not scored the others keep their places.
        all.extend([1, 3, 64].map(|chunk| of((130, 2, 13, chunk), Scored::FewAndLast)));
        all
    }
    fn bench() -> Vec<Self> {
        vec![Self { size: [8, 256], width: 256, vocab: 65, chunk: 2048, ..Self::small([8, 256], 2048, Scored::All) }]
    }
    fn tolerance_f64(&self) -> f64 {
        1e-13
    }
    fn exact_where_untouched(&self) -> bool {
        true
    }
    fn inputs(&self) -> Vec<Input> {
        let mut all = vec![Input::activation("x", self.rows(self.width)), Input::parameter("table", Shape::matrix(self.vocab, self.width))];
        if self.mixture {
            all.push(Input { precision: Precision::Full, ..Input::activation("mixture", self.rows(2)) });
        }
        all
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::new("losses", self.rows(3))]
    }
    fn formula(&self, x: &[Vec<f64>], _: Option<&mut State>) -> Vec<Vec<f64>> {
        let row = |(i, (x_row, &target)): (usize, (&[f64], &u32))| {
            if target == IGNORE {
                return [0.0; 3];
            }
            let logits: Vec<f64> = x[1].chunks_exact(self.width).map(|column| inner(x_row, column)).collect();
            let lse = logits.iter().map(|l| l.exp()).sum::<f64>().ln();
            let own = lse - logits[target as usize];
            let nll = x.get(2).map_or(own, |m| -((m[2 * i] - own).exp() + m[2 * i + 1].exp()).ln());
            [nll, lse * lse, lse - logits.iter().sum::<f64>() / self.vocab as f64]
        };
        vec![x[0].chunks_exact(self.width).zip(&self.targets()).enumerate().flat_map(row).collect()]
    }
    fn objective(&self, _: &[Vec<f64>], y: &[Vec<f64>], _: &[f64]) -> f64 {
        let [smoothing, z_weight, scale] = [self.smoothing, self.z_weight, self.scale].map(f64::from);
        let sum: f64 = y[0].chunks_exact(3).map(|l| (1.0 - smoothing) * l[0] + z_weight * l[1] + smoothing * l[2]).sum();
        scale * sum / self.targets().iter().filter(|&&t| t != IGNORE).count().max(1) as f64
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], _: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        self.run(d, x, |d, op, scratch| d.b.cross_entropy(op, scratch, y[0].whole_mut()));
    }
    fn backward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], _: Done<'_, B::Tensor>, grads: &mut [Held<B::Tensor>]) {
        let [dx, table, mixture @ ..] = grads else { unreachable!("as many gradients as inputs") };
        let mut losses = d.poisoned(self.rows(3));
        let grad =
            CrossEntropyGrad { x: Some(dx.whole_mut()), table: Some(table.whole_mut()), mixture: mixture.first_mut().map(Held::whole_mut) };
        self.run(d, x, |d, op, scratch| d.b.cross_entropy_grad(op, scratch, &mut losses, grad));
        d.again(0, &losses);
    }
}
