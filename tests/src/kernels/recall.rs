//! The modern Hopfield memory: both associations, with and without slots and a window, over a ring.

use super::{
    heads::{Heads, Items, patterns},
    prelude::*,
};
use hh_core::ops::{RecallGrad, RecallSaved, RecallState, Ring, Slots, SlotsGrad};

/// See [`ops::Recall`].
#[derive(Clone, Copy, Debug)]
pub struct Recall {
    /// Extents.
    pub of: Heads,
    /// `K`
    pub depth: usize,
    /// Learned items.
    pub slots: usize,
    /// How many items a query sees, slots not counted; 0 means all.
    pub window: usize,
    /// Association "successor" rather than "same".
    pub successor: bool,
    /// Rows of the ring of a stream.
    pub rows: usize,
}

impl Recall {
    /// Two heads of some width, long enough for tiles that are seen whole beside those that are not.
    pub fn with_heads(head_dim: usize) -> Self {
        let of = Heads { head_dim, ..Heads::small([1, 150]) };
        Self { of, depth: 3, slots: 3, window: 0, successor: true, rows: 7 }
    }

    fn op<'a, T: Shaped>(&self, x: &'a [Held<T>]) -> ops::Recall<'a, T> {
        let slots = (self.slots > 0).then(|| Slots { patterns: x[3].whole(), values: x[4].whole() });
        let (head_dim, window, successor) = (self.of.head_dim, self.window, self.successor);
        ops::Recall { qpv: x[0].columns(), depth: x[1].whole(), log_beta: x[2].whole(), slots, head_dim, window, successor }
    }
}

/// Lends the three tensors as the struct that the kernel wants.
fn with_saved<T, R>(saved: &mut Vec<T>, f: impl FnOnce(&mut RecallSaved<T>) -> R) -> R {
    let mut tensors = saved.drain(..);
    let mut next = || tensors.next().expect("three tensors");
    let mut of = RecallSaved { reads: next(), moved: next(), log_sum: next() };
    drop(tensors);
    let found = f(&mut of);
    saved.extend([of.reads, of.moved, of.log_sum]);
    found
}

