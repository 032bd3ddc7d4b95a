//! The last position of each sequence.

use super::prelude::*;

/// See [`Forward::last`](hh_core::backend::Forward::last).
#[derive(Debug)]
pub struct Last {
    /// `[B, T]`
    pub size: [usize; 2],
    /// `D`
    pub width: usize,
}

impl Case for Last {
    fn cases() -> Vec<Self> {
        SIZES.map(|size| Self { size, width: 5 }).into()
    }
    fn inputs(&self) -> Vec<Input> {
        vec![Input::activation("x", Shape::cube(self.size[0], self.size[1], self.width)).constant()]
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::new("y", Shape::cube(self.size[0], 1, self.width))]
    }
    fn formula(&self, x: &[Vec<f64>], _: Option<&mut State>) -> Vec<Vec<f64>> {
        let [_, time] = self.size;
        vec![x[0].chunks_exact(time * self.width).flat_map(|rows| rows[(time - 1) * self.width..].to_vec()).collect()]
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], _: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        d.b.last(x[0].whole(), y[0].whole_mut());
    }
}
