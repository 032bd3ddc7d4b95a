//! Matrix products with weights.

use crate::{Tch, Tensor, value::Value};
use hh_core::ops::{GradOut, Matmul, MatmulDims, MatmulGrad};
use tch::Kind;

/// The precision of a product whose result is held in `of`. Products in bf16 round their results, which statistics must not be: these
/// are narrow, and computed in full precision. Logits are wide.
fn precision(b: &Tch, of: &Tensor, inp: usize, out: usize) -> Kind {
    if of.inner.kind() == b.full && out <= inp { b.full } else { b.compute }
}

pub(crate) fn forward(b: &mut Tch, op: Matmul<Tensor>, y: &mut Tensor) {
    let MatmulDims { inp, out, .. } = op.dims(y.shape);
    let kind = precision(b, y, inp, out);
    let (x, w) = (op.x.value().rows(inp).to(kind), op.w.matrix().to(kind));
    let bias = op.bias.map(|bias| bias.vector().to(kind));
    let y_rows = match (op.add, &bias) {
        (Some(add), None) => {
            let (add, w) = (add.value().rows(out).to(kind), w.transposed(0, 1));
            Value::all(&[&add, &x, &w], |t| t[0].f_addmm(t[1], t[2]))
        }
        (Some(add), Some(_)) => x.linear(&w, bias.as_ref()).plus(&add.value().rows(out)),
        (None, _) => x.linear(&w, bias.as_ref()),
    };
    b.put(&y_rows, y);
}

/// Two products: recomputing under autograd would do the same two after a third, unused one.
pub(crate) fn backward(b: &mut Tch, op: Matmul<Tensor>, dy: &Tensor, d: MatmulGrad<Tensor>) {
    let MatmulDims { inp, out, .. } = op.dims(dy.shape);
    let kind = precision(b, dy, inp, out);
    let dy = dy.value().rows(out).to(kind);
    let dx = || dy.matmul(&op.w.matrix().to(kind));
    match d.x {
        GradOut::Write(to) => b.put(&dx(), to),
        GradOut::Add(to) => b.add(&dx(), to),
        GradOut::Skip => {}
    }
    b.add(&dy.transposed(0, 1).matmul(&op.x.value().rows(inp).to(kind)), d.w);
    if let Some(d_bias) = d.bias {
        let sum = b.wide(&dy).map(|dy| dy.f_sum_dim_intlist(0i64, false, None));
        b.add(&sum, d_bias);
    }
}
