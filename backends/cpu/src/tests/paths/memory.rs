//! Rotation, attention, modern and classic Hopfield memory.

use super::*;

/// Extents of a memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extents {
    pub(super) batch: usize,
    pub(super) time: usize,
    pub(super) heads: usize,
    pub(super) head_dim: usize,
}

impl Extents {
    pub(super) fn packed(&self, parts: usize) -> Shape {
        Shape::cube(self.batch, self.time, parts * self.heads * self.head_dim)
    }
    /// Each head of each position: index of the position, first column, position in its sequence.
    fn queries(self) -> impl Iterator<Item = (usize, usize, usize)> {
        let (rows, heads) = (self.batch * self.time, self.heads);
        (0..rows * heads).map(move |i| (i / heads, i % heads * self.head_dim, i / heads % self.time))
    }
    /// Query, key or value (0, 1, 2) of a head.
    fn part(self, packed: &[f64], row: usize, column: usize, part: usize) -> &[f64] {
        let w = self.heads * self.head_dim;
        &packed[row * 3 * w + part * w + column..][..self.head_dim]
    }
}

pub(super) const EXTENTS: [[usize; 4]; 7] =
    [[1, 1, 1, 2], [2, 2, 2, 8], [1, 63, 1, 32], [2, 65, 2, 8], [1, 130, 1, 2], [1, 130, 2, 20], [1, 300, 1, 2]];

pub(super) fn extents([batch, time, heads, head_dim]: [usize; 4]) -> Extents {
    Extents { batch, time, heads, head_dim }
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn unit(v: &[f64]) -> Vec<f64> {
    let scale = 1.0 / (inner(v, v) + 1e-6).sqrt();
    v.iter().map(|v| v * scale).collect()
}

fn softmax(x: &[f64]) -> Vec<f64> {
    let sum: f64 = x.iter().map(|x| x.exp()).sum();
    x.iter().map(|x| x.exp() / sum).collect()
}

/// Input: packed q | k | v.
pub(super) struct AttendCase {
    pub(super) of: Extents,
    pub(super) window: usize,
}

impl AttendCase {
    pub(super) fn op<'a, F: Float>(&self, qkv: &'a Tensor<F>) -> Attend<'a, Tensor<F>> {
        Attend { qkv: middle(qkv), head_dim: self.of.head_dim, window: self.window }
    }
}

impl Case for AttendCase {
    fn inputs(&self) -> Vec<Shape> {
        vec![self.of.packed(3)]
    }
    fn output(&self) -> Shape {
        self.of.packed(1)
    }
    fn adds(&self, _: usize) -> bool {
        false
    }
    fn formula(&self, x: &[Vec<f64>]) -> Vec<f64> {
        let mut y = vec![];
        for (row, column, t) in self.of.queries() {
            let seen = (0..=t).filter(|j| self.window == 0 || t - j < self.window).map(|j| row - t + j);
            let query = self.of.part(&x[0], row, column, 0);
            let scores: Vec<f64> =
                seen.clone().map(|j| inner(query, self.of.part(&x[0], j, column, 1)) / (query.len() as f64).sqrt()).collect();
            let weights = softmax(&scores);
            y.extend(
                (0..query.len()).map(|e| seen.clone().zip(&weights).map(|(j, p)| p * self.of.part(&x[0], j, column, 2)[e]).sum::<f64>()),
            );
        }
        y
    }
    fn forward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], y: &mut Tensor<F>) {
        let qkv = packed(&x[0]);
        through_packed(y, |y| cpu.attend(self.op(&qkv), None, None, y));
    }
    fn backward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], dy: &Tensor<F>, d: &mut [Tensor<F>]) {
        let (qkv, dy) = (packed(&x[0]), packed(dy));
        let Extents { batch, time, heads, .. } = self.of;
        let mut saved = filled(Shape::cube(batch, time, heads), f64::NAN);
        let mut y = zeros(self.output());
        cpu.attend(self.op(&qkv), None, Some(&mut saved), ColumnsMut::all(&mut y));
        through_packed(&mut d[0], |d| cpu.attend_grad(self.op(&qkv), Columns::all(&y), &saved, middle(&dy), d));
    }
}

