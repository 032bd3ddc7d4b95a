//! Matrix products: `y = x · wᵀ` and its gradients.
//!
//! Many rows use packed panels ([`gemm`]); few rows, as in decoding, read each weight once without
//! packing ([`vector`]). Block-quantised weights have separate kernels ([`quant`]).

pub(crate) mod factor;
pub(crate) mod gemm;
mod pack;
mod panels;
mod tile;
mod vector;
pub(crate) mod write;

use crate::{Cpu, Float, Tensor, quant, reduce::over_rows, tensor::Values};
use factor::Matrix;
use gemm::gemm;
use hh_core::{
    ops::{GradOut, Matmul, MatmulDims, MatmulGrad},
    shape::Shaped,
};
use write::Write;

pub(crate) fn forward<F: Float>(cpu: &mut Cpu<F>, op: Matmul<Tensor<F>>, y: &mut Tensor<F>) {
    let MatmulDims { rows, inp, out } = op.dims(y.shape());
    let write = Write::Set { bias: op.bias.map(Tensor::data), add: op.add.map(Tensor::data) };
    product(cpu, op.x.data(), op.w, [rows, inp, out], write, y.data_mut());
}

/// `y = x · wᵀ`; extents are rows, columns of `x`, rows of `w`.
pub(crate) fn product<F: Float>(cpu: &mut Cpu<F>, x: &[F], w: &Tensor<F>, [rows, inp, out]: [usize; 3], write: Write<F>, y: &mut [F]) {
    match w.values() {
        Values::Quant(w) => quant::product(cpu, x, w.blocks(), rows, write, y),
        Values::Dense(w) => dense(cpu, x, w, [rows, inp, out], write, y),
    }
}

/// [`product`] of dense factors.
pub(crate) fn dense<F: Float>(cpu: &mut Cpu<F>, x: &[F], w: &[F], [rows, inp, out]: [usize; 3], write: Write<F>, y: &mut [F]) {
    if rows <= vector::ROWS || cpu.rows_alone {
        return vector::product(cpu, x, w, [rows, inp, out], write, y);
    }
    gemm(cpu, Matrix::new(x, [rows, inp]), Matrix::new(w, [out, inp]).transposed(), write, y);
}

pub(crate) fn backward<F: Float>(cpu: &mut Cpu<F>, op: Matmul<Tensor<F>>, dy: &Tensor<F>, d: MatmulGrad<Tensor<F>>) {
    let MatmulDims { rows, inp, out } = op.dims(dy.shape());
    assert!(d.w.shape() == op.w.shape() && d.bias.is_some() == op.bias.is_some(), "matmul: gradients");
    let (x, w, dy) = (Matrix::new(op.x.data(), [rows, inp]), Matrix::new(op.w.data(), [out, inp]), Matrix::new(dy.data(), [rows, out]));
    let (dx, write) = match d.x {
        GradOut::Write(dx) => (Some(dx), Write::Set { bias: None, add: None }),
        GradOut::Add(dx) => (Some(dx), Write::Add),
        GradOut::Skip => (None, Write::Add),
    };
    if let Some(dx) = dx {
        assert_eq!(dx.shape().extents(), op.x.shape().extents(), "matmul: gradient of x");
        gemm(cpu, dy, w, write, dx.data_mut());
    }
    gemm(cpu, dy.transposed(), x, Write::Add, d.w.data_mut());
    if let Some(bias) = d.bias {
        let level = cpu.level;
        over_rows(&cpu.threads, &mut cpu.scratch, rows, bias.data_mut(), |run, sum| {
            F::vectorise(
                level,
                #[inline(always)]
                || {
                    for row in run {
                        sum.iter_mut().zip(&dy.data()[row * out..][..out]).for_each(|(s, &dy)| *s += dy);
                    }
                },
            );
        });
    }
}
