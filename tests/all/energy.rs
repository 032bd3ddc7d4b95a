//! A refinement of a modern Hopfield memory never raises its energy `−log Σ_j exp(β ξ·p_j)` (Ramsauer et al. 2020).

use hh_core::{
    backend::{Device, Forward, Precision},
    ops::{Columns, ColumnsMut, Recall, RecallSaved, Slots},
    rng,
    shape::Shape,
};
use hh_cpu::{Cpu, Tensor};
use hh_tests::{
    kernels::math::{inner, unit},
    model::{cpu, wide},
};

const DEPTH: usize = 6;

#[test]
fn the_energy_never_rises_from_one_refinement_to_the_next() {
    let mut fall: f64 = 0.0;
    for seed in 0..40 {
        for successor in [false, true] {
            for window in [0, 1, 5] {
                for slots in [0, 3] {
                    fall = fall.max(check(seed, successor, window, slots));
                }
            }
        }
    }
    assert!(fall > 1.0, "it falls, by {fall} at most: these are not memories at rest");
}

/// A random memory: one head or two, short or long vectors, cold or hot. Returns the largest fall over all refinements.
fn check(seed: u32, successor: bool, window: usize, slots: usize) -> f64 {
    let (mut b, time, d, heads) = (cpu::<f64>(1), 9, [2, 4, 16][seed as usize % 3], 1 + seed as usize % 2);
    let w = heads * d;
    let packed = random(&mut b, Shape::cube(1, time, 3 * w), seed, 1);
    let depth = random(&mut b, Shape::cube(1, time, DEPTH), seed, 2);
    let log_beta = random(&mut b, Shape::vector(heads), seed, 3);
    let learned = [4, 5].map(|site| random(&mut b, Shape::cube(heads, slots.max(1), d), seed, site));
    let mut room = |width| b.alloc(Shape::cube(1, time, width), Precision::Full).expect("memory");
    let mut y = room(w);
    let mut saved = RecallSaved { reads: room(DEPTH * w), moved: room(DEPTH * w), log_sum: room(DEPTH * heads) };
    let op = Recall {
        qpv: Columns::all(&packed),
        depth: &depth,
        log_beta: &log_beta,
        slots: (slots > 0).then_some(Slots { patterns: &learned[0], values: &learned[1] }),
        head_dim: d,
        window,
        successor,
    };
    b.recall(op, None, Some(&mut saved), ColumnsMut::all(&mut y));

    let (packed, moved, learned, log_beta) = (wide(&packed), wide(&saved.moved), wide(&learned[0]), wide(&log_beta));
    let mut fall: f64 = 0.0;
    for head in 0..heads {
        let query = |t: usize| &packed[t * 3 * w + head * d..][..d];
        let pattern = |t: usize| unit(&packed[t * 3 * w + w + head * d..][..d]);
        for t in 0..time {
            let oldest = if window == 0 { 0 } else { (t + 1).saturating_sub(window) };
            let mut memory: Vec<_> = (0..slots).map(|m| unit(&learned[(head * slots + m) * d..][..d])).collect();
            memory.extend((oldest..=t).filter(|&j| !successor || j > 0).map(|j| pattern(j - usize::from(successor))));
            if memory.is_empty() {
                continue;
            }
            let states = (0..DEPTH - 1).map(|k| unit(&moved[(t * DEPTH + k) * w + head * d..][..d]));
            let states: Vec<_> = [unit(query(t))].into_iter().chain(states).collect();
            let energies: Vec<f64> = states.iter().map(|state| energy(state, &memory, log_beta[head].exp())).collect();
            for pair in energies.windows(2) {
                // unit() stops short of length 1 by 1e-6 of the squared length.
                assert!(pair[1] <= pair[0] + 1e-5, "seed {seed}, position {t}: {energies:?}");
            }
            fall = fall.max(energies[0] - energies[DEPTH - 1]);
        }
    }
    fall
}

fn energy(state: &[f64], memory: &[Vec<f64>], beta: f64) -> f64 {
    -memory.iter().map(|p| (beta * inner(p, state)).exp()).sum::<f64>().ln()
}

fn random(b: &mut Cpu<f64>, shape: Shape, seed: u32, site: u32) -> Tensor<f64> {
    let mut t = b.alloc(shape, Precision::Full).expect("memory");
    t.data_mut().iter_mut().enumerate().for_each(|(i, x)| *x = rng::normal([seed, 0, 0, 0], site, i as u32).into());
    t
}
