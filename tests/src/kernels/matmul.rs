//! Matrix products, with and without bias and residual; the input's gradient written, added and skipped.

use super::prelude::*;
use hh_core::ops::{GradOut, MatmulGrad};

/// What becomes of the gradient of `x`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum To {
    /// It is written.
    Write,
    /// It is added to what is there.
    Add,
    /// It is not computed.
    Skip,
}

/// See [`ops::Matmul`].
#[derive(Clone, Copy, Debug)]
pub struct Matmul {
    /// `[B, T]`
    pub size: [usize; 2],
    /// Columns of `x`.
    pub inp: usize,
    /// Columns of `y`.
    pub out: usize,
    /// With a bias.
    pub bias: bool,
    /// With a residual.
    pub add: bool,
    /// Where the input's gradient goes.
    pub to: To,
}

impl Matmul {
    /// `(rows, in, out)` in training: `char-4.5m` at 2048 rows, then `bpe-97m` at 512. `benches/benches/matmul.rs` measures them
    /// beside other crates.
    pub const TRAINING: [(usize, usize, usize); 7] =
        [(2048, 256, 1024), (2048, 288, 256), (2048, 256, 992), (2048, 496, 256), (2048, 256, 64), (2048, 256, 65), (512, 704, 4096)];

    fn rows(&self, width: usize) -> Shape {
        Shape::cube(self.size[0], self.size[1], width)
    }

    fn op<'a, T: Shaped>(&self, x: &'a [Held<T>]) -> ops::Matmul<'a, T> {
        let mut rest = x[2..].iter().map(Held::whole);
        let bias = if self.bias { rest.next() } else { None };
        ops::Matmul { x: x[0].whole(), w: x[1].whole(), bias, add: rest.next() }
    }
}

impl Case for Matmul {
    fn cases() -> Vec<Self> {
        let to = [To::Write, To::Add, To::Skip];
        let options = [(false, false), (true, false), (false, true), (true, true)].into_iter().flat_map(|o| to.map(|to| (o, to)));
        let of = |size| options.clone().map(move |((bias, add), to)| Self { size, inp: 9, out: 6, bias, add, to });
        SIZES.into_iter().flat_map(of).collect()
    }
    fn large() -> Vec<Self> {
        let of = |rows, inp, out| Self { size: [1, rows], inp, out, bias: true, add: true, to: To::Write };
        let awkward = |rows| [(1, 1), (3, 65), (65, 3), (63, 17), (500, 63), (17, 500), (300, 300)].map(|(inp, out)| of(rows, inp, out));
        let mut all: Vec<_> = AWKWARD.into_iter().flat_map(awkward).collect();
        // More columns than one packed block holds, and rows that are read where they lie.
        all.extend([of(5, 257, 4500), of(2, 700, 300)]);
        let many = of(65, 63, 17);
        all.extend([To::Write, To::Add, To::Skip].map(|to| Self { bias: false, add: false, to, ..many }));
        all
    }
    fn inputs(&self) -> Vec<Input> {
        let x = Input::activation("x", self.rows(self.inp));
        let x = match self.to {
            To::Write => x,
            To::Add => x.added(),
            To::Skip => x.constant(),
        };
        let mut all = vec![x, Input::parameter("w", Shape::matrix(self.out, self.inp))];
        all.extend(self.bias.then(|| Input::parameter("bias", Shape::vector(self.out))));
        // The gradient of the residual is dy itself.
        all.extend(self.add.then(|| Input::activation("add", self.rows(self.out)).constant()));
        all
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::new("y", self.rows(self.out))]
    }
    fn formula(&self, x: &[Vec<f64>], _: Option<&mut State>) -> Vec<Vec<f64>> {
        let out = self.out;
        let bias = |o: usize| if self.bias { x[2][o] } else { 0.0 };
        let add = |i: usize| if self.add { x[x.len() - 1][i] } else { 0.0 };
        let product = |row: &[f64], o: usize| inner(row, &x[1][o * self.inp..][..self.inp]) + bias(o);
        let y = x[0].chunks_exact(self.inp).flat_map(|row| (0..out).map(move |o| product(row, o)));
        vec![y.enumerate().map(|(i, y)| y + add(i)).collect()]
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], _: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        d.b.matmul(self.op(x), y[0].whole_mut());
    }
    fn backward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], done: Done<'_, B::Tensor>, grads: &mut [Held<B::Tensor>]) {
        let mut grads = grads.iter_mut().map(Held::whole_mut);
        let to = match self.to {
            To::Write => GradOut::Write(grads.next().expect("a gradient of x")),
            To::Add => GradOut::Add(grads.next().expect("a gradient of x")),
            To::Skip => GradOut::Skip,
        };
        let grad = MatmulGrad { x: to, w: grads.next().expect("a gradient of w"), bias: grads.next() };
        d.b.matmul_grad(self.op(x), done.dy.whole(), grad);
    }
}
