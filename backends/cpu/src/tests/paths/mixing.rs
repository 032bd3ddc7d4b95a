//! Gates, mixer, running summary.

use super::*;

/// Inputs: hidden, weight, bias, and the control columns if there are any.
struct GateCase {
    rows: [usize; 2],
    hidden: usize,
    on: [bool; 3],
    control: bool,
}

impl GateCase {
    fn paths(&self) -> usize {
        self.on.iter().filter(|&&on| on).count()
    }
    fn op<'a, F: Float>(&self, x: &'a [Tensor<F>], control: Option<&'a Tensor<F>>) -> Gate<'a, Tensor<F>> {
        Gate { hidden: &x[0], weight: &x[1], bias: &x[2], control: control.map(middle), on: self.on }
    }
}

impl Case for GateCase {
    fn inputs(&self) -> Vec<Shape> {
        let ([b, t], n) = (self.rows, self.paths());
        let mut shapes = vec![Shape::cube(b, t, self.hidden), Shape::matrix(n, self.hidden), Shape::vector(n)];
        shapes.extend(self.control.then_some(Shape::cube(b, t, 3)));
        shapes
    }
    fn output(&self) -> Shape {
        Shape::cube(self.rows[0], self.rows[1], self.paths())
    }
    fn adds(&self, input: usize) -> bool {
        input == 1 || input == 2
    }
    fn formula(&self, x: &[Vec<f64>]) -> Vec<f64> {
        let (g, n) = (self.hidden, self.paths());
        let columns: Vec<usize> = (0..3).filter(|&i| self.on[i]).collect();
        let mut y = vec![];
        for row in 0..self.rows[0] * self.rows[1] {
            let logit = |i: usize| {
                let hidden = x[0][row * g..][..g].iter().zip(&x[1][i * g..]).map(|(h, w)| h / (1.0 + (-h).exp()) * w).sum::<f64>();
                hidden + x[2][i] + x.get(3).map_or(0.0, |c| c[row * 3 + columns[i]])
            };
            let sum: f64 = (0..n).map(|i| logit(i).exp()).sum();
            y.extend((0..n).map(|i| n as f64 * logit(i).exp() / sum));
        }
        y
    }
    fn forward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], y: &mut Tensor<F>) {
        let control = x.get(3).map(packed);
        cpu.gate(self.op(x, control.as_ref()), y);
    }
    fn backward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], dy: &Tensor<F>, d: &mut [Tensor<F>]) {
        let control = x.get(3).map(packed);
        let mut gates = zeros(self.output());
        cpu.gate(self.op(x, control.as_ref()), &mut gates);
        match d {
            [hidden, weight, bias, d_control] => through_packed(d_control, |d_control| {
                let d = GateGrad { hidden, weight, bias, control: Some(d_control) };
                cpu.gate_grad(self.op(x, control.as_ref()), &gates, dy, d);
            }),
            [hidden, weight, bias] => cpu.gate_grad(self.op(x, None), &gates, dy, GateGrad { hidden, weight, bias, control: None }),
            _ => unreachable!(),
        }
    }
}

#[test]
fn gates_are_their_formula_and_their_gradient_the_formulas() {
    for on in [[true, true, true], [true, false, true], [false, true, true], [true, true, false]] {
        for control in [false, true] {
            for (rows, hidden) in [([1, 1], 1), ([2, 3], 64), ([3, 65], 33), ([1, 130], 128)] {
                check(&GateCase { rows, hidden, on, control });
            }
            check_every_input(&GateCase { rows: [2, 3], hidden: 5, on, control });
        }
    }
}

/// Inputs: paths, gain, and the gates if there are any.
struct MixCase {
    rows: [usize; 2],
    widths: [usize; 3],
    gates: bool,
    norm: bool,
}

impl MixCase {
    fn op<'a, F: Float>(&self, x: &'a [Tensor<F>]) -> Mix<'a, Tensor<F>> {
        Mix { paths: &x[0], gain: &x[1], gates: x.get(2), widths: self.widths, norm: self.norm, eps: 1e-5 }
    }
}

