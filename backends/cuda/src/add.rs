//! One tensor added to another, for sums of gradients.

use crate::{
    Cuda, Tensor,
    launch::{LaunchDims, Variant},
    tensor::vec_width,
};
use hh_core::shape::Shaped;

pub(crate) fn forward(b: &mut Cuda, x: &Tensor, y: &mut Tensor) {
    assert_eq!(x.shape().extents(), y.shape().extents(), "add: tensors of different shapes");
    assert!(!x.bf16 && !y.bf16, "sums are in f32");
    let (count, x, y) = (y.shape().count(), x.flat(), y.flat());
    let n = vec_width(8, &[count], &[x, y]);
    b.run("convert", "add", Variant::Vec(n), LaunchDims::threads(count / n, 256), &[x.into(), y.into(), (count as u64).into()]);
}
