//! The last position of each sequence.

use crate::{Cpu, Float, Tensor};
use hh_core::shape::Shaped;

pub(crate) fn forward<F: Float>(_: &mut Cpu<F>, x: &Tensor<F>, y: &mut Tensor<F>) {
    let [batch, time, width] = x.shape().extents();
    assert!(time > 0 && y.shape().extents() == [batch, 1, width], "last: {} into {}", x.shape(), y.shape());
    for (y, x) in y.data_mut().chunks_exact_mut(width).zip(x.data().chunks_exact(time * width)) {
        y.copy_from_slice(&x[(time - 1) * width..]);
    }
}
