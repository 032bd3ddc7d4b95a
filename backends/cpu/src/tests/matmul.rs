//! The weights' gradient does not depend on where the input's goes.

use super::*;
use crate::matmul;
use hh_core::{
    backend::Forward,
    ops::{GradOut, Matmul, MatmulGrad},
};

#[test]
fn the_inputs_gradient_goes_where_grad_out_says() {
    let [x, w, dy] =
        [Shape::matrix(65, 63), Shape::matrix(17, 63), Shape::matrix(65, 17)].map(|s| tensor(s, &numbers(s.width() as u32, s)));
    let mut cpu = Cpu::new(Threads::one());
    let mut gradients = |to: GradOut<Tensor<f64>>| {
        let mut dw = filled(w.shape(), 1.0);
        matmul::backward(&mut cpu, Matmul::new(&x, &w), &dy, MatmulGrad { x: to, w: &mut dw, bias: None });
        dw
    };
    let (mut set, mut add) = (filled(x.shape(), f64::NAN), filled(x.shape(), 3.0));
    let with_set = gradients(GradOut::Write(&mut set));
    assert_eq!(with_set.data(), gradients(GradOut::Add(&mut add)).data());
    assert_eq!(with_set.data(), gradients(GradOut::Skip).data());
    close("add", add.data(), &set.data().iter().map(|x| x + 3.0).collect::<Vec<_>>(), 1e-14);
}

#[test]
fn a_row_has_the_bits_that_it_has_alone() {
    for (inp, out) in [(1, 1), (31, 5), (32, 6), (256, 40), (333, 7)] {
        for level in Level::all() {
            let mut cpu = Cpu::<f32>::with_level(Threads::new(2), level).with_rows_alone();
            let (x, w) = (numbers(1, Shape::matrix(70, inp)), numbers(2, Shape::matrix(out, inp)));
            let (w, bias) = (tensor(Shape::matrix(out, inp), &w), tensor(Shape::vector(out), &numbers(3, Shape::vector(out))));
            let mut run = |x: &[f64], rows: usize| {
                let (x, mut y) = (tensor(Shape::matrix(rows, inp), x), filled(Shape::matrix(rows, out), f64::NAN));
                cpu.matmul(Matmul { bias: Some(&bias), ..Matmul::new(&x, &w) }, &mut y);
                y.data().to_vec()
            };
            let alone: Vec<Vec<f32>> = x.chunks_exact(inp).map(|x| run(x, 1)).collect();
            for rows in (1..=18).chain([31, 32, 33, 70]) {
                let all = run(&x[..rows * inp], rows);
                assert!(all == alone[..rows].concat(), "{rows} rows of {inp} to {out}, {}", level.name());
            }
        }
    }
}
