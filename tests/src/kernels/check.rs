//! Compares the cases of a kernel with their formulas.

use super::{
    case::{Case, Done, Gradient, Mode, State, Testable},
    desk::{Desk, Held},
};
use crate::{
    compare::{Tolerance, all_within, distance},
    model::{Numbers, cpu, levels},
};
use hh_core::{backend::Precision, rng, shape::Shape};
use hh_cpu::{Cpu, Float, Threads};

/// Names and how far results are from what they should be.
type Distances = Vec<(String, f64)>;

/// Starts of a chunk that is not the first: at the beginning of a stream, and where a ring has gone round.
const CLOCKS: [u32; 2] = [0, 24];

/// Wanted numbers that are smaller than this in root mean square count as so large: the inputs are of size 1.
const NATIVE_FLOOR: f64 = 0.316;

/// How many digits inputs have.
#[derive(Clone, Copy, PartialEq)]
enum Digits {
    /// Few, so that every precision holds them exactly.
    Few,
    /// All of f32.
    All,
}

/// Numbers on [−1, 1), others for each seed.
fn numbers(seed: u32, shape: Shape, digits: Digits) -> Vec<f32> {
    let coarse = |u: f32| if digits == Digits::Few { (u * 128.0).floor() / 128.0 } else { u };
    (0..shape.count()).map(|i| coarse(rng::uniform([seed, 0, 0, 0], 7, i as u32)) * 2.0 - 1.0).collect()
}

/// Inputs of a case, the gradient of its first output, and a state that is not empty.
struct Given {
    x: Vec<Vec<f32>>,
    dy: Vec<f32>,
    state: Vec<Vec<f32>>,
}

impl Given {
    fn new(case: &impl Case, digits: Digits) -> Self {
        let inputs = case.inputs().into_iter().enumerate();
        let x = inputs.map(|(i, input)| input.values.unwrap_or_else(|| numbers(i as u32, input.shape, digits))).collect();
        let state = case.state().into_iter().enumerate().map(|(i, shape)| numbers(70 + i as u32, shape, digits)).collect();
        Self { x, dy: numbers(99, case.outputs()[0].shape, digits), state }
    }

    fn wide(of: &[Vec<f32>]) -> Vec<Vec<f64>> {
        of.iter().map(|x| x.iter().map(|&x| f64::from(x)).collect()).collect()
    }
}

/// Everything that a case computes on a backend.
struct Run {
    outputs: Vec<Vec<f64>>,
    /// Outputs that were computed once more, by their number.
    again: Vec<(usize, Vec<f64>)>,
    /// Of the inputs that have one, in their order.
    gradients: Vec<Vec<f64>>,
    /// No column of others was written.
    intact: bool,
}

fn hold_inputs<C: Case, B: Testable>(d: &mut Desk<B>, case: &C, x: &[Vec<f32>]) -> Vec<Held<B::Tensor>> {
    case.inputs().iter().zip(x).map(|(input, x)| d.hold(input.shape, input.precision, input.packed, x)).collect()
}

fn hold_outputs<C: Case, B: Testable>(d: &mut Desk<B>, case: &C) -> Vec<Held<B::Tensor>> {
    let poison = |shape: Shape| vec![f32::NAN; shape.count()];
    case.outputs().iter().map(|y| d.hold(y.shape, y.precision, y.packed, &poison(y.shape))).collect()
}

/// Memory for the gradients: what is written comes full of NaN, what is added to full of ones.
fn hold_gradients<C: Case, B: Testable>(d: &mut Desk<B>, case: &C) -> Vec<Held<B::Tensor>> {
    let inputs = case.inputs();
    let with = inputs.iter().filter_map(|input| input.gradient.map(|gradient| (input, gradient)));
    with.map(|(input, gradient)| {
        let before = if gradient == Gradient::Added { 1.0 } else { f32::NAN };
        d.hold(input.shape, input.precision, input.packed, &vec![before; input.shape.count()])
    })
    .collect()
}

/// A case on a backend, ready to run; also what a benchmark measures.
pub struct Bound<'a, C, B: Testable> {
    case: &'a C,
    desk: Desk<B>,
    x: Vec<Held<B::Tensor>>,
    y: Vec<Held<B::Tensor>>,
    dy: Held<B::Tensor>,
    saved: Vec<B::Tensor>,
    gradients: Vec<Held<B::Tensor>>,
}

impl<'a, C: Case, B: Testable> Bound<'a, C, B> {
    /// All tensors of a case.
    pub fn new(b: B, case: &'a C) -> Self {
        let mut desk = Desk::new(b);
        desk.again = None;
        Self::given(desk, case, &Given::new(case, Digits::All))
    }

    fn given(mut desk: Desk<B>, case: &'a C, given: &Given) -> Self {
        let first = case.outputs()[0];
        Self {
            x: hold_inputs(&mut desk, case, &given.x),
            y: hold_outputs(&mut desk, case),
            dy: desk.hold(first.shape, Precision::Compute, first.packed, &given.dy),
            saved: case.saved().into_iter().map(|shape| desk.saved(shape)).collect(),
            gradients: hold_gradients(&mut desk, case),
            case,
            desk,
        }
    }