#[test]
fn attention_is_its_formula_and_its_gradient_the_formulas() {
    for window in [0, 1, 7, 70] {
        for of in EXTENTS.map(extents) {
            check(&AttendCase { of, window });
        }
        check_every_input(&AttendCase { of: extents([2, 9, 2, 2]), window });
    }
}

/// Inputs: packed q | pattern | value, depth, log_beta, and patterns and values of the slots if there are any.
#[derive(Clone, Copy)]
pub(super) struct RecallCase {
    pub(super) of: Extents,
    pub(super) depth: usize,
    pub(super) slots: usize,
    pub(super) window: usize,
    pub(super) successor: bool,
}

impl RecallCase {
    pub(super) fn op<'a, F: Float>(&self, x: &'a [Tensor<F>], qpv: &'a Tensor<F>) -> Recall<'a, Tensor<F>> {
        let slots = (self.slots > 0).then(|| Slots { patterns: &x[3], values: &x[4] });
        let (head_dim, window, successor) = (self.of.head_dim, self.window, self.successor);
        Recall { qpv: middle(qpv), depth: &x[1], log_beta: &x[2], slots, head_dim, window, successor }
    }
}

/// Patterns (not yet of unit length) and values that a query sees, oldest first.
fn items(of: Extents, qpv: &[f64], row: usize, column: usize, t: usize, window: usize, successor: bool) -> Vec<[&[f64]; 2]> {
    let shift = usize::from(successor);
    (shift..=t)
        .filter(|j| window == 0 || t - j < window)
        .map(|j| [of.part(qpv, row - t + j - shift, column, 1), of.part(qpv, row - t + j, column, 2)])
        .collect()
}

impl Case for RecallCase {
    fn inputs(&self) -> Vec<Shape> {
        let Extents { batch, time, heads, head_dim } = self.of;
        let mut shapes = vec![self.of.packed(3), Shape::cube(batch, time, self.depth), Shape::vector(heads)];
        if self.slots > 0 {
            shapes.extend([Shape::cube(heads, self.slots, head_dim); 2]);
        }
        shapes
    }
    fn output(&self) -> Shape {
        self.of.packed(1)
    }
    fn adds(&self, input: usize) -> bool {
        input > 1
    }
    fn tolerance(&self) -> f64 {
        1e-5
    }
    fn formula(&self, x: &[Vec<f64>]) -> Vec<f64> {
        let d = self.of.head_dim;
        let mut y = vec![];
        for (row, column, t) in self.of.queries() {
            let slot = |of: usize, m: usize| &x[of][(column / d * self.slots + m) * d..][..d];
            let mut seen: Vec<_> = (0..self.slots).map(|m| [slot(3, m), slot(4, m)]).collect();
            seen.extend(items(self.of, &x[0], row, column, t, self.window, self.successor));
            let patterns: Vec<Vec<f64>> = seen.iter().map(|[p, _]| unit(p)).collect();
            let mixture = softmax(&x[1][row * self.depth..][..self.depth]);
            let mut xi = unit(self.of.part(&x[0], row, column, 0));
            let mut sum = vec![0.0; d];
            for weight in mixture {
                let scores: Vec<f64> = patterns.iter().map(|p| x[2][column / d].exp() * inner(&xi, p)).collect();
                for ((p, [_, value]), pattern) in softmax(&scores).iter().zip(&seen).zip(&patterns) {
                    sum.iter_mut().zip(*value).for_each(|(y, v)| *y += weight * p * v);
                    xi.iter_mut().zip(pattern).for_each(|(xi, v)| *xi += p * v);
                }
                xi = unit(&xi);
            }
            y.extend(sum);
        }
        y
    }
    fn forward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], y: &mut Tensor<F>) {
        let qpv = packed(&x[0]);
        through_packed(y, |y| cpu.recall(self.op(x, &qpv), None, None, y));
    }
    fn backward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], dy: &Tensor<F>, d: &mut [Tensor<F>]) {
        let (qpv, dy) = (packed(&x[0]), packed(dy));
        let Extents { batch, time, heads, .. } = self.of;
        let mut saved = RecallSaved {
            reads: filled(self.of.packed(self.depth), f64::NAN),
            moved: filled(self.of.packed(self.depth), f64::NAN),
            log_sum: filled(Shape::cube(batch, time, self.depth * heads), f64::NAN),
        };
        cpu.recall(self.op(x, &qpv), None, Some(&mut saved), ColumnsMut::all(&mut zeros(self.output())));
        let [d_qpv, depth, log_beta, slots @ ..] = d else { unreachable!() };
        let slots = match slots {
            [patterns, values] => Some(SlotsGrad { patterns, values }),
            _ => None,
        };
        through_packed(d_qpv, |d_qpv| {
            cpu.recall_grad(self.op(x, &qpv), &saved, middle(&dy), RecallGrad { qpv: d_qpv, depth, log_beta, slots });
        });
    }
}

