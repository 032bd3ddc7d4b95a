//! Gradients of several micro-batches: their sum is that of one batch, and has the same bits whoever computes its terms.

use hh_core::{
    backend::Backward,
    collective::{Alone, Staged},
    config::Config,
    train::{HyperParams, Optimizer, Rank, Trainer},
};
use hh_runtime::ranks::{ThreadRank, threads};
use hh_tests::{
    compare::{all_within, distance},
    model::{Numbers, batch, config, cpu, hyper, named, trainer},
};
use std::thread;

/// Micro-batches of one step, and tokens of a sequence.
const MICRO: u32 = 5;
const TIME: usize = 9;

#[test]
fn micro_batches_add_up_to_the_batch() {
    check(cpu::<f64>(1), 1e-7).unwrap();
}

#[test]
fn ranks_have_the_bits_of_one_that_accumulates() {
    for optimizer in [Optimizer::AdamW, Optimizer::Muon] {
        for size in 2..=4 {
            together(|| cpu::<f32>(1), size, optimizer);
        }
    }
}

/// The gradient of five micro-batches of one sequence each against that of one of five, found by the processor in f64.
pub(crate) fn check<B: Backward<Tensor: Numbers>>(b: B, bound: f64) -> Result<(), String> {
    let c = config("");
    let h = HyperParams { flow_weight: 0.0, ..hyper(&c) };
    let [tokens, targets] = batch(&c, 5, MICRO as usize, TIME);
    let mut whole = trainer(cpu::<f64>(1), &c, h.clone(), MICRO as usize, TIME);
    whole.accumulate(&tokens, &targets).expect("no device to lose");
    let mut parts = trainer(b, &c, HyperParams { accumulate: MICRO as usize, ..h }, 1, TIME);
    for (tokens, targets) in tokens.chunks(TIME).zip(targets.chunks(TIME)) {
        parts.accumulate(tokens, targets).expect("no device to lose");
    }
    parts.all_reduce(&mut Alone).expect("no device to lose");
    let found = named(&c, &parts.train_state().grads).into_iter().zip(named(&c, &whole.train_state().grads));
    all_within(bound, found.map(|((name, parts), (_, whole))| (name, distance(&parts, &whole, 1e-3))).collect())
}

/// Two steps of as many ranks as there are micro-batches, on machines that `make` makes, against one that computes them all.
pub(crate) fn together<B: Backward<Tensor: Numbers>>(make: impl Fn() -> B + Sync, size: usize, optimizer: Optimizer) {
    let c = config("");
    let h = HyperParams { optimizer, accumulate: size, dropout: 0.2, ..hyper(&c) };
    let mut alone = trainer(make(), &c, h.clone(), 2, TIME);
    steps(&c, &mut alone, |trainer| trainer.all_reduce(&mut Alone).expect("no device to lose"));
    let wanted = state(&c, &alone);
    let rank = |peers: ThreadRank, rank: usize| {
        let mut ranks = Staged::new(peers);
        let mut trainer = trainer(make(), &c, HyperParams { rank: Rank { rank, size }, ..h.clone() }, 2, TIME);
        steps(&c, &mut trainer, |trainer| trainer.all_reduce(&mut ranks).expect("no rank to lose"));
        state(&c, &trainer)
    };
    thread::scope(|scope| {
        let each: Vec<_> = threads(size)
            .into_iter()
            .enumerate()
            .map(|(i, peers)| {
                scope.spawn({
                    let rank = &rank;
                    move || rank(peers, i)
                })
            })
            .collect();
        for (i, found) in each.into_iter().enumerate() {
            assert!(found.join().expect("a rank") == wanted, "rank {i} of {size}, {optimizer:?}");
        }
    });
}

fn steps<B: Backward>(c: &Config, trainer: &mut Trainer<B>, mut sum: impl FnMut(&mut Trainer<B>)) {
    for step in 0..2 {
        for micro in trainer.hyper().share() {
            let [tokens, targets] = batch(c, 50 + 10 * step + micro as u32, 2, TIME);
            trainer.accumulate(&tokens, &targets).expect("no device to lose");
        }
        sum(trainer);
        trainer.apply().expect("no device to lose");
    }
}

/// Weights, moments and average.
fn state<B: Backward<Tensor: Numbers>>(c: &Config, trainer: &Trainer<B>) -> Vec<(String, Vec<f64>)> {
    trainer.train_state().named().into_iter().flat_map(|(_, tree)| named(c, tree)).collect()
}

/// Two rounds of two local steps on two ranks, whose weights after the first round are known: each rank trains by itself.
#[test]
fn after_local_steps_ranks_move_together_by_nesterov_momentum() {
    let c = config("");
    let h = HyperParams { accumulate: 2, local_steps: 2, outer_lr: 0.7, outer_momentum: 0.9, ..hyper(&c) };
    let start = flat(&c, &trainer(cpu::<f32>(1), &c, h.clone(), 2, TIME));
    let rank = |peers: ThreadRank, rank: usize| {
        let mut ranks = Staged::new(peers);
        let mut trainer = trainer(cpu::<f32>(1), &c, HyperParams { rank: Rank { rank, size: 2 }, ..h.clone() }, 2, TIME);
        [0, 1].map(|_| {
            steps(&c, &mut trainer, |_| ());
            let apart = flat(&c, &trainer);
            trainer.outer_step(&mut ranks).expect("no rank to lose");
            [apart, flat(&c, &trainer)]
        })
    };
    let found: Vec<_> = thread::scope(|scope| {
        let rank = &rank;
        let each: Vec<_> = threads(2).into_iter().enumerate().map(|(i, peers)| scope.spawn(move || rank(peers, i))).collect();
        each.into_iter().map(|thread| thread.join().expect("a rank")).collect()
    });
    let (mut before, mut momentum) = (start, vec![0.0; found[0][0][0].len()]);
    for ([apart, together], [other, same]) in found[0].iter().zip(&found[1]) {
        assert!(together == same && apart != other);
        let means = apart.iter().zip(other).map(|(a, b)| (a + b) / 2.0);
        let wanted: Vec<f64> = means
            .zip(before.iter().zip(&mut momentum))
            .map(|(mean, (start, v))| {
                let delta = start - mean;
                *v = 0.9 * *v + delta;
                start - 0.7 * (delta + 0.9 * *v)
            })
            .collect();
        assert!(distance(together, &wanted, 1e-3) < 1e-6);
        before = together.clone();
    }
}

fn flat<B: Backward<Tensor: Numbers>>(c: &Config, trainer: &Trainer<B>) -> Vec<f64> {
    named(c, &trainer.train_state().weights).into_iter().flat_map(|(_, numbers)| numbers).collect()
}
