//! The clock of a stream.

use super::prelude::*;

/// See [`Forward::advance`](hh_core::backend::Forward::advance).
#[derive(Debug)]
pub struct Advance {
    /// Where the clock stood.
    pub at: u32,
    /// By how much it moves.
    pub by: u32,
}

impl Case for Advance {
    fn cases() -> Vec<Self> {
        [(0, 1), (24, 3), (u32::MAX, 2)].map(|(at, by)| Self { at, by }).into()
    }
    fn inputs(&self) -> Vec<Input> {
        Vec::new()
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::full("clock", Shape::vector(1))]
    }
    fn formula(&self, _: &[Vec<f64>], _: Option<&mut State>) -> Vec<Vec<f64>> {
        vec![vec![f64::from(self.at.wrapping_add(self.by))]]
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, _: &[Held<B::Tensor>], _: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        let (mut clock, mut now) = (d.clock(self.at), [0]);
        d.b.advance(self.by, &mut clock);
        d.b.download_indices(&clock, &mut now).expect("no device to lose");
        d.b.upload(&now.map(|now| now as f32), y[0].whole_mut()).expect("no device to lose");
    }
}
