use super::*;
use crate::{dropout, embed, flow_hidden, last, matmul, norm, positions, swiglu};
use hh_core::ops::*;

/// Inputs x, w, bias, residual.
struct Product {
    rows: usize,
    inp: usize,
    out: usize,
}

impl Product {
    fn op<'a, F: Float>(&self, x: &'a [Tensor<F>]) -> Matmul<'a, Tensor<F>> {
        Matmul { x: &x[0], w: &x[1], bias: Some(&x[2]), add: Some(&x[3]) }
    }
}

impl Case for Product {
    fn inputs(&self) -> Vec<Shape> {
        let (rows, inp, out) = (self.rows, self.inp, self.out);
        vec![Shape::matrix(rows, inp), Shape::matrix(out, inp), Shape::vector(out), Shape::matrix(rows, out)]
    }
    fn output(&self) -> Shape {
        Shape::matrix(self.rows, self.out)
    }
    fn adds(&self, input: usize) -> bool {
        input == 1 || input == 2
    }
    fn formula(&self, x: &[Vec<f64>]) -> Vec<f64> {
        let (inp, out) = (self.inp, self.out);
        let product = |r: usize, o: usize| (0..inp).map(|k| x[0][r * inp + k] * x[1][o * inp + k]).sum::<f64>();
        (0..self.rows * out).map(|i| product(i / out, i % out) + x[2][i % out] + x[3][i]).collect()
    }
    fn forward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], y: &mut Tensor<F>) {
        matmul::forward(cpu, self.op(x), y);
    }
    fn backward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], dy: &Tensor<F>, d: &mut [Tensor<F>]) {
        let [dx, dw, dbias, dadd] = d else { panic!() };
        matmul::backward(cpu, self.op(x), dy, MatmulGrad { x: GradOut::Write(dx), w: dw, bias: Some(dbias) });
        dadd.data_mut().copy_from_slice(dy.data());
    }
}

#[test]
fn matrix_product_is_its_formula_at_any_extents() {
    for rows in AWKWARD {
        for (inp, out) in [(1, 1), (3, 65), (65, 3), (63, 17), (500, 63), (17, 500), (300, 300)] {
            check(&Product { rows, inp, out });
        }
    }
    // More columns than one packed block holds, and rows that are read where they lie.
    check(&Product { rows: 5, inp: 257, out: 4500 });
    check(&Product { rows: 2, inp: 700, out: 300 });
}

#[test]
fn the_input_s_gradient_goes_where_the_sink_says() {
    let case = Product { rows: 65, inp: 63, out: 17 };
    let x: Vec<Tensor<f64>> = case.inputs().into_iter().enumerate().map(|(i, s)| tensor(s, &numbers(i as u32, s))).collect();
    let dy = tensor(case.output(), &numbers(9, case.output()));
    let mut cpu = Cpu::new(Threads::one());
    let mut gradients = |sink: GradOut<Tensor<f64>>| {
        let mut w = filled(x[1].shape(), 1.0);
        matmul::backward(&mut cpu, Matmul::new(&x[0], &x[1]), &dy, MatmulGrad { x: sink, w: &mut w, bias: None });
        w
    };
    let (mut set, mut add) = (filled(x[0].shape(), f64::NAN), filled(x[0].shape(), 3.0));
    let with_set = gradients(GradOut::Write(&mut set));
    assert_eq!(with_set.data(), gradients(GradOut::Add(&mut add)).data());
    assert_eq!(with_set.data(), gradients(GradOut::Skip).data());
    close("add", add.data(), &set.data().iter().map(|x| x + 3.0).collect::<Vec<_>>(), 1e-14);
}

/// Inputs x, gain, and the residual that goes past the norm.
struct Rms(usize, usize);

