//! Mean squared error.

use crate::{Tch, Tensor, replay::scalar_grads};
use hh_core::ops::SquaredError;

pub(crate) fn forward(b: &mut Tch, op: SquaredError<Tensor>, losses: &mut Tensor, dx: &mut Tensor) {
    let (rows, _) = op.dims(losses.shape);
    let goal = b.whole(op.goal);
    let mut seen = None;
    let [d] = scalar_grads([&b.whole(op.x)], |[x]| {
        let of_rows = x.minus(&goal).square().mean();
        seen = Some(of_rows.map(tch::Tensor::f_detach));
        of_rows.total().scaled(f64::from(op.scale) / rows as f64)
    });
    if let Some(of_rows) = seen {
        b.put(&of_rows, losses);
    }
    b.put(&d, dx);
}
