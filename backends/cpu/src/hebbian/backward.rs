//! The gradient of the Hebbian memory in two sweeps over time. One task is one head of one sequence.
//!
//! With `W_t = Σ γ^{t−j} p_j value_jᵀ`, `M_t = Σ γ^{t−j} p_j p_jᵀ`, `ρ_k` the gradient of `r^{k+1}` and `ζ_k` that of
//! `z = M_t ξᵏ`, the first sweep follows the matrices forward and each position's refinements back:
//! `dξᵏ = dmoved + W_t ρ_k + M_t ζ_k`. The second runs from the last position to the first and accumulates the gradients
//! that all later queries send to an item:
//!
//! ```text
//! G_j = γ G_{j+1} + Σ_k ξᵏ_j ρ_kᵀ        N_j = γ N_{j+1} + Σ_k (ξᵏ_j ζ_kᵀ + ζ_k ξᵏ_jᵀ)
//! d value_j = G_jᵀ p_j                   d p_j = G_j value_j + N_j p_j
//! ```
//!
//! The loss depends on γ through terms `γ^{t−j} x_{tj}` only, so that `γ dγ = Σ_t t Σ_j γ^{t−j} x_{tj} − Σ_j j Σ_t γ^{t−j} x_{tj}`;
//! the inner sums are `Σ_k (ρ_k · r^{k+1} + ζ_k · z_k)` of position `t`, and `p_j · (G_j value_j + ½ N_j p_j)` of item `j`.

use super::{Head, Matrices, decay_and_add, moved, times};
use crate::{
    Cpu, Float, Tensor,
    reduce::dot,
    scratch::scratch,
    scratch::{Bump, PerThread},
    simd::Kernel,
    strip::{Strip, StripMut},
    threads::Shared,
    tile::{add_scaled, put_scaled, softmax, softmax_grad, unit_grad, unit_scale},
};
use hh_core::{
    ops::{Columns, Hebbian, HebbianGrad, MemoryDims},
    shape::Shaped,
};

struct Task<'a, F> {
    head: Head<'a, F>,
    dy: Strip<'a, F>,
    d_qpv: StripMut<'a, F>,
    /// `dy · r^{k+1}` of this head, `[T, K]`.
    d_weights: &'a mut [F],
    /// This task's partial gradients of log_beta and decay.
    d_scalars: &'a mut [F],
    working: &'a mut [F],
}

/// Elements of working memory: two matrices; ξ and ζ of each position and refinement; two vectors per refinement; five more.
fn working_len(dims: &MemoryDims) -> usize {
    let MemoryDims { time, head_dim: d, depth, .. } = *dims;
    2 * d * d + time * depth * 2 * d + depth * 2 * d + 5 * d + depth
}

impl<F: Float> Kernel for Task<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { head, dy, d_qpv, d_weights, d_scalars, working } = self;
        let MemoryDims { time, width, head_dim: d, depth, .. } = head.dims;
        let mut working = Bump(working);
        let [first, second] = [(); 2].map(|()| working.take(d * d));
        let steps = working.take(time * depth * 2 * d);
        // `moved` and `z` of each refinement of one position.
        let chain = working.take(depth * 2 * d);
        let [read, item, d_xi, pull, part] = [(); 5].map(|()| working.take(d));
        let weights = working.take(depth);
        first.fill(F::ZERO);
        second.fill(F::ZERO);
        let (mut d_log_beta, mut d_log_decay) = (F::ZERO, 0.0f64);

        let mut matrices = Matrices { patterns: first, values: second };
        for (t, steps) in steps.chunks_exact_mut(depth * 2 * d).enumerate() {
            self::item::<F, FMA>(&head, t, item);
            matrices.add_item::<FMA>(head.decay, item, head.part(t, 2));
            softmax(head.depth.row(head.row(t), 0, depth), weights);
            let dy = dy.row(head.row(t), head.column, d);
            let mut flow = F::ZERO;
            head.unit::<FMA>(t, 0, d_xi);
            for (k, (step, chain)) in steps.chunks_exact_mut(2 * d).zip(chain.chunks_exact_mut(2 * d)).enumerate() {
                let xi = &mut step[..d];
                xi.copy_from_slice(d_xi);
                times::<F, FMA>(xi, matrices.values, read);
                let along = dot::<F, FMA>(dy, read);
                d_weights[t * depth + k] = along;
                flow += weights[k] * along;
                if k + 1 < depth {
                    let (after, z) = chain.split_at_mut(d);
                    times::<F, FMA>(xi, matrices.patterns, z);
                    after.copy_from_slice(xi);
                    moved(after, head.beta, z);
                    put_scaled(after, unit_scale::<F, FMA>(after), d_xi);
                }
            }
            // W_t ρ_k = weight_k W_t dy
            for (pull, row) in pull.iter_mut().zip(matrices.values.chunks_exact(d)) {
                *pull = dot::<F, FMA>(row, dy);
            }
            d_xi.fill(F::ZERO);
            for k in (0..depth).rev() {
                let zeta = &mut steps[k * 2 * d + d..][..d];
                zeta.fill(F::ZERO);
                if k + 1 < depth {
                    let (after, z) = chain[k * 2 * d..][..2 * d].split_at(d);
                    part.copy_from_slice(d_xi);
                    unit_grad::<F, FMA>(after, part, d_xi);
                    for ((zeta, &z), &d) in zeta.iter_mut().zip(z).zip(&*d_xi) {
                        let tanh = (head.beta * z).tanh();
                        *zeta = head.beta * (F::ONE - tanh * tanh) * d;
                    }
                    let along = dot::<F, FMA>(zeta, z);
                    d_log_beta += along;
                    flow += along;
                    times::<F, FMA>(zeta, matrices.patterns, part);
                    add_scaled::<F, FMA>(d_xi, F::ONE, part);
                }
                add_scaled::<F, FMA>(d_xi, weights[k], pull);
            }
            d_log_decay += t as f64 * flow.to_f64();
            // SAFETY: each head's columns belong to one task, here and below.
            unit_grad::<F, FMA>(head.part(t, 0), d_xi, unsafe { d_qpv.row(head.row(t), head.column, d) });
        }

        let (wanted, paired) = (matrices.values, matrices.patterns);
        wanted.fill(F::ZERO);
        paired.fill(F::ZERO);
        let d_part = |t: usize, part: usize| unsafe { d_qpv.row(head.row(t), part * width + head.column, d) };
        if head.successor {
            d_part(time - 1, 1).fill(F::ZERO);
        }
        for (t, steps) in steps.chunks_exact(depth * 2 * d).enumerate().rev() {
            softmax(head.depth.row(head.row(t), 0, depth), weights);
            let dy = dy.row(head.row(t), head.column, d);
            // Σ_k ξᵏ ρ_kᵀ = (Σ_k weight_k ξᵏ) dyᵀ
            part.fill(F::ZERO);
            for (step, &weight) in steps.chunks_exact(2 * d).zip(&*weights) {
                add_scaled::<F, FMA>(part, weight, &step[..d]);
            }
            decay_and_add::<F, FMA>(wanted, head.decay, part, dy);
            let mut decay = head.decay;
            for step in steps.chunks_exact(2 * d).take(depth - 1) {
                let (xi, zeta) = step.split_at(d);
                decay_and_add::<F, FMA>(paired, decay, xi, zeta);
                decay_and_add::<F, FMA>(paired, F::ONE, zeta, xi);
                decay = F::ONE;
            }
            self::item::<F, FMA>(&head, t, item);
            times::<F, FMA>(item, wanted, d_part(t, 2));
            for (to, row) in part.iter_mut().zip(wanted.chunks_exact(d)) {
                *to = dot::<F, FMA>(row, head.part(t, 2));
            }
            times::<F, FMA>(item, paired, read);
            let flow = dot::<F, FMA>(item, part) + F::of(0.5) * dot::<F, FMA>(item, read);
            d_log_decay -= t as f64 * flow.to_f64();
            if let Some(of) = t.checked_sub(usize::from(head.successor)) {
                add_scaled::<F, FMA>(part, F::ONE, read);
                unit_grad::<F, FMA>(head.part(of, 1), part, d_part(of, 1));
            }
        }
        d_scalars[0] = d_log_beta;
        d_scalars[1] = F::of(d_log_decay) * (F::ONE - head.decay);
    }
}