impl Case for Rms {
    fn inputs(&self) -> Vec<Shape> {
        vec![Shape::matrix(self.0, self.1), Shape::vector(self.1)]
    }
    fn output(&self) -> Shape {
        Shape::matrix(self.0, self.1)
    }
    fn adds(&self, input: usize) -> bool {
        input == 1
    }
    fn formula(&self, x: &[Vec<f64>]) -> Vec<f64> {
        let row = |x: &[f64]| (x.iter().map(|x| x * x).sum::<f64>() / self.1 as f64 + f64::from(1e-5f32)).sqrt();
        x[0].chunks(self.1).flat_map(|r| r.iter().zip(&x[1]).map(|(v, g)| g * v / row(r)).collect::<Vec<_>>()).collect()
    }
    fn forward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], y: &mut Tensor<F>) {
        norm::forward(cpu, Norm { x: &x[0], gain: &x[1], eps: 1e-5 }, y);
    }
    fn backward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], dy: &Tensor<F>, d: &mut [Tensor<F>]) {
        let [dx, gain] = d else { panic!() };
        norm::backward(cpu, Norm { x: &x[0], gain: &x[1], eps: 1e-5 }, dy, Some(dy), NormGrad { x: dx, gain });
        dx.data_mut().iter_mut().zip(dy.data()).for_each(|(dx, &dy)| *dx -= dy);
    }
}

/// Input packed.
struct Gated(usize, usize);

impl Case for Gated {
    fn inputs(&self) -> Vec<Shape> {
        vec![Shape::matrix(self.0, 2 * self.1)]
    }
    fn output(&self) -> Shape {
        Shape::matrix(self.0, self.1)
    }
    fn adds(&self, _: usize) -> bool {
        false
    }
    fn formula(&self, x: &[Vec<f64>]) -> Vec<f64> {
        let row = |x: &[f64]| (0..self.1).map(|i| x[i] / (1.0 + (-x[i]).exp()) * x[self.1 + i]).collect::<Vec<_>>();
        x[0].chunks(2 * self.1).flat_map(row).collect()
    }
    fn forward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], y: &mut Tensor<F>) {
        swiglu::forward(cpu, Swiglu { packed: &x[0] }, y);
    }
    fn backward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], dy: &Tensor<F>, d: &mut [Tensor<F>]) {
        swiglu::backward(cpu, Swiglu { packed: &x[0] }, dy, &mut d[0]);
    }
}

/// Inputs x, weight, with its own τ.
struct Hidden(usize, usize);

impl Hidden {
    fn time<F: Float>(&self) -> Tensor<F> {
        tensor(Shape::matrix(self.0, 1), &numbers(50, Shape::matrix(self.0, 1)))
    }
}

impl Case for Hidden {
    fn inputs(&self) -> Vec<Shape> {
        vec![Shape::matrix(self.0, self.1), Shape::vector(self.1)]
    }
    fn output(&self) -> Shape {
        Shape::matrix(self.0, self.1)
    }
    fn adds(&self, input: usize) -> bool {
        input == 1
    }
    fn formula(&self, x: &[Vec<f64>]) -> Vec<f64> {
        let time = self.time::<f64>();
        let inner = |i: usize| x[0][i] + time.data()[i / self.1] * x[1][i % self.1];
        (0..self.0 * self.1).map(inner).map(|x| x / (1.0 + (-x).exp())).collect()
    }
    fn forward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], y: &mut Tensor<F>) {
        flow_hidden::forward(cpu, FlowHidden { x: &x[0], time: &self.time(), weight: &x[1] }, y);
    }
    fn backward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], dy: &Tensor<F>, d: &mut [Tensor<F>]) {
        let [dx, weight] = d else { panic!() };
        flow_hidden::backward(cpu, FlowHidden { x: &x[0], time: &self.time(), weight: &x[1] }, dy, FlowHiddenGrad { x: dx, weight });
    }
}

/// Input table, with repeated tokens.
struct Lookup(usize, usize);

impl Lookup {
    fn tokens(&self) -> Vec<u32> {
        (0..self.0 as u32).map(|i| i * 7 % 5).collect()
    }
}