#[test]
fn modern_memory_is_its_formula_and_its_gradient_the_formulas() {
    for successor in [true, false] {
        for (slots, window) in [(0, 0), (3, 0), (0, 1), (3, 7), (70, 7)] {
            for (i, of) in EXTENTS.map(extents).into_iter().enumerate() {
                check(&RecallCase { of, depth: 1 + (i + slots) % 3, slots, window, successor });
            }
            for depth in [1, 2, 3] {
                check_every_input(&RecallCase { of: extents([2, 5, 2, 2]), depth, slots: slots.min(3), window: window.min(2), successor });
            }
        }
    }
}

/// Inputs: packed q | pattern | value, depth, log_beta, decay.
#[derive(Clone, Copy)]
pub(super) struct HebbianCase {
    pub(super) of: Extents,
    pub(super) depth: usize,
    pub(super) successor: bool,
}

impl HebbianCase {
    pub(super) fn op<'a, F: Float>(&self, x: &'a [Tensor<F>], qpv: &'a Tensor<F>) -> Hebbian<'a, Tensor<F>> {
        let (head_dim, successor) = (self.of.head_dim, self.successor);
        Hebbian { qpv: middle(qpv), depth: &x[1], log_beta: &x[2], decay: &x[3], head_dim, successor }
    }
}

