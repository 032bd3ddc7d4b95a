//! Matrix products and their gradients.

use crate::{Cuda, Tensor, launch::Product, sums::column_sums, tensor::Mat};
use hh_core::{
    ops::{GradOut, Matmul, MatmulDims, MatmulGrad},
    shape::Shaped,
};

/// The matrix in the compute precision.
pub(crate) fn operand(b: &mut Cuda, of: Mat, rows: usize, width: usize) -> Mat {
    if of.bf16 == b.bf16() {
        return of;
    }
    let to = b.take_compute(rows, width);
    b.convert(of, to, rows, width);
    to
}

/// A vector or matrix in the precision of `to`.
fn alike(b: &mut Cuda, of: Mat, to: Mat, rows: usize, width: usize) -> Mat {
    if of.bf16 == to.bf16 {
        return of;
    }
    let same = Mat { address: b.take(rows * width * to.size()), bf16: to.bf16, stride: width };
    b.convert(of, same, rows, width);
    same
}

pub(crate) fn forward(b: &mut Cuda, op: Matmul<Tensor>, y: &mut Tensor) {
    let MatmulDims { rows, inp, out } = op.dims(y.shape());
    b.reset_scratch();
    let (x, w) = (operand(b, op.x.mat(), rows, inp), operand(b, op.w.for_products(), out, inp));
    let to = y.mat();
    let bias = op.bias.map(|bias| alike(b, bias.mat(), to, 1, out));
    let add = op.add.map(|add| alike(b, add.mat(), to, rows, out));
    b.product(&Product { rows, columns: out, inner: inp, a: x, transpose_a: false, b: w, transpose_b: true, bias, add, to });
}

/// `dx = dy · w`, `d_w += dyᵀ · x`, `d_bias += Σ dy`.
pub(crate) fn backward(b: &mut Cuda, op: Matmul<Tensor>, dy: &Tensor, d: MatmulGrad<Tensor>) {
    let MatmulDims { rows, inp, out } = op.dims(dy.shape());
    assert_eq!(d.w.shape(), op.w.shape(), "matmul: gradient of the weight");
    assert_eq!(d.bias.is_some(), op.bias.is_some(), "matmul: gradient of the bias");
    b.reset_scratch();
    let dy_operand = operand(b, dy.mat(), rows, out);
    let (dx, add) = match d.x {
        GradOut::Write(dx) => (Some(dx), false),
        GradOut::Add(dx) => (Some(dx), true),
        GradOut::Skip => (None, false),
    };
    if let Some(dx) = dx {
        assert_eq!(dx.shape().extents(), op.x.shape().extents(), "matmul: gradient of x");
        let (w, to) = (operand(b, op.w.for_products(), out, inp), dx.mat());
        let add = add.then_some(to);
        let product =
            Product { rows, columns: inp, inner: out, a: dy_operand, transpose_a: false, b: w, transpose_b: false, bias: None, add, to };
        b.product(&product);
    }
    let x = operand(b, op.x.mat(), rows, inp);
    accumulate(b, dy_operand, x, [rows, out, inp], d.w.mat());
    if let Some(bias) = d.bias {
        column_sums(b, dy.mat(), rows, out, bias.mat());
    }
}

/// `to += aᵀ · b`, `a` `[rows, out]`, `b` `[rows, inp]`.
pub(crate) fn accumulate(b: &mut Cuda, dy: Mat, x: Mat, [rows, out, inp]: [usize; 3], to: Mat) {
    let product =
        Product { rows: out, columns: inp, inner: rows, a: dy, transpose_a: true, b: x, transpose_b: false, bias: None, add: Some(to), to };
    b.product(&product);
}
