//! The optimiser, in place. Values that change between steps stay on the device.

use crate::{Tch, Tensor};
use hh_core::{
    backend::Device,
    ops::{AdamW, AdamWLeaf},
};

pub(crate) fn sum_squares<'a>(b: &mut Tch, of: impl Iterator<Item = &'a Tensor>, total: &mut Tensor) {
    b.fill(0.0, total);
    for x in of {
        let x = b.vector(x);
        b.add(&x.dot(&x), total);
    }
}

pub(crate) fn apply(b: &mut Tch, op: &AdamW<Tensor>, leaf: AdamWLeaf<Tensor>) {
    op.dims(&leaf);
    let AdamWLeaf { weight, grad, first, second, ema, decay, rate } = leaf;
    let (schedule, total) = (&op.schedule.inner, &op.total.inner);
    let [beta1, beta2, clip, eps, decay, rate] = [op.beta1, op.beta2, op.clip, op.eps, decay, rate].map(f64::from);
    let [w, g, m, v, average] = [weight, grad, first, second, ema].map(|t| &mut t.inner);
    b.change(|| {
        let now = |i: i64| schedule.f_narrow(2, i, 1);
        let (lr, first_scale, second_scale, ema_rate) = (now(0)?.f_mul_scalar(rate)?, now(1)?, now(2)?, now(3)?);
        if clip > 0.0 {
            let _ = g.f_mul_(&total.f_rsqrt()?.f_mul_scalar(clip)?.f_clamp_max(1.0)?)?;
        }
        let _ = m.f_lerp_(g, 1.0 - beta1)?;
        let _ = v.f_mul_scalar_(beta2)?.f_addcmul_(&g.f_mul_scalar(1.0 - beta2)?, g)?;
        let root = v.f_mul(&second_scale)?.f_sqrt_()?.f_add_scalar_(eps)?;
        if decay > 0.0 {
            let _ = w.f_mul_(&lr.f_mul_scalar(-decay)?.f_add_scalar(1.0)?)?;
        }
        let _ = w.f_sub_(&m.f_div(&root)?.f_mul_(&lr.f_mul(&first_scale)?)?)?;
        let _ = average.f_lerp_tensor_(w, &ema_rate.f_mul_scalar(-1.0)?.f_add_scalar(1.0)?)?;
        g.f_zero_().map(drop)
    });
}