impl Case for HebbianCase {
    fn inputs(&self) -> Vec<Shape> {
        let Extents { batch, time, heads, .. } = self.of;
        vec![self.of.packed(3), Shape::cube(batch, time, self.depth), Shape::vector(heads), Shape::vector(heads)]
    }
    fn output(&self) -> Shape {
        self.of.packed(1)
    }
    fn adds(&self, input: usize) -> bool {
        input > 1
    }
    fn tolerance(&self) -> f64 {
        // The gradient of the decay is a difference of two sums that each grow with time.
        5e-4
    }
    fn formula(&self, x: &[Vec<f64>]) -> Vec<f64> {
        let d = self.of.head_dim;
        let mut y = vec![];
        for (row, column, t) in self.of.queries() {
            let seen = items(self.of, &x[0], row, column, t, 0, self.successor);
            let (beta, gamma) = (x[2][column / d].exp(), 1.0 / (1.0 + (-x[3][column / d]).exp()));
            let mut xi = unit(self.of.part(&x[0], row, column, 0));
            let mut sum = vec![0.0; d];
            for weight in softmax(&x[1][row * self.depth..][..self.depth]) {
                let mut pull = vec![0.0; d];
                for (age, [pattern, value]) in seen.iter().rev().enumerate() {
                    let pattern = unit(pattern);
                    let s = gamma.powi(age as i32) * inner(&xi, &pattern);
                    sum.iter_mut().zip(*value).for_each(|(y, v)| *y += weight * s * v);
                    pull.iter_mut().zip(pattern).for_each(|(z, p)| *z += s * p);
                }
                xi.iter_mut().zip(pull).for_each(|(xi, z)| *xi += (beta * z).tanh());
                xi = unit(&xi);
            }
            y.extend(sum);
        }
        y
    }
    fn forward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], y: &mut Tensor<F>) {
        let qpv = packed(&x[0]);
        through_packed(y, |y| cpu.hebbian(self.op(x, &qpv), None, y));
    }
    fn backward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], dy: &Tensor<F>, d: &mut [Tensor<F>]) {
        let (qpv, dy) = (packed(&x[0]), packed(dy));
        let [d_qpv, depth, log_beta, decay] = d else { unreachable!() };
        through_packed(d_qpv, |d_qpv| {
            cpu.hebbian_grad(self.op(x, &qpv), middle(&dy), HebbianGrad { qpv: d_qpv, depth, log_beta, decay });
        });
    }
}

#[test]
fn classic_memory_is_its_formula_and_its_gradient_the_formulas() {
    for successor in [true, false] {
        for (i, of) in EXTENTS.map(extents).into_iter().enumerate() {
            check(&HebbianCase { of, depth: 1 + i % 3, successor });
        }
        for depth in [1, 2, 3] {
            check_every_input(&HebbianCase { of: extents([2, 6, 2, 3]), depth, successor });
        }
    }
}

/// Input: the columns that are turned.
struct RotateCase {
    of: Extents,
    clock: u32,
}

impl Case for RotateCase {
    fn inputs(&self) -> Vec<Shape> {
        vec![self.of.packed(1)]
    }
    fn output(&self) -> Shape {
        self.of.packed(1)
    }
    fn adds(&self, _: usize) -> bool {
        false
    }
    fn formula(&self, x: &[Vec<f64>]) -> Vec<f64> {
        let (d, half) = (self.of.head_dim, self.of.head_dim / 2);
        let mut y = vec![];
        for (head, x) in x[0].chunks_exact(d).enumerate() {
            let position = f64::from(self.clock) + (head / self.of.heads % self.of.time) as f64;
            let angle = |i: usize| position * 10_000f64.powf(-2.0 * i as f64 / d as f64);
            y.extend((0..half).map(|i| x[i] * angle(i).cos() - x[half + i] * angle(i).sin()));
            y.extend((0..half).map(|i| x[i] * angle(i).sin() + x[half + i] * angle(i).cos()));
        }
        y
    }
    fn forward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], y: &mut Tensor<F>) {
        y.data_mut().copy_from_slice(x[0].data());
        let clock = indices(Shape::vector(1), &[self.clock]);
        let op = Rotate { clock: Some(&clock), head_dim: self.of.head_dim, base: 10_000.0, inverse: false };
        through_packed(y, |y| cpu.rotate(op, y));
    }
    fn backward<F: Float>(&self, cpu: &mut Cpu<F>, _: &[Tensor<F>], dy: &Tensor<F>, d: &mut [Tensor<F>]) {
        d[0].data_mut().copy_from_slice(dy.data());
        let clock = indices(Shape::vector(1), &[self.clock]);
        let op = Rotate { clock: Some(&clock), head_dim: self.of.head_dim, base: 10_000.0, inverse: true };
        through_packed(&mut d[0], |d| cpu.rotate(op, d));
    }
}

#[test]
fn rotation_is_its_formula_and_its_inverse_the_gradient() {
    for of in EXTENTS.map(extents) {
        for clock in [0, 5, 1000] {
            check(&RotateCase { of, clock });
        }
    }
}