/// The unit pattern of item `t`; zeros for item 0, which has none.
#[inline(always)]
fn item<F: Float, const FMA: bool>(head: &Head<'_, F>, t: usize, to: &mut [F]) {
    match t.checked_sub(usize::from(head.successor)) {
        Some(of) => head.unit::<FMA>(of, 1, to),
        None => to.fill(F::ZERO),
    }
}

pub(crate) fn backward<F: Float>(cpu: &mut Cpu<F>, op: Hebbian<Tensor<F>>, dy: Columns<Tensor<F>>, d: HebbianGrad<Tensor<F>>) {
    let dims = op.dims(None);
    let MemoryDims { batch, time, width, heads, depth, .. } = dims;
    assert!(dy.layout().0 == batch && dy.layout().1 == time && dy.width == width, "hebbian: gradient of {} columns", dy.width);
    assert!(d.qpv.layout().0 == batch && d.qpv.layout().1 == time && d.qpv.width == 3 * width, "hebbian: gradient of the input");
    assert!(d.depth.shape() == op.depth.shape(), "hebbian: gradient of depth");
    assert!(d.log_beta.shape().count() == heads && d.decay.shape().count() == heads, "hebbian: gradients of the parameters");

    let (level, dy, d_qpv) = (cpu.level, Strip::of(&dy), StripMut::of(d.qpv));
    let (tasks, size, weights) = (batch * heads, working_len(&dims), time * depth);
    let memory = scratch(&mut cpu.scratch, tasks * (weights + 2) + PerThread::<F>::len(&cpu.threads, size));
    let (partials, working) = memory.split_at_mut(tasks * (weights + 2));
    let (shared, per_thread) = (Shared::new(partials), PerThread::new(working, size));
    cpu.threads.each(tasks, |task| {
        let head = Head::new(dims, &op, task / heads, task % heads);
        // SAFETY: called once in this task; each task owns its partial gradients.
        let (working, partial) = unsafe { (per_thread.current(&cpu.threads), shared.slice(task * (weights + 2), weights + 2)) };
        let (d_scalars, d_weights) = partial.split_at_mut(2);
        F::run(level, Task { head, dy, d_qpv, d_weights, d_scalars, working });
    });

    for (task, partial) in partials.chunks_exact(weights + 2).enumerate() {
        d.log_beta.data_mut()[task % heads] += partial[0];
        d.decay.data_mut()[task % heads] += partial[1];
    }
    for (row, (d, logits)) in d.depth.data_mut().chunks_exact_mut(depth).zip(op.depth.data().chunks_exact(depth)).enumerate() {
        let (sequence, t) = (row / time, row % time);
        for (k, d) in d.iter_mut().enumerate() {
            let of = |head: usize| partials[(sequence * heads + head) * (weights + 2) + 2 + t * depth + k];
            *d = (0..heads).fold(F::ZERO, |sum, head| sum + of(head));
        }
        softmax_grad(logits, d);
    }
}
