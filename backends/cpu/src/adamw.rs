//! One AdamW step on one tensor.

use crate::{Cpu, Float, Tensor, threads::Shared};
use hh_core::ops::{AdamW, AdamWLeaf};

pub(crate) fn forward<F: Float>(cpu: &mut Cpu<F>, op: &AdamW<Tensor<F>>, leaf: AdamWLeaf<Tensor<F>>) {
    let count = op.dims(&leaf);
    let &[lr, first_factor, second_factor, ema_rate] = op.schedule.data() else { unreachable!("dims() has checked") };
    let rate = lr * F::of_f32(leaf.rate);
    let norm = op.total.data()[0].sqrt();
    let clip = F::of_f32(op.clip);
    // The comparison is false for a norm of NaN, so that a broken gradient is not clipped into a finite one.
    let clipped = if op.clip == 0.0 || norm <= clip { F::ONE } else { clip / norm };
    let (beta1, beta2, eps, decay) = (F::of_f32(op.beta1), F::of_f32(op.beta2), F::of_f32(op.eps), F::of_f32(leaf.decay));
    let AdamWLeaf { weight, grad, first, second, ema, .. } = leaf;
    let shared = [weight, grad, first, second, ema].map(|t| Shared::new(t.data_mut()));
    let level = cpu.level;
    cpu.threads.rows(count, 1, |run| {
        F::vectorise(
            level,
            #[inline(always)]
            || {
                // SAFETY: each run of elements belongs to one task.
                let [weight, grad, first, second, ema] = shared.map(|s| unsafe { s.slice(run.start, run.len()) });
                for ((((w, grad), m), v), ema) in weight.iter_mut().zip(grad).zip(first).zip(second).zip(ema) {
                    let g = *grad * clipped;
                    *m = beta1 * *m + (F::ONE - beta1) * g;
                    *v = beta2 * *v + (F::ONE - beta2) * g * g;
                    *w = *w - rate * (*m * first_factor / ((*v * second_factor).sqrt() + eps) + decay * *w);
                    *ema += (F::ONE - ema_rate) * (*w - *ema);
                    *grad = F::ZERO;
                }
            },
        );
    });
}
