//! Attention, with and without a window, over a ring.

use super::{
    heads::{Heads, Items},
    prelude::*,
};
use hh_core::ops::Ring;

/// See [`ops::Attend`].
#[derive(Debug)]
pub struct Attend {
    /// Extents.
    pub of: Heads,
    /// How many positions a query sees; 0 means all.
    pub window: usize,
    /// Rows of the ring of a stream.
    pub rows: usize,
}

impl Attend {
    /// Two heads of some width, long enough for tiles that are seen whole beside those that are not.
    pub fn with_heads(head_dim: usize) -> Self {
        let of = Heads { head_dim, ..Heads::small([1, 150]) };
        Self { of, window: 0, rows: 7 }
    }

    fn op<'a, T: Shaped>(&self, x: &'a [Held<T>]) -> ops::Attend<'a, T> {
        ops::Attend { qkv: x[0].columns(), head_dim: self.of.head_dim, window: self.window }
    }
}

impl Case for Attend {
    fn cases() -> Vec<Self> {
        SIZES.into_iter().flat_map(|size| [0, 5].map(|window| Self { of: Heads::small(size), window, rows: 7 })).collect()
    }
    /// Windows and rings of which either is the narrower.
    fn large() -> Vec<Self> {
        let tiny = Heads { batch: 2, time: 9, heads: 2, head_dim: 2 };
        let all = Heads::large().chain([tiny]);
        let kinds = [(0, 300), (0, 1), (0, 5), (1, 1), (5, 5), (7, 7), (7, 12), (4, 4), (9, 4), (70, 300)];
        all.flat_map(|of| kinds.map(|(window, rows)| Self { of, window, rows })).collect()
    }
    fn bench() -> Vec<Self> {
        [0, 64].map(|window| Self { of: Heads::bench(), window, rows: 256 }).into()
    }
    fn inputs(&self) -> Vec<Input> {
        vec![Input::columns("qkv", self.of.packed(3))]
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::columns("y", self.of.packed(1))]
    }
    fn state(&self) -> Vec<Shape> {
        vec![self.of.ring(self.rows)]
    }
    fn is_ring(&self, _: usize) -> bool {
        true
    }
    fn saved(&self) -> Vec<Shape> {
        vec![Shape::cube(self.of.batch, self.of.time, self.of.heads)]
    }
    fn formula(&self, x: &[Vec<f64>], state: Option<&mut State>) -> Vec<Vec<f64>> {
        let of = self.of;
        let keys = x[0].chunks_exact(3 * of.width()).flat_map(|row| row[of.width()..2 * of.width()].to_vec()).collect();
        let (clock, ring) = state.as_ref().map_or((0, None), |s| (s.clock, Some((s.tensors[0].clone(), self.rows))));
        let items = Items::new(of, &x[0], keys, clock, ring.as_ref().map(|(ring, rows)| (&ring[..], *rows)));
        let mut y = vec![];
        for (b, t, column) in of.queries() {
            let query = of.part(&x[0], b, t, column, 0);
            let seen: Vec<_> = items.seen(t, self.window, 0).map(|j| items.get(b, j, column)).collect();
            let scores: Vec<f64> = seen.iter().map(|[key, _]| inner(query, key) / (of.head_dim as f64).sqrt()).collect();
            let mut sum = vec![0.0; of.head_dim];
            seen.iter().zip(softmax(&scores)).for_each(|([_, value], p)| add_scaled(&mut sum, p, value));
            y.extend(sum);
        }
        if let Some(state) = state {
            state.tensors[0] = items.remembered();
        }
        vec![y]
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], mode: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        let (state, saved) = mode.split();
        let ring = state.map(|(state, clock)| Ring { items: &mut state[0], clock });
        d.b.attend(self.op(x), ring, saved.map(|saved| &mut saved[0]), y[0].columns_mut());
    }
    fn backward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], done: Done<'_, B::Tensor>, grads: &mut [Held<B::Tensor>]) {
        d.b.attend_grad(self.op(x), done.y[0].columns(), &done.saved[0], done.dy.columns(), grads[0].columns_mut());
    }
}
