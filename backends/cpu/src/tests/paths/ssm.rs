//! Convolution and scan.

use super::*;

pub(super) struct ConvCase {
    pub(super) extents: [usize; 3],
    pub(super) taps: usize,
}

impl Case for ConvCase {
    fn inputs(&self) -> Vec<Shape> {
        let [b, t, w] = self.extents;
        vec![Shape::cube(b, t, w), Shape::matrix(w, self.taps), Shape::vector(w)]
    }
    fn output(&self) -> Shape {
        let [b, t, w] = self.extents;
        Shape::cube(b, t, w)
    }
    fn adds(&self, input: usize) -> bool {
        input > 0
    }
    fn formula(&self, x: &[Vec<f64>]) -> Vec<f64> {
        let ([b, t, w], k) = (self.extents, self.taps);
        let mut y = vec![];
        for (b, t, c) in (0..b * t * w).map(|i| (i / w / t % b, i / w % t, i % w)) {
            let mut sum = x[2][c];
            for i in 0..k {
                if t + i + 1 >= k {
                    sum += x[1][c * k + i] * x[0][(b * self.extents[1] + t + i + 1 - k) * w + c];
                }
            }
            y.push(sum / (1.0 + (-sum).exp()));
        }
        y
    }
    fn forward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], y: &mut Tensor<F>) {
        cpu.conv(Conv { x: middle(&packed(&x[0])), weight: &x[1], bias: &x[2] }, None, y);
    }
    fn backward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], dy: &Tensor<F>, d: &mut [Tensor<F>]) {
        let [dx, weight, bias] = d else { unreachable!() };
        let wide = packed(&x[0]);
        through_packed(dx, |dx| {
            cpu.conv_grad(Conv { x: middle(&wide), weight: &x[1], bias: &x[2] }, dy, ConvGrad { x: dx, weight, bias });
        });
    }
}

/// Inputs: x, packed gates, gate_bias, log_decay, skip.
pub(super) struct ScanCase {
    pub(super) extents: [usize; 3],
}

pub(super) fn scan_op<'a, F: Float>(x: &'a [Tensor<F>], gates: &'a Tensor<F>) -> Scan<'a, Tensor<F>> {
    Scan { x: &x[0], gates: middle(gates), gate_bias: &x[2], log_decay: &x[3], skip: &x[4] }
}

impl Case for ScanCase {
    fn inputs(&self) -> Vec<Shape> {
        let [b, t, w] = self.extents;
        vec![Shape::cube(b, t, w), Shape::cube(b, t, 3 * w), Shape::matrix(2, w), Shape::vector(w), Shape::vector(w)]
    }
    fn output(&self) -> Shape {
        self.inputs()[0]
    }
    fn adds(&self, input: usize) -> bool {
        input > 1
    }
    fn formula(&self, x: &[Vec<f64>]) -> Vec<f64> {
        let [b, t, w] = self.extents;
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let mut y = vec![0.0; b * t * w];
        for (b, c) in (0..b * w).map(|i| (i / w, i % w)) {
            let mut h = 0.0;
            for row in b * t..(b + 1) * t {
                let gate = |i: usize| x[1][row * 3 * w + i * w + c];
                let (g_in, g_forget) = (sigmoid(gate(1) + x[2][c]), sigmoid(gate(2) + x[2][w + c]));
                let log_a = -8.0 * x[3][c].exp().ln_1p() * g_forget;
                let input = x[0][row * w + c];
                h = log_a.exp() * h + (1e-6 - (2.0 * log_a).exp_m1()).sqrt() * g_in * input;
                y[row * w + c] = (h + x[4][c] * input) * gate(0) * sigmoid(gate(0));
            }
        }
        y
    }
    fn forward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], y: &mut Tensor<F>) {
        let gates = packed(&x[1]);
        through_packed(y, |y| cpu.scan(scan_op(x, &gates), None, None, y));
    }
    fn backward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], dy: &Tensor<F>, d: &mut [Tensor<F>]) {
        let (gates, dy) = (packed(&x[1]), packed(dy));
        let mut saved = filled(self.output(), f64::NAN);
        cpu.scan(scan_op(x, &gates), None, Some(&mut saved), ColumnsMut::all(&mut zeros(self.output())));
        let [dx, d_gates, gate_bias, log_decay, skip] = d else { unreachable!() };
        through_packed(d_gates, |gates_grad| {
            let d = ScanGrad { x: dx, gates: gates_grad, gate_bias, log_decay, skip };
            cpu.scan_grad(scan_op(x, &gates), &saved, middle(&dy), d);
        });
    }
}

const EXTENTS: [[usize; 3]; 6] = [[1, 1, 1], [2, 2, 5], [1, 3, 33], [3, 7, 64], [2, 65, 40], [1, 130, 2]];

#[test]
fn convolution_is_its_formula_and_its_gradient_the_formulas() {
    for extents in EXTENTS {
        for taps in [1, 2, 4] {
            check(&ConvCase { extents, taps });
        }
    }
    check_every_input(&ConvCase { extents: [2, 5, 3], taps: 4 });
}

#[test]
fn the_scan_is_its_formula_and_its_gradient_the_formulas() {
    for extents in EXTENTS {
        check(&ScanCase { extents });
    }
    check_every_input(&ScanCase { extents: [2, 5, 3] });
}
