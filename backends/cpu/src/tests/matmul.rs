//! The weights' gradient does not depend on where the input's goes.

use super::*;
use crate::matmul;
use hh_core::ops::{GradOut, Matmul, MatmulGrad};

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
