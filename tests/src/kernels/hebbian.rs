//! The classic Hopfield memory: both associations, over two matrices a head.

use super::{
    heads::{Heads, patterns},
    prelude::*,
};
use hh_core::ops::{HebbianGrad, HebbianState};

/// See [`ops::Hebbian`].
#[derive(Debug)]
pub struct Hebbian {
    /// Extents.
    pub of: Heads,
    /// `K`
    pub depth: usize,
    /// Association "successor" rather than "same".
    pub successor: bool,
    /// One head forgets at once, γ = 0.27, one hands on to the next chunk what it holds, γ = 0.95; otherwise decays are the
    /// harness's. Longer memories are ill-conditioned.
    pub decays: bool,
}

impl Hebbian {
    /// Two heads of some width, long enough for tiles that are seen whole beside those that are not.
    pub fn with_heads(head_dim: usize) -> Self {
        let of = Heads { head_dim, ..Heads::small([1, 150]) };
        Self { of, depth: 3, successor: true, decays: true }
    }

    fn op<'a, T: Shaped>(&self, x: &'a [Held<T>]) -> ops::Hebbian<'a, T> {
        let (head_dim, successor) = (self.of.head_dim, self.successor);
        ops::Hebbian { qpv: x[0].columns(), depth: x[1].whole(), log_beta: x[2].whole(), decay: x[3].whole(), head_dim, successor }
    }
}

impl Case for Hebbian {
    fn cases() -> Vec<Self> {
        let of = |size| [true, false].map(|successor| Self { of: Heads::small(size), depth: 3, successor, decays: true });
        SIZES.into_iter().flat_map(of).collect()
    }
    fn large() -> Vec<Self> {
        let mut all = vec![];
        for successor in [true, false] {
            all.extend(Heads::large().enumerate().map(|(i, of)| Self { of, depth: 1 + i % 3, successor, decays: false }));
            let tiny = Heads { batch: 2, time: 6, heads: 2, head_dim: 3 };
            all.extend([1, 2, 3].map(|depth| Self { of: tiny, depth, successor, decays: false }));
        }
        all
    }
    fn bench() -> Vec<Self> {
        vec![Self { of: Heads::bench(), depth: 2, successor: true, decays: false }]
    }
    fn tolerance(&self) -> f64 {
        // The gradient of the decay is a difference of two sums that each grow with time.
        5e-4
    }
    fn inputs(&self) -> Vec<Input> {
        let Heads { batch, time, heads, .. } = self.of;
        let decay = Input::parameter("decay", Shape::vector(heads));
        vec![
            Input::columns("qpv", self.of.packed(3)),
            Input::activation("depth", Shape::cube(batch, time, self.depth)),
            Input::parameter("log_beta", Shape::vector(heads)),
            if self.decays { decay.with(vec![-1.0, 3.0]) } else { decay },
        ]
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::columns("y", self.of.packed(1))]
    }
    fn state(&self) -> Vec<Shape> {
        let w = self.of.width();
        vec![Shape::cube(self.of.batch, 2 * w, self.of.head_dim), Shape::matrix(self.of.batch, w)]
    }
    fn formula(&self, x: &[Vec<f64>], state: Option<&mut State>) -> Vec<Vec<f64>> {
        let (of, d, w) = (self.of, self.of.head_dim, self.of.width());
        let before = state.as_ref().map(|state| (*state).clone());
        let [keys, last] = patterns(of, &x[0], self.successor, before.as_ref().map(|s| &s.tensors[1][..]));
        let gamma = |column: usize| sigmoid(x[3][column / d]);
        // Row `i` of the matrix that a head had before the chunk: patterns with patterns (0) or with values (1).
        let matrix = |b: usize, half: usize, column: usize, i: usize| {
            before.as_ref().map(|s| &s.tensors[0][((b * 2 + half) * w + column + i) * d..][..d])
        };
        let key = |b: usize, t: usize, column: usize| &keys[(b * of.time + t) * w + column..][..d];
        let mut y = vec![];
        for (b, t, column) in of.queries() {
            let (beta, gamma) = (x[2][column / d].exp(), gamma(column));
            let mut xi = unit(of.part(&x[0], b, t, column, 0));
            let mut sum = vec![0.0; d];
            for weight in softmax(&x[1][(b * of.time + t) * self.depth..][..self.depth]) {
                let mut pull = vec![0.0; d];
                for j in 0..=t {
                    let s = gamma.powi((t - j) as i32) * inner(&xi, key(b, j, column));
                    add_scaled(&mut sum, weight * s, of.part(&x[0], b, j, column, 2));
                    add_scaled(&mut pull, s, key(b, j, column));
                }
                for (i, xi) in xi.iter().enumerate() {
                    let s = gamma.powi(t as i32 + 1) * xi;
                    if let [Some(of_patterns), Some(of_values)] = [0, 1].map(|half| matrix(b, half, column, i)) {
                        add_scaled(&mut sum, weight * s, of_values);
                        add_scaled(&mut pull, s, of_patterns);
                    }
                }
                xi.iter_mut().zip(pull).for_each(|(xi, pull)| *xi += (beta * pull).tanh());
                xi = unit(&xi);
            }
            y.extend(sum);
        }
        if let Some(state) = state {
            let decay = |column: usize| gamma(column).powi(of.time as i32);
            for (b, half, row) in (0..of.batch * 2 * w).map(|i| (i / w / 2, i / w % 2, i % w)) {
                let (column, i) = (row / d * d, row % d);
                let to = &mut state.tensors[0][((b * 2 + half) * w + row) * d..][..d];
                to.iter_mut().for_each(|m| *m *= decay(column));
                for t in 0..of.time {
                    let with = if half == 0 { key(b, t, column) } else { of.part(&x[0], b, t, column, 2) };
                    add_scaled(to, gamma(column).powi((of.time - 1 - t) as i32) * key(b, t, column)[i], with);
                }
            }
            state.tensors[1] = last;
        }
        vec![y]
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], mode: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        let state = mode.split().0.map(|(state, _)| {
            let [matrices, last] = all_mut(state);
            HebbianState { matrices, last }
        });
        d.b.hebbian(self.op(x), state, y[0].columns_mut());
    }
    fn backward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], done: Done<'_, B::Tensor>, grads: &mut [Held<B::Tensor>]) {
        let [qpv, depth, log_beta, decay] = all_mut(grads);
        let (depth, log_beta, decay) = (depth.whole_mut(), log_beta.whole_mut(), decay.whole_mut());
        d.b.hebbian_grad(self.op(x), done.dy.columns(), HebbianGrad { qpv: qpv.columns_mut(), depth, log_beta, decay });
    }
}