    /// The kernel.
    pub fn forward(&mut self) {
        self.case.forward(&mut self.desk, &self.x, Mode::Plain, &mut self.y);
    }

    /// The kernel, with what it keeps for its gradient.
    pub fn train(&mut self) {
        self.case.forward(&mut self.desk, &self.x, Mode::Training(&mut self.saved), &mut self.y);
    }

    /// Whether there is a gradient.
    pub fn has_gradient(&self) -> bool {
        !self.gradients.is_empty()
    }

    /// The gradient; [`train`](Self::train) must have run.
    pub fn backward(&mut self) {
        let done = Done { y: &self.y, saved: &mut self.saved, dy: &self.dy };
        self.case.backward(&mut self.desk, &self.x, done, &mut self.gradients);
    }

    /// Everything, and the desk for the next case.
    fn run(mut self) -> (Run, Desk<B>) {
        self.forward();
        let (outputs, mut intact): (Vec<_>, Vec<_>) = self.y.iter().map(Held::read).unzip();
        let mut again = Vec::new();
        if self.has_gradient() {
            self.y = hold_outputs(&mut self.desk, self.case);
            self.train();
            for (i, y) in self.y.iter().enumerate() {
                let (found, right) = y.read();
                again.push((i, found));
                intact.push(right);
            }
            self.backward();
            again.extend(self.desk.again.iter_mut().flat_map(|again| again.drain(..)));
        }
        let (gradients, right): (Vec<_>, Vec<_>) = self.gradients.iter().map(Held::read).unzip();
        let intact = intact.into_iter().chain(right).all(|right| right);
        (Run { outputs, again, gradients, intact }, self.desk)
    }
}

fn run<B: Testable>(desk: &mut Option<Desk<B>>, case: &impl Case, given: &Given) -> Run {
    let (run, back) = Bound::given(desk.take().expect("a desk"), case, given).run();
    *desk = Some(back);
    run
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

/// What `part` of the positions of every sequence holds.
fn cut(x: &[f32], shape: Shape, from: usize, to: usize) -> Vec<f32> {
    let [_, time, width] = shape.extents();
    x.chunks_exact(time * width).flat_map(|sequence| &sequence[from * width..to * width]).copied().collect()
}

/// The first output of all positions, in chunks that end at `cuts`, from an empty state; and the state afterwards.
fn streamed<C: Case, B: Testable>(d: &mut Desk<B>, case: &C, given: &Given, cuts: &[usize], empty: &[Vec<f32>]) -> Vec<Vec<f64>> {
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
fn empty_state(case: &impl Case, unwritten: f32) -> Vec<Vec<f32>> {
    let fill = |i| if case.is_ring(i) { unwritten } else { 0.0 };
    case.state().iter().enumerate().map(|(i, shape)| vec![fill(i); shape.count()]).collect()
}

/// What [`streamed`] should give.
fn whole(case: &impl Case, given: &Given, empty: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let mut state = State { clock: 0, tensors: Given::wide(empty) };
    let y = case.formula(&Given::wide(&given.x), Some(&mut state)).swap_remove(0);
    [y].into_iter().chain(state.tensors).collect()
}

/// How far numbers are from those that they should be. NaN that is wanted must be there.
fn far(case: &impl Case, found: &[f64], wanted: &[f64], floor: f64) -> f64 {
    let wrong = |(f, w): (&f64, &f64)| w.is_nan() != f.is_nan() || case.exact_where_untouched() && [0.0, 1.0].contains(w) && f != w;
    if found.len() != wanted.len() || found.iter().zip(wanted).any(wrong) {
        return f64::INFINITY;
    }
    let (found, wanted): (Vec<f64>, Vec<f64>) = found.iter().zip(wanted).filter(|(_, w)| !w.is_nan()).unzip();
    distance(&found, &wanted, floor)
}

/// Runs the small cases of a kernel on a backend: outputs, states and cut sequences against the formula, gradients against
/// those of the processor in f64, which [`check_native`] compares with differences of the formula.
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
    // Finite: a backend may multiply what it does not read by zero.
    let empty = empty_state(case, 1e4);
    let cuts = [vec![time / 3, time / 2 + 1], (1..time.min(4)).collect()];
    for cuts in cuts.into_iter().filter(|cuts| cuts.iter().all(|&cut| 0 < cut && cut < time)) {
        for (i, (found, wanted)) in streamed(d, case, given, &cuts, &empty).iter().zip(&whole(case, given, &empty)).enumerate() {
            let what = if i == 0 { "output".to_string() } else { format!("state {}", i - 1) };
            note(&format!("{what} of a sequence cut at {cuts:?}"), found, wanted);
        }
    }
}

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
