//! A sum of two tensors, in place.

use super::prelude::*;

/// See [`Backward::add`](hh_core::backend::Backward::add).
#[derive(Debug)]
pub struct Add(pub Shape);

impl Case for Add {
    fn cases() -> Vec<Self> {
        SIZES.map(|[batch, time]| Self(Shape::matrix(batch * time, 5))).into()
    }
    fn large() -> Vec<Self> {
        [1, 63, 500, 300_001].map(|count| Self(Shape::vector(count))).into()
    }
    fn bench() -> Vec<Self> {
        vec![Self(Shape::vector(4_500_000))]
    }
    fn inputs(&self) -> Vec<Input> {
        vec![Input::full("x", self.0), Input::full("before", self.0)]
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::full("y", self.0)]
    }
    fn formula(&self, x: &[Vec<f64>], _: Option<&mut State>) -> Vec<Vec<f64>> {
        vec![x[0].iter().zip(&x[1]).map(|(x, before)| before + x).collect()]
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], _: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        start_from(d, &x[1], &mut y[0]);
        d.b.add(x[0].whole(), y[0].whole_mut());
    }
}
