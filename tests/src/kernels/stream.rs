//! A sequence in chunks.

use super::{
    case::{Case, Mode, State, Testable},
    desk::Desk,
    run::Given,
};
use crate::model::Numbers;
use hh_core::{backend::Precision, shape::Shape};

/// Positions `from .. to` of every sequence.
fn cut(x: &[f32], shape: Shape, from: usize, to: usize) -> Vec<f32> {
    let [_, time, width] = shape.extents();
    x.chunks_exact(time * width).flat_map(|sequence| &sequence[from * width..to * width]).copied().collect()
}

/// The first output of all positions, in chunks that end at `cuts`, from an empty state; and the state afterwards.
pub(super) fn streamed<C: Case, B: Testable>(
    d: &mut Desk<B>,
    case: &C,
    given: &Given,
    cuts: &[usize],
    empty: &[Vec<f32>],
) -> Vec<Vec<f64>> {
    let output = case.outputs()[0];
    let [batch, time, width] = output.shape.extents();
    let chunk = |shape: Shape, time| Shape::cube(shape.extents()[0], time, shape.width());
    let mut all = vec![f64::NAN; batch * time * width];
    let mut state: Vec<_> = case.state().into_iter().zip(empty).map(|(shape, x)| d.tensor(shape, Precision::Full, x)).collect();
    let (mut clock, mut from) = (d.clock(0), 0);
    for &to in cuts.iter().chain([&time]) {
        let inputs = case.inputs();
        let held = inputs.iter().zip(&given.x).map(|(input, x)| match input.timed {
            true => d.hold(chunk(input.shape, to - from), input.precision, input.packed, &cut(x, input.shape, from, to)),
            false => d.hold(input.shape, input.precision, input.packed, x),
        });
        let x: Vec<_> = held.collect();
        let shape = chunk(output.shape, to - from);
        let mut y = [d.hold(shape, output.precision, output.packed, &vec![f32::NAN; shape.count()])];
        case.forward(d, &x, Mode::Stream(&mut state, &clock), &mut y);
        d.b.advance((to - from) as u32, &mut clock);
        let (y, intact) = y[0].read();
        for (b, y) in y.chunks_exact((to - from) * width).enumerate().filter(|_| intact) {
            all[(b * time + from) * width..][..y.len()].copy_from_slice(y);
        }
        from = to;
    }
    [all].into_iter().chain(state.iter().map(Numbers::numbers)).collect()
}

/// The state before the first position; rows of rings that nothing has written yet hold `unwritten`.
pub(super) fn empty_state(case: &impl Case, unwritten: f32) -> Vec<Vec<f32>> {
    let fill = |i| if case.is_ring(i) { unwritten } else { 0.0 };
    case.state().iter().enumerate().map(|(i, shape)| vec![fill(i); shape.count()]).collect()
}

/// What [`streamed`] should give.
pub(super) fn whole(case: &impl Case, given: &Given, empty: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let mut state = State { clock: 0, tensors: Given::wide(empty) };
    let y = case.formula(&Given::wide(&given.x), Some(&mut state)).swap_remove(0);
    [y].into_iter().chain(state.tensors).collect()
}
