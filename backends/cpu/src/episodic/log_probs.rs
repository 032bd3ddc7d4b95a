//! The distribution of model and memory together, after the newest position.

use super::{LEAST, NEVER, Ring, log_gates};
use crate::{
    Cpu, Float, Indices, Tensor,
    matmul::{dense, write::Write},
    reduce::{largest, sum},
    scratch::scratch,
};
use core::mem::take;
use hh_core::{ops::EpisodicLogProbs, shape::Shaped};

pub(crate) fn log_probs<F: Float>(
    cpu: &mut Cpu<F>,
    op: EpisodicLogProbs<Tensor<F>, Indices>,
    weights: &mut Tensor<F>,
    logits: &mut Tensor<F>,
) {
    let (dims, vocab) = op.dims(weights.shape(), logits.shape());
    let (beta, match_weight) = (op.log_beta.data()[0].exp(), op.match_weight.data()[0]);
    let mut gathered = take(&mut cpu.gathered);
    for sequence in 0..dims.batch {
        let mut ring = Ring::new(&op.items, sequence, dims, Some(op.clock));
        // The newest position is stored, and has an item that nothing sees yet.
        ring.clock -= 1;
        let weights = &mut weights.data_mut()[sequence * dims.rows..][..dims.rows];
        let seen = ring.visible(0);
        weights.fill(F::ZERO);
        for piece in ring.pieces(seen.clone()) {
            let (extents, write) = ([1, dims.width, piece.len()], Write::Set { bias: None, add: None });
            dense(cpu, ring.key(ring.clock), ring.keys_of(&piece), extents, write, &mut weights[ring.rows_of(&piece)]);
        }
        let by_token = scratch(&mut gathered, vocab);
        let logits = &mut logits.data_mut()[sequence * vocab..][..vocab];
        F::vectorise(
            cpu.level,
            #[inline(always)]
            || {
                by_token.fill(F::ZERO);
                let top = ring.pieces(seen.clone()).fold(F::NEG_INFINITY, |top, piece| largest(&weights[ring.rows_of(&piece)]).max(top));
                let mut total = F::ZERO;
                for piece in ring.pieces(seen.clone()) {
                    let weights = &mut weights[ring.rows_of(&piece)];
                    weights.iter_mut().for_each(|w| *w = ((*w - top) * beta).exp());
                    total += sum(weights, |w| w);
                }
                for row in ring.pieces(seen.clone()).flat_map(|piece| ring.rows_of(&piece)) {
                    weights[row] /= total;
                    by_token[ring.tokens[row].to_f64() as usize] += weights[row];
                }
                let z = (!seen.is_empty()).then(|| op.gate.data()[sequence] + match_weight * top);
                join(logits, by_token, log_gates(z));
            },
        );
    }
    cpu.gathered = gathered;
}

/// `log(exp(keep) softmax(logits) + exp(used) by_token)`
#[inline(always)]
fn join<F: Float>(logits: &mut [F], by_token: &[F], [keep, used]: [F; 2]) {
    let top = largest(logits);
    let shift = keep - top - sum(logits, |l| (l - top).exp()).ln();
    logits.iter_mut().for_each(|l| *l += shift);
    for (l, &p) in logits.iter_mut().zip(by_token) {
        if p > F::ZERO {
            *l = log_add_exp(*l, (used + p.max(F::of(LEAST)).ln()).max(F::of(NEVER)));
        }
    }
}

/// `log(exp(a) + exp(b))`
#[inline(always)]
pub(crate) fn log_add_exp<F: Float>(a: F, b: F) -> F {
    a.max(b) + (-(a - b).abs()).exp().ln_1p()
}
