//! The sum of squares over several tensors.

use super::prelude::*;

/// See [`Backward::sum_squares`](hh_core::backend::Backward::sum_squares).
#[derive(Debug)]
pub struct SumSquares(pub Vec<Shape>);

impl Case for SumSquares {
    fn cases() -> Vec<Self> {
        SIZES.map(|[batch, time]| Self(vec![Shape::matrix(time, 5), Shape::vector(1), Shape::matrix(batch * time, 72)])).into()
    }
    fn large() -> Vec<Self> {
        [1, 63, 500, 300_001].map(|count| Self(vec![Shape::vector(count), Shape::vector(1)])).into()
    }
    fn bench() -> Vec<Self> {
        vec![Self(vec![Shape::vector(4_500_000)])]
    }
    fn tolerance(&self) -> f64 {
        2e-7
    }
    fn inputs(&self) -> Vec<Input> {
        self.0.iter().map(|&shape| Input::full("of", shape)).collect()
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::full("total", Shape::vector(1))]
    }
    fn formula(&self, x: &[Vec<f64>], _: Option<&mut State>) -> Vec<Vec<f64>> {
        vec![vec![x.iter().map(|x| inner(x, x)).sum()]]
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], _: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        d.b.sum_squares(x.iter().map(Held::whole), y[0].whole_mut());
    }
}
