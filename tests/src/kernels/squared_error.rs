//! The mean squared error and its gradient, which one kernel writes.

use super::prelude::*;

/// See [`ops::SquaredError`].
#[derive(Debug)]
pub struct SquaredError {
    /// `[B, T]`
    pub size: [usize; 2],
    /// `E`
    pub width: usize,
    /// Weight of the loss.
    pub scale: f32,
}

impl SquaredError {
    fn op<'a, T: Shaped>(&self, x: &'a [Held<T>]) -> ops::SquaredError<'a, T> {
        ops::SquaredError { x: x[0].whole(), goal: x[1].whole(), scale: self.scale }
    }
}

impl Case for SquaredError {
    fn cases() -> Vec<Self> {
        SIZES.map(|size| Self { size, width: 6, scale: 0.5 }).into()
    }
    fn large() -> Vec<Self> {
        awkward().map(|(rows, width)| Self { size: [1, rows], width, scale: 1.0 }).collect()
    }
    fn bench() -> Vec<Self> {
        vec![Self { size: [8, 256], width: 256, scale: 1.0 }]
    }
    fn inputs(&self) -> Vec<Input> {
        let shape = Shape::cube(self.size[0], self.size[1], self.width);
        vec![Input::activation("x", shape), Input::activation("goal", shape).constant()]
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::new("losses", Shape::cube(self.size[0], self.size[1], 1))]
    }
    fn formula(&self, x: &[Vec<f64>], _: Option<&mut State>) -> Vec<Vec<f64>> {
        let squares: Vec<f64> = x[0].iter().zip(&x[1]).map(|(x, goal)| (x - goal) * (x - goal)).collect();
        vec![squares.chunks_exact(self.width).map(|row| row.iter().sum::<f64>() / self.width as f64).collect()]
    }
    fn objective(&self, _: &[Vec<f64>], y: &[Vec<f64>], _: &[f64]) -> f64 {
        f64::from(self.scale) * y[0].iter().sum::<f64>() / y[0].len() as f64
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], _: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        let mut dx = d.poisoned(x[0].whole().shape());
        d.b.squared_error(self.op(x), y[0].whole_mut(), &mut dx);
    }
    fn backward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], _: Done<'_, B::Tensor>, grads: &mut [Held<B::Tensor>]) {
        let mut losses = d.poisoned(self.outputs()[0].shape);
        d.b.squared_error(self.op(x), &mut losses, grads[0].whole_mut());
        d.again(0, &losses);
    }
}
