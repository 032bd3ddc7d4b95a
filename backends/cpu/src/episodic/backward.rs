//! The gradient of a look-up: a second softmax, over the items that had the target, against the first.

use super::{BLOCK, Block, LEAST, Ring, target_number};
use crate::{
    Cpu, Float, Indices, Tensor,
    matmul::{factor::Matrix, gemm::gemm, write::Write},
    scratch::{Bump, scratch},
    threads::Shared,
    tile::unit_grad,
};
use core::mem::take;
use hh_core::{
    ops::{Episodic, EpisodicGrad},
    shape::Shaped,
};

/// Gradients of the parameters that a row gives.
const PARTIAL: usize = 2;

pub(crate) fn backward<F: Float>(
    cpu: &mut Cpu<F>,
    op: Episodic<Tensor<F>, Indices>,
    keys: &Tensor<F>,
    d_mixture: &Tensor<F>,
    d: EpisodicGrad<Tensor<F>>,
) {
    let dims = op.dims(d_mixture.shape());
    let (m, time) = (dims.width, dims.time);
    assert!(keys.shape().extents() == [dims.batch, time, m] && d.keys.shape() == keys.shape(), "episodic: keys {}", keys.shape());
    let (beta, match_weight) = (op.log_beta.data()[0].exp(), op.match_weight.data()[0]);
    let mut gathered = take(&mut cpu.gathered);
    let mut working = Bump(scratch(&mut gathered, Block::<F>::need(&dims) + BLOCK * PARTIAL + time * m));
    let (block_memory, partials, d_keys) = (working.take(Block::<F>::need(&dims)), working.take(BLOCK * PARTIAL), working.take(time * m));
    let mut sums = [F::ZERO; PARTIAL];
    for sequence in 0..dims.batch {
        let ring = Ring::new(&op.items, sequence, dims, op.clock);
        d_keys.fill(F::ZERO);
        for from in (0..time).step_by(BLOCK) {
            let (block, products) = Block::new(cpu, ring, from, block_memory);
            let (first, n) = (sequence * time + from, block.positions.len());
            let (gate, targets, d_mixture) = (&op.gate.data()[first..], &op.targets.data()[first..], &d_mixture.data()[2 * first..]);
            let row = Rows { beta, match_weight, gate, targets, d_mixture };
            products_to_gradients(cpu, &block, products, &row, &mut d.gate.data_mut()[first..][..n], &mut partials[..n * PARTIAL]);
            partials[..n * PARTIAL].chunks_exact(PARTIAL).for_each(|p| sums.iter_mut().zip(p).for_each(|(s, &p)| *s += p));
            let mut rest = &*products;
            let queries = Matrix::new(block.queries, [n, m]);
            for piece in ring.pieces(block.items.clone()) {
                let (now, later) = rest.split_at(n * piece.len());
                let (products, items) = (Matrix::new(now, [n, piece.len()]), Matrix::new(ring.keys_of(&piece), [piece.len(), m]));
                gemm(cpu, products, items, Write::Add, &mut d_keys[from * m..][..n * m]);
                if let Some(t) = piece.start.checked_sub(ring.clock) {
                    gemm(cpu, products.transposed(), queries, Write::Add, &mut d_keys[t * m..][..piece.len() * m]);
                }
                rest = later;
            }
        }
        let of = |x: usize| sequence * time * m + x;
        through_unit(cpu, &keys.data()[of(0)..of(time * m)], d_keys, m, &mut d.keys.data_mut()[of(0)..of(time * m)]);
    }
    d.log_beta.data_mut()[0] += sums[0];
    d.match_weight.data_mut()[0] += sums[1];
    cpu.gathered = gathered;
}

/// What the rows of a block have in common, and their inputs.
struct Rows<'a, F> {
    beta: F,
    match_weight: F,
    gate: &'a [F],
    targets: &'a [u32],
    d_mixture: &'a [F],
}

/// Overwrites the products of a block by their gradients.
fn products_to_gradients<F: Float>(cpu: &Cpu<F>, block: &Block<F>, products: &mut [F], of: &Rows<F>, d_gate: &mut [F], partials: &mut [F]) {
    let (level, products, d_gate, partials) = (cpu.level, Shared::new(products), Shared::new(d_gate), Shared::new(partials));
    cpu.threads.rows(block.positions.len(), 8 * block.items.len(), |run| {
        F::vectorise(
            level,
            #[inline(always)]
            || {
                for i in run {
                    // SAFETY: each row belongs to one task.
                    let (d_gate, partial) = unsafe { (d_gate.slice(i, 1), partials.slice(i * PARTIAL, PARTIAL)) };
                    row(block, &products, of, i, &mut d_gate[0], partial);
                }
            },
        );
    });
}

#[inline(always)]
fn row<F: Float>(block: &Block<F>, products: &Shared<F>, of: &Rows<F>, i: usize, d_gate: &mut F, partial: &mut [F]) {
    // SAFETY: the row belongs to this task, and what is read here is no longer borrowed where it is written below.
    let found = block.look_up(i, of.beta, of.targets[i], |at| unsafe { products.slice(at.start, at.len()) });
    let (z, [d_keep, d_use]) = (found.gate(of.gate[i], of.match_weight), [of.d_mixture[2 * i], of.d_mixture[2 * i + 1]]);
    let d_z = z.map_or(F::ZERO, |z| d_use * (-z).sigmoid() - d_keep * z.sigmoid());
    *d_gate = d_z;
    let (d_top, mut d_log_beta) = (d_z * of.match_weight / F::of(found.best.max(1) as f64), F::ZERO);
    let known = found.matched >= F::of(LEAST);
    let [prior, posterior] = if known { [d_use / found.total, d_use / (found.total * found.matched)] } else { [F::ZERO; 2] };
    let target = target_number::<F>(of.targets[i]);
    for part in block.parts(i) {
        // SAFETY: as above.
        let all = unsafe { products.slice(part.products.start, part.products.len()) };
        all[..part.seen.start].fill(F::ZERO);
        all[part.seen.end..].fill(F::ZERO);
        for (s, &token) in all[part.seen].iter_mut().zip(&block.ring.tokens[part.rows]) {
            let (score, e) = (*s, ((*s - found.top) * of.beta).exp());
            let d_scaled = of.beta * if token == target { e * (posterior - prior) } else { -e * prior };
            d_log_beta += d_scaled * score;
            *s = d_scaled + if score == found.top { d_top } else { F::ZERO };
        }
    }
    partial.copy_from_slice(&[d_log_beta, if z.is_some() { d_z * found.top } else { F::ZERO }]);
}

/// Gradients of keys from those of unit keys.
fn through_unit<F: Float>(cpu: &Cpu<F>, keys: &[F], d_unit: &[F], width: usize, to: &mut [F]) {
    F::vectorise(
        cpu.level,
        #[inline(always)]
        || {
            let rows = keys.chunks_exact(width).zip(d_unit.chunks_exact(width)).zip(to.chunks_exact_mut(width));
            rows.for_each(|((v, d), to)| unit_grad::<F, false>(v, d, to));
        },
    );
}
