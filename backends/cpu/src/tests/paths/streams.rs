//! A sequence cut anywhere is the whole sequence.

use super::{
    memory::{AttendCase, EXTENTS, Extents, HebbianCase, RecallCase, extents},
    mixing::PoolCase,
    ssm::{ConvCase, ScanCase, scan_op},
    *,
};
use crate::Indices;

/// A kernel with a state.
trait Stream: Case {
    type State<F: Float>;
    /// The state before the first position.
    fn start<F: Float>(&self) -> Self::State<F>;
    /// Runs a chunk, `clock` positions having come before it, and leaves the state behind.
    fn step<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], clock: &Indices, state: &mut Self::State<F>, y: &mut Tensor<F>);
    /// Which inputs have a row for each position.
    fn runs_in_time(&self, input: usize) -> bool;
}

/// Positions `from .. to` of every sequence.
fn slice<F: Float>(x: &Tensor<F>, from: usize, to: usize) -> Tensor<F> {
    let [b, t, w] = x.shape().extents();
    let rows: Vec<f64> = (0..b).flat_map(|b| &x.data()[(b * t + from) * w..(b * t + to) * w]).map(|x| x.to_f64()).collect();
    tensor(Shape::cube(b, to - from, w), &rows)
}

/// The output of all positions, in chunks that end at `cuts`.
fn streamed<F: Float>(case: &impl Stream, cuts: &[usize], threads: usize) -> Vec<f64> {
    let mut cpu = Cpu::<F>::new(Threads::new(threads));
    let inputs: Vec<Tensor<F>> = case.inputs().into_iter().enumerate().map(|(i, s)| tensor(s, &numbers(i as u32, s))).collect();
    let [batch, time, width] = case.output().extents();
    let mut all = vec![f64::NAN; batch * time * width];
    let (mut state, mut clock, mut from) = (case.start::<F>(), indices(Shape::vector(1), &[0]), 0);
    for &to in cuts.iter().chain([&time]) {
        let cut = |(i, x): (usize, &Tensor<F>)| if case.runs_in_time(i) { slice(x, from, to) } else { x.clone() };
        let x: Vec<Tensor<F>> = inputs.iter().enumerate().map(cut).collect();
        let mut y = filled(Shape::cube(batch, to - from, width), f64::NAN);
        case.step(&mut cpu, &x, &clock, &mut state, &mut y);
        cpu.advance((to - from) as u32, &mut clock);
        for (b, y) in y.data().chunks_exact((to - from) * width).enumerate() {
            all[(b * time + from) * width..][..y.len()].iter_mut().zip(y).for_each(|(all, y)| *all = y.to_f64());
        }
        from = to;
    }
    all
}

/// `case` must be a whole whose formula the stream should give.
fn check_stream(case: &impl Stream) {
    let inputs: Vec<Vec<f64>> = case.inputs().into_iter().enumerate().map(|(i, s)| numbers(i as u32, s)).collect();
    let whole = case.formula(&inputs);
    let time = case.output().extents()[1];
    let every: Vec<usize> = (1..time).collect();
    let cuts = (0..time).step_by(time.div_ceil(9)).map(|cut| if cut == 0 { vec![] } else { vec![cut] });
    for cuts in cuts.chain([every, vec![time / 3, time / 2]]).filter(|cuts| !cuts.contains(&0)) {
        close("f64", &streamed::<f64>(case, &cuts, 1), &whole, 1e-11);
        let [one, two] = [1, 2].map(|threads| streamed::<f32>(case, &cuts, threads));
        assert!(one == two, "two threads give other bits");
        close("f32", &one, &whole, 3e-6);
    }
}

impl Stream for ConvCase {
    type State<F: Float> = Tensor<F>;
    fn start<F: Float>(&self) -> Tensor<F> {
        zeros(Shape::cube(self.extents[0], self.taps - 1, self.extents[2]))
    }
    fn step<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], _: &Indices, state: &mut Tensor<F>, y: &mut Tensor<F>) {
        cpu.conv(Conv { x: middle(&packed(&x[0])), weight: &x[1], bias: &x[2] }, Some(state), y);
    }
    fn runs_in_time(&self, input: usize) -> bool {
        input == 0
    }
}

impl Stream for ScanCase {
    type State<F: Float> = Tensor<F>;
    fn start<F: Float>(&self) -> Tensor<F> {
        zeros(Shape::matrix(self.extents[0], self.extents[2]))
    }
    fn step<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], _: &Indices, state: &mut Tensor<F>, y: &mut Tensor<F>) {
        let gates = packed(&x[1]);
        through_packed(y, |y| cpu.scan(scan_op(x, &gates), Some(state), None, y));
    }
    fn runs_in_time(&self, input: usize) -> bool {
        input < 2
    }
}

impl Stream for PoolCase {
    type State<F: Float> = Tensor<F>;
    fn start<F: Float>(&self) -> Tensor<F> {
        zeros(Shape::matrix(self.extents[0], self.extents[2]))
    }
    fn step<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], _: &Indices, state: &mut Tensor<F>, y: &mut Tensor<F>) {
        cpu.pool(Pool { x: &x[0], decay: &x[1] }, Some(state), y);
    }
    fn runs_in_time(&self, input: usize) -> bool {
        input == 0
    }
}