impl Case for MixCase {
    fn inputs(&self) -> Vec<Shape> {
        let ([b, t], w) = (self.rows, self.widths.iter().sum());
        let n = self.widths.iter().filter(|&&w| w > 0).count();
        let mut shapes = vec![Shape::cube(b, t, w), Shape::vector(w)];
        shapes.extend(self.gates.then_some(Shape::cube(b, t, n)));
        shapes
    }
    fn output(&self) -> Shape {
        self.inputs()[0]
    }
    fn adds(&self, input: usize) -> bool {
        input == 1
    }
    fn formula(&self, x: &[Vec<f64>]) -> Vec<f64> {
        let mut y = vec![];
        let widths: Vec<usize> = self.widths.into_iter().filter(|&w| w > 0).collect();
        let width: usize = widths.iter().sum();
        for row in 0..self.rows[0] * self.rows[1] {
            let mut start = 0;
            for (i, &w) in widths.iter().enumerate() {
                let path = &x[0][row * width + start..][..w];
                let mean = path.iter().map(|x| x * x).sum::<f64>() / w as f64;
                let scale = if self.norm { 1.0 / (mean + 1e-5f32 as f64).sqrt() } else { 1.0 };
                let gate = x.get(2).map_or(1.0, |g| g[row * widths.len() + i]);
                y.extend(path.iter().zip(&x[1][start..]).map(|(x, gain)| gate * gain * x * scale));
                start += w;
            }
        }
        y
    }
    fn forward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], y: &mut Tensor<F>) {
        cpu.mix(self.op(x), y);
    }
    fn backward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], dy: &Tensor<F>, d: &mut [Tensor<F>]) {
        let [paths, gain, gates @ ..] = d else { unreachable!() };
        cpu.mix_grad(self.op(x), dy, MixGrad { paths, gain, gates: gates.first_mut() });
    }
}

#[test]
fn the_mixer_is_its_formula_and_its_gradient_the_formulas() {
    for norm in [true, false] {
        for gates in [true, false] {
            for (rows, widths) in [([1, 1], [1, 2, 3]), ([2, 65], [40, 0, 33]), ([3, 130], [160, 64, 64]), ([1, 63], [0, 0, 7])] {
                check(&MixCase { rows, widths, gates, norm });
            }
            check_every_input(&MixCase { rows: [2, 3], widths: [3, 2, 4], gates, norm });
        }
    }
}

/// Inputs: x, decay.
pub(super) struct PoolCase {
    pub(super) extents: [usize; 3],
}

impl Case for PoolCase {
    fn inputs(&self) -> Vec<Shape> {
        let [b, t, w] = self.extents;
        vec![Shape::cube(b, t, w), Shape::vector(w)]
    }
    fn output(&self) -> Shape {
        self.inputs()[0]
    }
    fn adds(&self, input: usize) -> bool {
        input == 1
    }
    fn formula(&self, x: &[Vec<f64>]) -> Vec<f64> {
        let [b, t, w] = self.extents;
        let mut y = vec![0.0; b * t * w];
        for (b, c) in (0..b * w).map(|i| (i / w, i % w)) {
            let a = 1.0 / (1.0 + (-x[1][c]).exp());
            let mut m = 0.0;
            for row in b * t..(b + 1) * t {
                let x = x[0][row * w + c];
                m = a * m + (1.0 - a) * x / (1.0 + (-x).exp());
                y[row * w + c] = m;
            }
        }
        y
    }
    fn forward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], y: &mut Tensor<F>) {
        cpu.pool(Pool { x: &x[0], decay: &x[1] }, None, y);
    }
    fn backward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], dy: &Tensor<F>, d: &mut [Tensor<F>]) {
        let mut y = zeros(self.output());
        self.forward(cpu, x, &mut y);
        let [dx, decay] = d else { unreachable!() };
        cpu.pool_grad(Pool { x: &x[0], decay: &x[1] }, &y, dy, PoolGrad { x: dx, decay });
    }
}

#[test]
fn the_running_summary_is_its_formula_and_its_gradient_the_formulas() {
    for extents in [[1, 1, 1], [2, 3, 33], [3, 65, 128], [1, 130, 7]] {
        check(&PoolCase { extents });
    }
    check_every_input(&PoolCase { extents: [2, 5, 3] });
}
