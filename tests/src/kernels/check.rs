//! Compares the small cases of a kernel on any backend with their formulas.

use super::{
    case::{Case, Mode, State, Testable},
    desk::{Desk, Held},
    run::{Digits, Given, UNWRITTEN, far, hold_inputs, hold_outputs, run},
    stream::{empty_state, streamed, whole},
};
use crate::{
    compare::{Tolerance, all_within},
    model::{Numbers, cpu},
};
use hh_core::backend::Precision;

/// Names and how far results are from what they should be.
type Distances = Vec<(String, f64)>;

/// Starts of a chunk that is not the first: at the beginning of a stream, and where a ring has gone round.
const CLOCKS: [u32; 2] = [0, 24];

/// Runs the small cases of a kernel on a backend: outputs, states and cut sequences against the formula, gradients against
/// those of the processor in f64, which [`check_native`](super::check_native) compares with differences of the formula.
///
/// # Errors
/// What differs by more than the tolerance for kernels, worst first.
pub fn check<C: Case, B: Testable>(b: B, tolerance: Tolerance) -> Result<(), String> {
    check_cases(b, tolerance, C::cases())
}

/// The same with cases of the caller's choice.
///
/// # Errors
/// As [`check`].
pub fn check_cases<C: Case, B: Testable>(b: B, tolerance: Tolerance, cases: Vec<C>) -> Result<(), String> {
    let (mut desk, mut exact) = (Some(Desk::new(b)), Some(Desk::new(cpu::<f64>(1))));
    let mut distances = Distances::new();
    for case in cases {
        let given = Given::new(&case, Digits::Few);
        let (found, gradients) = (run(&mut desk, &case, &given), run(&mut exact, &case, &given).gradients);
        let d = desk.as_mut().expect("a desk");
        let mut note = |what: &str, found: &[f64], wanted: &[f64]| {
            distances.push((format!("{what} of {case:?}"), far(&case, found, wanted, 1e-2)));
        };
        let wanted = case.formula(&Given::wide(&given.x), None);
        assert!(case.has_nan() || wanted.iter().flatten().all(|x| x.is_finite()), "the formula of {case:?}");
        let named = case.outputs();
        for (i, found) in found.outputs.iter().enumerate().chain(found.again.iter().map(|(i, found)| (*i, found))) {
            note(named[i].name, found, &wanted[i]);
        }
        let with_gradient = case.inputs().into_iter().filter(|input| input.gradient.is_some());
        for ((input, found), wanted) in with_gradient.zip(&found.gradients).zip(&gradients) {
            note(&format!("gradient of {}", input.name), found, wanted);
        }
        note("columns of others", &[f64::from(u8::from(found.intact))], &[1.0]);
        if !case.state().is_empty() {
            states(d, &case, &given, &mut note);
        }
    }
    all_within(tolerance.kernel, distances)
}

/// Chunks after a state, and a sequence in pieces.
fn states<C: Case, B: Testable>(d: &mut Desk<B>, case: &C, given: &Given, note: &mut impl FnMut(&str, &[f64], &[f64])) {
    let x = hold_inputs(d, case, &given.x);
    for at in CLOCKS {
        let mut state: Vec<_> = case.state().into_iter().zip(&given.state).map(|(shape, x)| d.tensor(shape, Precision::Full, x)).collect();
        let mut after = State { clock: at as usize, tensors: Given::wide(&given.state) };
        let clock = d.clock(at);
        let (found, wanted) = (continued(d, case, &x, &clock, &mut state), case.formula(&Given::wide(&given.x), Some(&mut after)));
        for (output, ((found, intact), wanted)) in case.outputs().iter().zip(found.iter().zip(&wanted)) {
            note(&format!("{} after {at} positions", output.name), found, wanted);
            note("columns of others after a state", &[f64::from(u8::from(*intact))], &[1.0]);
        }
        for (i, (found, wanted)) in state.iter().zip(&after.tensors).enumerate() {
            note(&format!("state {i} after {at} positions"), &found.numbers(), wanted);
        }
    }
    let time = case.outputs()[0].shape.extents()[1];
    let empty = empty_state(case, UNWRITTEN);
    let cuts = [vec![time / 3, time / 2 + 1], (1..time.min(4)).collect()];
    for cuts in cuts.into_iter().filter(|cuts| cuts.iter().all(|&cut| 0 < cut && cut < time)) {
        for (i, (found, wanted)) in streamed(d, case, given, &cuts, &empty).iter().zip(&whole(case, given, &empty)).enumerate() {
            let what = if i == 0 { "output".to_string() } else { format!("state {}", i - 1) };
            note(&format!("{what} of a sequence cut at {cuts:?}"), found, wanted);
        }
    }
}

/// Outputs of a chunk that continues a sequence, and the state afterwards.
fn continued<C: Case, B: Testable>(
    d: &mut Desk<B>,
    case: &C,
    x: &[Held<B::Tensor>],
    clock: &B::Indices,
    state: &mut [B::Tensor],
) -> Vec<(Vec<f64>, bool)> {
    let mut y = hold_outputs(d, case);
    case.forward(d, x, Mode::Stream(state, clock), &mut y);
    y.iter().map(Held::read).collect()
}