impl Case for Lookup {
    fn inputs(&self) -> Vec<Shape> {
        vec![Shape::matrix(6, self.1)]
    }
    fn output(&self) -> Shape {
        Shape::matrix(self.0, self.1)
    }
    fn adds(&self, _: usize) -> bool {
        true
    }
    fn formula(&self, x: &[Vec<f64>]) -> Vec<f64> {
        self.tokens().iter().flat_map(|&t| x[0][t as usize * self.1..][..self.1].to_vec()).collect()
    }
    fn forward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], y: &mut Tensor<F>) {
        embed::forward(cpu, Embed { tokens: &indices(Shape::matrix(1, self.0), &self.tokens()), table: &x[0] }, y);
    }
    fn backward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], dy: &Tensor<F>, d: &mut [Tensor<F>]) {
        embed::backward(cpu, Embed { tokens: &indices(Shape::matrix(1, self.0), &self.tokens()), table: &x[0] }, dy, &mut d[0]);
    }
}

/// Input table; two sequences, after five positions. What positions are added to is zero.
struct Learned(usize, usize);

impl Case for Learned {
    fn inputs(&self) -> Vec<Shape> {
        vec![Shape::matrix(self.0 + 6, self.1)]
    }
    fn output(&self) -> Shape {
        Shape::cube(2, self.0, self.1)
    }
    fn adds(&self, _: usize) -> bool {
        true
    }
    fn formula(&self, x: &[Vec<f64>]) -> Vec<f64> {
        x[0][5 * self.1..][..self.0 * self.1].repeat(2)
    }
    fn forward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], y: &mut Tensor<F>) {
        y.data_mut().fill(F::ZERO);
        positions::forward(cpu, Positions { table: &x[0], clock: Some(&indices(Shape::vector(1), &[5])) }, y);
    }
    fn backward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], dy: &Tensor<F>, d: &mut [Tensor<F>]) {
        positions::backward(cpu, Positions { table: &x[0], clock: Some(&indices(Shape::vector(1), &[5])) }, dy, &mut d[0]);
    }
}

/// Inputs y (before) and the residual.
struct Dropped(usize);

const DRAW: [u32; 4] = [3, 1, 4, 1];

impl Case for Dropped {
    fn inputs(&self) -> Vec<Shape> {
        vec![Shape::matrix(1, self.0); 2]
    }
    fn output(&self) -> Shape {
        Shape::matrix(1, self.0)
    }
    fn adds(&self, _: usize) -> bool {
        false
    }
    fn formula(&self, x: &[Vec<f64>]) -> Vec<f64> {
        let kept = |i: usize| if rng::uniform(DRAW, 5, i as u32) >= 0.25 { 1.0 / 0.75 } else { 0.0 };
        (0..self.0).map(|i| x[1][i] + kept(i) * x[0][i]).collect()
    }
    fn forward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], y: &mut Tensor<F>) {
        cpu.copy(&x[0], y);
        let draw = Draw { key: &indices(Shape::vector(4), &DRAW), site: 5 };
        dropout::forward(cpu, Dropout { residual: Some(&x[1]), rate: 0.25, draw }, y);
    }
    fn backward<F: Float>(&self, cpu: &mut Cpu<F>, x: &[Tensor<F>], dy: &Tensor<F>, d: &mut [Tensor<F>]) {
        let draw = Draw { key: &indices(Shape::vector(4), &DRAW), site: 5 };
        dropout::backward(cpu, Dropout { residual: Some(&x[1]), rate: 0.25, draw }, dy, &mut d[0]);
        d[1].data_mut().copy_from_slice(dy.data());
    }
}

#[test]
fn row_wise_kernels_are_their_formulas_at_any_extents() {
    for rows in AWKWARD {
        for width in AWKWARD {
            check(&Rms(rows, width));
            check(&Gated(rows, width));
            check(&Hidden(rows, width));
            check(&Lookup(rows, width));
            check(&Learned(rows, width));
        }
        check(&Dropped(rows * 67));
    }
}

#[test]
fn last_takes_the_last_position_of_each_sequence() {
    let x = tensor::<f32>(Shape::cube(2, 3, 2), &[1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12.]);
    let mut y = filled(Shape::cube(2, 1, 2), f64::NAN);
    last::forward(&mut Cpu::new(Threads::one()), &x, &mut y);
    assert_eq!(y.data(), [5., 6., 11., 12.]);
}
