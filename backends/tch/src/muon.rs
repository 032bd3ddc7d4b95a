//! Muon, in place, part by part.

use crate::{Tch, Tensor};
use hh_core::ops::{Muon, MuonLeaf, NEWTON_SCHULZ, Rectangle};
use tch::TchError;

pub(crate) fn apply(b: &mut Tch, op: &Muon<Tensor>, leaf: MuonLeaf<Tensor>) {
    let extents = op.dims(&leaf).map(|n| n as i64);
    let (schedule, total) = (&op.schedule.inner, &op.total.inner);
    let [clip, momentum, eps, decay, rate] = [op.clip, op.momentum, op.eps, leaf.decay, leaf.rate].map(f64::from);
    let MuonLeaf { weight, grad, momentum: average_grad, ema, parts, .. } = leaf;
    let [w, g, m, average] = [weight, grad, average_grad, ema].map(|t| &t.inner);
    b.change(|| {
        let now = |i: i64| schedule.f_narrow(2, i, 1)?.f_view([1, 1]);
        let (lr, ema_rate) = (now(0)?.f_mul_scalar(rate)?, now(3)?);
        if clip > 0.0 {
            let _ = g.shallow_clone().f_mul_(&total.f_rsqrt()?.f_mul_scalar(clip)?.f_clamp_max(1.0)?)?;
        }
        for part in parts {
            let of = |t: &tch::Tensor| view(t, extents, part);
            let (mut w, g, mut m, mut average) = (of(w)?, of(g)?, of(m)?, of(average)?);
            let _ = m.f_lerp_(&g, 1.0 - momentum)?;
            let update = orthogonalised(&g.f_lerp(&m, momentum)?, eps, op.steps)?;
            if decay > 0.0 {
                let _ = w.f_mul_(&lr.f_mul_scalar(-decay)?.f_add_scalar(1.0)?)?;
            }
            let _ = w.f_sub_(&update.f_mul(&lr.f_mul_scalar(part.scale())?)?)?;
            let _ = average.f_lerp_tensor_(&w, &ema_rate.f_mul_scalar(-1.0)?.f_add_scalar(1.0)?)?;
        }
        g.shallow_clone().f_zero_().map(drop)
    });
}

/// A part of a matrix, in the memory of the whole.
fn view(of: &tch::Tensor, extents: [i64; 2], part: &Rectangle) -> Result<tch::Tensor, TchError> {
    let [row, rows, column, columns] = [part.row, part.rows, part.column, part.columns].map(|n| n as i64);
    of.f_view(extents)?.f_narrow(0, row, rows)?.f_narrow(1, column, columns)
}

/// The nearest semi-orthogonal matrix, about.
fn orthogonalised(update: &tch::Tensor, eps: f64, steps: usize) -> Result<tch::Tensor, TchError> {
    let size = update.size();
    let tall = size[0] > size[1];
    let flat = |x: &tch::Tensor| if tall { x.f_tr() } else { Ok(x.shallow_clone()) };
    let x = flat(update)?;
    let mut x = x.f_div(&x.f_norm()?.f_clamp_min(eps)?)?;
    let [a, b, c] = NEWTON_SCHULZ;
    for _ in 0..steps {
        let square = x.f_mm(&x.f_tr()?)?;
        let polynomial = square.f_mul_scalar(b)?.f_add(&square.f_mm(&square)?.f_mul_scalar(c)?)?;
        x = x.f_mul_scalar(a)?.f_add(&polynomial.f_mm(&x)?)?;
    }
    flat(&x)
}