impl Case for Recall {
    fn cases() -> Vec<Self> {
        let kinds = [(3, 0, true), (0, 0, true), (2, 5, true), (0, 0, false), (1, 1, false), (0, 1, true)];
        let of =
            |size| kinds.map(|(slots, window, successor)| Self { of: Heads::small(size), depth: 3, slots, window, successor, rows: 7 });
        SIZES.into_iter().flat_map(of).collect()
    }
    /// Windows and rings of which either is the narrower.
    fn large() -> Vec<Self> {
        let kinds = [(0, 0, 300), (3, 0, 300), (3, 0, 5), (0, 1, 1), (3, 1, 1), (0, 7, 7), (3, 7, 7), (70, 7, 300)];
        let tiny = Heads { batch: 2, time: 5, heads: 2, head_dim: 2 };
        let mut all = vec![];
        for (successor, (slots, window, rows)) in [true, false].into_iter().flat_map(|s| kinds.map(|kind| (s, kind))) {
            all.extend(Heads::large().enumerate().map(|(i, of)| Self { of, depth: 1 + (i + slots) % 3, slots, window, successor, rows }));
            let (slots, window) = (slots.min(3), window.min(2));
            all.extend([1, 2, 3].map(|depth| Self { of: tiny, depth, slots, window, successor, rows: rows.min(3) }));
        }
        all
    }
    fn bench() -> Vec<Self> {
        let of = Heads::bench();
        [1, 2, 3].map(|depth| Self { of, depth, slots: 16, window: 0, successor: true, rows: 256 }).into()
    }
    fn tolerance(&self) -> f64 {
        1e-5
    }
    fn inputs(&self) -> Vec<Input> {
        let Heads { batch, time, heads, head_dim } = self.of;
        let mut all = vec![
            Input::columns("qpv", self.of.packed(3)),
            Input::activation("depth", Shape::cube(batch, time, self.depth)),
            Input::parameter("log_beta", Shape::vector(heads)),
        ];
        if self.slots > 0 {
            all.extend(["patterns", "values"].map(|name| Input::parameter(name, Shape::cube(heads, self.slots, head_dim))));
        }
        all
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::columns("y", self.of.packed(1))]
    }
    fn state(&self) -> Vec<Shape> {
        vec![self.of.ring(self.rows), Shape::matrix(self.of.batch, self.of.width())]
    }
    fn is_ring(&self, tensor: usize) -> bool {
        tensor == 0
    }
    fn saved(&self) -> Vec<Shape> {
        let Heads { batch, time, heads, .. } = self.of;
        vec![self.of.packed(self.depth), self.of.packed(self.depth), Shape::cube(batch, time, self.depth * heads)]
    }
    fn formula(&self, x: &[Vec<f64>], state: Option<&mut State>) -> Vec<Vec<f64>> {
        let (of, d) = (self.of, self.of.head_dim);
        let before = state.as_ref().map(|state| (*state).clone());
        let [keys, last] = patterns(of, &x[0], self.successor, before.as_ref().map(|s| &s.tensors[1][..]));
        let ring = before.as_ref().map(|s| (&s.tensors[0][..], self.rows));
        let items = Items::new(of, &x[0], keys, before.as_ref().map_or(0, |s| s.clock), ring);
        // Of unit length, once for all queries.
        let slots: Vec<Vec<f64>> = x.get(3).map_or(vec![], |patterns| patterns.chunks_exact(d).map(unit).collect());
        let mut y = vec![];
        for (b, t, column) in of.queries() {
            let slot = |m: usize| column / d * self.slots + m;
            let mut seen: Vec<[&[f64]; 2]> = (0..self.slots).map(|m| [&slots[slot(m)][..], &x[4][slot(m) * d..][..d]]).collect();
            seen.extend(items.seen(t, self.window, usize::from(self.successor)).map(|j| items.get(b, j, column)));
            let mut xi = unit(of.part(&x[0], b, t, column, 0));
            let (mut sum, beta) = (vec![0.0; d], x[2][column / d].exp());
            for weight in softmax(&x[1][(b * of.time + t) * self.depth..][..self.depth]) {
                let scores: Vec<f64> = seen.iter().map(|[pattern, _]| beta * inner(&xi, pattern)).collect();
                for (p, [pattern, value]) in softmax(&scores).into_iter().zip(&seen) {
                    add_scaled(&mut sum, weight * p, value);
                    add_scaled(&mut xi, p, pattern);
                }
                xi = unit(&xi);
            }
            y.extend(sum);
        }
        if let Some(state) = state {
            state.tensors = vec![items.remembered(), last];
        }
        vec![y]
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], mode: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        let (op, y) = (self.op(x), y[0].columns_mut());
        match mode {
            Mode::Plain => d.b.recall(op, None, None, y),
            Mode::Training(saved) => with_saved(saved, |saved| d.b.recall(op, None, Some(saved), y)),
            Mode::Stream(state, clock) => {
                let [items, last] = all_mut(state);
                d.b.recall(op, Some(RecallState { ring: Ring { items, clock }, last }), None, y);
            }
        }
    }
    fn backward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], done: Done<'_, B::Tensor>, grads: &mut [Held<B::Tensor>]) {
        let [qpv, depth, log_beta, slots @ ..] = grads else { unreachable!("as many gradients as inputs") };
        let slots = match slots {
            [patterns, values] => Some(SlotsGrad { patterns: patterns.whole_mut(), values: values.whole_mut() }),
            _ => None,
        };
        let grad = RecallGrad { qpv: qpv.columns_mut(), depth: depth.whole_mut(), log_beta: log_beta.whole_mut(), slots };
        with_saved(done.saved, |saved| d.b.recall_grad(self.op(x), saved, done.dy.columns(), grad));
    }
}
