//! Compares all cases of a kernel on the processor with their formulas, and gradients with differences of those.

use super::{
    case::{Case, Gradient, Testable},
    desk::Desk,
    run::{Digits, Given, Run, far, run},
    stream::{empty_state, streamed, whole},
};
use crate::model::{cpu, levels};
use hh_cpu::{Cpu, Float, Threads};

/// Wanted numbers that are smaller than this in root mean square count as so large: the inputs are of size 1.
const NATIVE_FLOOR: f64 = 0.316;

/// Runs all cases of a kernel on the processor: outputs against the formula, gradients against differences of the formula,
/// sequences cut in many places, f32 and f64 with and without vector instructions, the same bits on one thread and on two.
///
/// # Errors
/// What differs first.
pub fn check_native<C: Case>() -> Result<(), String> {
    for case in C::cases().into_iter().chain(C::large()) {
        let wrong = |what: String| format!("{case:?}: {what}");
        let given = Given::new(&case, Digits::All);
        let run_on = |threads, level| run(&mut Some(Desk::new(Cpu::<f64>::with_level(Threads::new(threads), level))), &case, &given);
        let exact = run_on(1, levels()[0]);
        let x = Given::wide(&given.x);
        let wanted = case.formula(&x, None);
        assert!(case.has_nan() || wanted.iter().flatten().all(|x| x.is_finite()), "the formula of {case:?}");
        let outputs = exact.outputs.iter().enumerate().chain(exact.again.iter().map(|(i, found)| (*i, found)));
        for (i, found) in outputs {
            close(&case, case.outputs()[i].name, found, &wanted[i], case.tolerance_f64()).map_err(wrong)?;
        }
        slopes(&case, x, &given, &exact).map_err(wrong)?;
        for level in levels() {
            let single = |threads| run(&mut Some(Desk::new(Cpu::<f32>::with_level(Threads::new(threads), level))), &case, &given);
            let [one, two] = [1, 2].map(single);
            let wide = run_on(2, level);
            for (((one, two), wide), exact) in one.all().zip(two.all()).zip(wide.all()).zip(exact.all()) {
                same_bits(one, two).map_err(|e| wrong(format!("{e} ({})", level.name())))?;
                close(&case, "f32", one, exact, case.tolerance()).map_err(wrong)?;
                close(&case, "f64", wide, exact, case.tolerance() * 5e-8).map_err(wrong)?;
            }
            if !(one.intact && two.intact && wide.intact) {
                return Err(wrong("columns of others were written".into()));
            }
        }
        if !case.state().is_empty() {
            cuts(&case, &given).map_err(wrong)?;
        }
    }
    Ok(())
}

impl Run {
    fn all(&self) -> impl Iterator<Item = &Vec<f64>> {
        self.outputs.iter().chain(self.again.iter().map(|(_, found)| found)).chain(&self.gradients)
    }
}

fn same_bits(one: &[f64], two: &[f64]) -> Result<(), String> {
    let same = one.iter().zip(two).all(|(one, two)| one.to_bits() == two.to_bits());
    if same { Ok(()) } else { Err("two threads give other bits".into()) }
}

fn close(case: &impl Case, what: &str, found: &[f64], wanted: &[f64], bound: f64) -> Result<(), String> {
    let far = far(case, found, wanted, NATIVE_FLOOR);
    if far <= bound { Ok(()) } else { Err(format!("{what} is off by {far:.1e}")) }
}

/// A sequence cut once at each of nine places, everywhere, and twice.
fn cuts(case: &impl Case, given: &Given) -> Result<(), String> {
    let time = case.outputs()[0].shape.extents()[1];
    // What no position has written yet must not be read.
    let empty = empty_state(case, f32::NAN);
    let wanted = whole(case, given, &empty);
    let once = (0..time).step_by(time.div_ceil(9)).map(|cut| if cut == 0 { vec![] } else { vec![cut] });
    let all = once.chain([(1..time).collect(), vec![time / 3, time / 2]]);
    for cuts in all.filter(|cuts| !cuts.contains(&0) && cuts.windows(2).all(|cuts| cuts[0] < cuts[1])) {
        let on = |found: &[Vec<f64>], bound| {
            let mut each = found.iter().zip(&wanted).enumerate();
            each.try_for_each(|(i, (found, wanted))| close(case, &format!("tensor {i} cut at {cuts:?}"), found, wanted, bound))
        };
        on(&stream_on::<f64>(case, given, &cuts, &empty, 1), 1e-11)?;
        let [one, two] = [1, 2].map(|threads| stream_on::<f32>(case, given, &cuts, &empty, threads));
        one.iter().zip(&two).try_for_each(|(one, two)| same_bits(one, two))?;
        on(&one, 3e-6)?;
    }
    Ok(())
}

fn stream_on<F: Float>(case: &impl Case, given: &Given, cuts: &[usize], empty: &[Vec<f32>], threads: usize) -> Vec<Vec<f64>>
where
    Cpu<F>: Testable,
{
    streamed(&mut Desk::new(cpu::<F>(threads)), case, given, cuts, empty)
}

/// Gradients of the processor in f64 against central differences of the formula: of single numbers, all of them where there
/// are few, and along a line through all numbers of each input.
fn slopes(case: &impl Case, mut x: Vec<Vec<f64>>, given: &Given, found: &Run) -> Result<(), String> {
    let dy: Vec<f64> = given.dy.iter().map(|&dy| f64::from(dy)).collect();
    let inputs = case.inputs();
    let few = inputs.iter().map(|input| input.shape.count()).sum::<usize>() <= 400;
    let loss = |x: &[Vec<f64>]| case.objective(x, &case.formula(x, None), &dy);
    let with_gradient = inputs.iter().enumerate().filter_map(|(i, input)| input.gradient.map(|gradient| (i, input, gradient)));
    for ((i, input, gradient), found) in with_gradient.zip(&found.gradients) {
        let (count, before) = (input.shape.count(), if gradient == Gradient::Added { 1.0 } else { 0.0 });
        let mut slope = |step: f64, towards: &dyn Fn(usize) -> f64| {
            let from = x[i].clone();
            let mut at = |by: f64| {
                x[i].iter_mut().zip(&from).enumerate().for_each(|(j, (x, from))| *x = from + by * towards(j));
                loss(&x)
            };
            // The error is of order step⁴.
            let slope = (8.0 * (at(step) - at(-step)) - (at(2.0 * step) - at(-2.0 * step))) / (12.0 * step);
            x[i] = from;
            slope
        };
        for at in (0..count).step_by(if few { 1 } else { count.div_ceil(5) }) {
            let slope = slope(2e-5, &|j| f64::from(u8::from(j == at)));
            let found = found[at] - before;
            near(&format!("gradient of {}[{at}]", input.name), found, slope, 1e-6 * (1.0 + slope.abs()))?;
        }
        let towards = |j: usize| if (j * 7 + i).is_multiple_of(3) { 1.0 } else { -1.0 };
        let size = (count as f64).sqrt();
        let slope = slope(1e-4 / size, &towards);
        let found: f64 = found.iter().enumerate().map(|(j, d)| (d - before) * towards(j)).sum();
        near(&format!("gradient of {} along a line", input.name), found, slope, 2e-6 * (size + slope.abs()))?;
    }
    Ok(())
}

fn near(what: &str, found: f64, slope: f64, bound: f64) -> Result<(), String> {
    if (found - slope).abs() < bound { Ok(()) } else { Err(format!("{what} is {found}, by differences {slope}")) }
}
