//! Points on the straight path from noise to the target's embedding.

use crate::{Cpu, Float, Indices, Tensor, reduce::sum, threads::Shared};
use hh_core::{
    ops::{FlowPoint, IGNORE},
    shape::Shaped,
};

pub(crate) fn forward<F: Float>(cpu: &mut Cpu<F>, op: FlowPoint<Tensor<F>, Indices>, point: &mut Tensor<F>, velocity: &mut Tensor<F>) {
    let (rows, width) = op.dims(point.shape(), velocity.shape());
    let (table, noise, time) = (op.table.data(), op.noise.data(), op.time.data());
    let (level, point, velocity) = (cpu.level, Shared::new(point.data_mut()), Shared::new(velocity.data_mut()));
    cpu.threads.rows(rows, width, |run| {
        F::vectorise(
            level,
            #[inline(always)]
            || {
                for row in run {
                    // SAFETY: each row belongs to one task.
                    let (point, velocity) = unsafe { (point.slice(row * width, width), velocity.slice(row * width, width)) };
                    let target = op.targets.data()[row];
                    if target == IGNORE {
                        point.fill(F::ZERO);
                        velocity.fill(F::ZERO);
                        continue;
                    }
                    let goal = &table[target as usize * width..][..width];
                    let scale = (F::of(width as f64) / (sum(goal, |x| x * x) + F::of(1e-6))).sqrt();
                    let tau = time[row];
                    for (((point, velocity), &goal), &noise) in point.iter_mut().zip(velocity).zip(goal).zip(&noise[row * width..][..width])
                    {
                        let goal = scale * goal;
                        *point = (F::ONE - tau) * noise + tau * goal;
                        *velocity = goal - noise;
                    }
                }
            },
        );
    });
}
