//! Rows of a table; several tokens are the same.

use super::prelude::*;

/// See [`ops::Embed`].
#[derive(Debug)]
pub struct Embed {
    /// `[B, T]`
    pub size: [usize; 2],
    /// `V`
    pub vocab: usize,
    /// `E`
    pub width: usize,
}

impl Embed {
    fn tokens(&self) -> Vec<u32> {
        (0..(self.size[0] * self.size[1]) as u32).map(|i| i * 7 % (self.vocab - 1) as u32).collect()
    }

    fn indices<B: Testable>(&self, d: &mut Desk<B>) -> B::Indices {
        d.indices(Shape::matrix(self.size[0], self.size[1]), &self.tokens())
    }
}

impl Case for Embed {
    fn cases() -> Vec<Self> {
        SIZES.map(|size| Self { size, vocab: 7, width: 5 }).into()
    }
    fn large() -> Vec<Self> {
        awkward().map(|(rows, width)| Self { size: [1, rows], vocab: 6, width }).collect()
    }
    fn bench() -> Vec<Self> {
        vec![Self { size: [8, 256], vocab: 65, width: 256 }]
    }
    fn inputs(&self) -> Vec<Input> {
        vec![Input::parameter("table", Shape::matrix(self.vocab, self.width))]
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::new("y", Shape::cube(self.size[0], self.size[1], self.width))]
    }
    fn formula(&self, x: &[Vec<f64>], _: Option<&mut State>) -> Vec<Vec<f64>> {
        vec![self.tokens().iter().flat_map(|&t| x[0][t as usize * self.width..][..self.width].to_vec()).collect()]
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], _: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        let ([table], tokens) = (all(x), self.indices(d));
        d.b.embed(ops::Embed { tokens: &tokens, table: table.whole() }, y[0].whole_mut());
    }
    fn backward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], done: Done<'_, B::Tensor>, grads: &mut [Held<B::Tensor>]) {
        let ([table], tokens) = (all(x), self.indices(d));
        d.b.embed_grad(ops::Embed { tokens: &tokens, table: table.whole() }, done.dy.whole(), grads[0].whole_mut());
    }
}