/// A kernel with a ring of this many rows.
struct Ringed<C>(C, usize);

impl<C: Case> Case for Ringed<C> {
    fn inputs(&self) -> Vec<Shape> {
        self.0.inputs()
    }
    fn output(&self) -> Shape {
        self.0.output()
    }
    fn adds(&self, input: usize) -> bool {
        self.0.adds(input)
    }
    fn formula(&self, x: &[Vec<f64>]) -> Vec<f64> {
        self.0.formula(x)
    }
    fn forward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], y: &mut Tensor<F>) {
        self.0.forward(cpu, x, y);
    }
    fn backward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], dy: &Tensor<F>, d: &mut [Tensor<F>]) {
        self.0.backward(cpu, x, dy, d);
    }
}

fn ring<F: Float>(of: Extents, rows: usize) -> Tensor<F> {
    // What no position has written yet must not be read.
    filled(Shape::cube(of.batch, rows, 2 * of.heads * of.head_dim), f64::NAN)
}

impl Stream for Ringed<AttendCase> {
    type State<F: Float> = Tensor<F>;
    fn start<F: Float>(&self) -> Tensor<F> {
        ring(self.0.of, self.1)
    }
    fn step<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], clock: &Indices, state: &mut Tensor<F>, y: &mut Tensor<F>) {
        let qkv = packed(&x[0]);
        through_packed(y, |y| cpu.attend(self.0.op(&qkv), Some(Ring { items: state, clock }), None, y));
    }
    fn runs_in_time(&self, _: usize) -> bool {
        true
    }
}

impl Stream for Ringed<RecallCase> {
    type State<F: Float> = [Tensor<F>; 2];
    fn start<F: Float>(&self) -> [Tensor<F>; 2] {
        let of = self.0.of;
        [ring(of, self.1), zeros(Shape::matrix(of.batch, of.heads * of.head_dim))]
    }
    fn step<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], clock: &Indices, state: &mut [Tensor<F>; 2], y: &mut Tensor<F>) {
        let qpv = packed(&x[0]);
        let [items, last] = state;
        let state = RecallState { ring: Ring { items, clock }, last };
        through_packed(y, |y| cpu.recall(self.0.op(x, &qpv), Some(state), None, y));
    }
    fn runs_in_time(&self, input: usize) -> bool {
        input < 2
    }
}

impl Stream for HebbianCase {
    type State<F: Float> = [Tensor<F>; 2];
    fn start<F: Float>(&self) -> [Tensor<F>; 2] {
        let Extents { batch, heads, head_dim, .. } = self.of;
        let w = heads * head_dim;
        [zeros(Shape::cube(batch, 2 * w, head_dim)), zeros(Shape::matrix(batch, w))]
    }
    fn step<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], _: &Indices, state: &mut [Tensor<F>; 2], y: &mut Tensor<F>) {
        let qpv = packed(&x[0]);
        let [matrices, last] = state;
        through_packed(y, |y| cpu.hebbian(self.op(x, &qpv), Some(HebbianState { matrices, last }), y));
    }
    fn runs_in_time(&self, input: usize) -> bool {
        input < 2
    }
}

#[test]
fn a_recurrence_cut_anywhere_is_the_whole() {
    for extents in [[2, 9, 33], [1, 65, 5], [1, 1, 2]] {
        for taps in [1, 2, 4] {
            check_stream(&ConvCase { extents, taps });
        }
        check_stream(&ScanCase { extents });
        check_stream(&PoolCase { extents });
    }
}

#[test]
fn attention_cut_anywhere_is_the_whole_seen_through_the_narrower_of_window_and_ring() {
    for of in EXTENTS.map(extents) {
        for (window, rows) in [(0, 300), (0, 1), (0, 5), (7, 7), (7, 12), (9, 4)] {
            // The formula knows no ring: give it the narrower window, and the kernel the case as it is.
            let seen = if window == 0 { rows } else { rows.min(window) };
            check_stream(&Ringed(AttendCase { of, window: seen }, rows));
            check_stream(&Ringed(AttendCase { of, window: seen }, seen));
        }
    }
}

#[test]
fn modern_memory_cut_anywhere_is_the_whole_seen_through_the_narrower_of_window_and_ring() {
    for (i, of) in EXTENTS.map(extents).into_iter().enumerate() {
        for (slots, successor) in [(0, true), (3, true), (0, false), (3, false)] {
            for rows in [300, 1, 7] {
                check_stream(&Ringed(RecallCase { of, depth: 1 + i % 3, slots, window: rows, successor }, rows));
            }
        }
    }
}

#[test]
fn classic_memory_cut_anywhere_is_the_whole() {
    for (i, of) in EXTENTS.map(extents).into_iter().enumerate() {
        for successor in [true, false] {
            check_stream(&HebbianCase { of, depth: 1 + i % 3, successor });
        }
    }
}
