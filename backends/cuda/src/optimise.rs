//! The optimiser.

use crate::{
    Cuda, Tensor,
    launch::{Arg, Extent, Variant},
    sums::Partials,
    tensor::lanes,
};
use hh_core::{
    ops::{AdamW, AdamWLeaf},
    shape::Shaped,
};

/// Most partial sums of squares.
const BLOCKS: usize = 512;

pub(crate) fn sum_squares(b: &mut Cuda, x: &Tensor, total: &mut Tensor) {
    assert_eq!(total.shape().count(), 1, "sum_squares: total");
    b.begin();
    let (count, x) = (x.shape().count(), x.flat());
    let n = lanes(8, &[count], &[x]);
    let blocks = count.div_ceil(256 * n).min(BLOCKS);
    let partial = b.take(4 * blocks);
    let extent = Extent { grid: [blocks, 1, 1], threads: 256, shared: 0 };
    b.run("optimise", "sum_squares", Variant::Lanes(n), extent, &[x.into(), (count as u64).into(), partial.into()]);
    Partials::at(partial, blocks, 1).add_to(b, 0, 1, total.flat());
}

pub(crate) fn adamw(b: &mut Cuda, op: AdamW<Tensor>, leaf: AdamWLeaf<Tensor>) {
    let count = op.dims(&leaf);
    let [weight, grad, first, second, ema] = [leaf.weight, leaf.grad, leaf.first, leaf.second, leaf.ema].map(|t| t.flat());
    let n = lanes(4, &[count], &[weight, grad, first, second, ema]);
    let rates = Arg::group(&[op.clip, op.beta1, op.beta2, op.eps, op.decay, op.rate].map(Into::into));
    let args = [
        op.schedule.flat().into(),
        op.total.flat().into(),
        rates,
        (count as u64).into(),
        weight.into(),
        grad.into(),
        first.into(),
        second.into(),
        ema.into(),
    ];
    b.run("optimise", "adamw", Variant::Lanes(n), Extent::threads(count / n, 256), &args);
}
