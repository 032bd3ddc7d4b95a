//! One result, whoever computes it: number types, threads, vector instructions, dirty memory.

use hh_core::{backend::Backward, config::Config, train::HyperParams};
use hh_cpu::{Cpu, Level, Threads};
use hh_tests::{
    compare::{all_within, distance},
    instrumented::Instrumented,
    model::{Numbers, batch, config, cpu, hyper, kinds, levels, named, trainer},
};

/// Large enough that every kernel has several tasks to share.
pub(crate) fn wide() -> Config {
    config(
        r#""vocab_size": 67, "width": 48, "ffn": 80, "head_dim": 8, "ssm_width": 64, "hopfield_width": 24, "attention_width": 32, "embed_dim": 40"#,
    )
}

pub(crate) fn noisy(c: &Config) -> HyperParams {
    HyperParams { dropout: 0.2, ..hyper(c) }
}

/// Gradients of the first step and weights after the second.
pub(crate) fn train<B: Backward<Tensor: Numbers>>(b: B, c: &Config, h: HyperParams, time: usize) -> Vec<(String, Vec<f64>)> {
    let mut trainer = trainer(b, c, h, 3, time);
    let mut all = Vec::new();
    for step in 0..2 {
        let [tokens, targets] = batch(c, 20 + step, 3, time);
        trainer.accumulate(&tokens, &targets).expect("no device to lose");
        if step == 0 {
            all = named(c, &trainer.train_state().grads);
        }
        trainer.apply().expect("no device to lose");
    }
    all.extend(named(c, &trainer.train_state().weights));
    all
}

pub(crate) fn compare(found: Vec<(String, Vec<f64>)>, wanted: &[(String, Vec<f64>)], bound: f64) -> Result<(), String> {
    all_within(bound, found.into_iter().zip(wanted).map(|((name, f), (_, w))| (name, distance(&f, w, 1e-3))).collect())
}

#[test]
fn a_training_step_has_the_same_bits_on_one_thread_and_on_two() {
    let c = wide();
    for level in levels() {
        let [one, two] = [1, 2].map(|n| train(Cpu::<f32>::with_level(Threads::new(n), level), &c, noisy(&c), 65));
        assert!(one == two, "{}", level.name());
    }
}

#[test]
fn vector_instructions_change_no_more_than_rounding() {
    let c = wide();
    let [plain, widest] = levels().map(|level| train(Cpu::<f64>::with_level(Threads::one(), level), &c, noisy(&c), 65));
    compare(widest, &plain, 1e-9).unwrap();
}

#[test]
fn f32_trains_as_f64_does() {
    for (name, c) in kinds().into_iter().chain([("wide", wide())]) {
        let exact = train(Cpu::<f64>::new(Threads::one()), &c, noisy(&c), 17);
        let single = train(Cpu::<f32>::new(Threads::one()), &c, noisy(&c), 17);
        compare(single, &exact, 2e-3).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn a_step_reads_nothing_that_it_did_not_write() {
    for (name, c) in kinds() {
        let cpu = || Cpu::<f32>::with_level(Threads::one(), Level::detect());
        let clean = train(cpu(), &c, noisy(&c), 11);
        let dirty = train(Instrumented { poisoned: Some((3, 11)), ..Instrumented::new(cpu()) }, &c, noisy(&c), 11);
        assert!(clean.iter().flat_map(|(_, x)| x).all(|x| x.is_finite()), "{name}");
        assert!(clean == dirty, "{name}: memory that came dirty is seen in the result");
    }
}

/// What each block recomputes for its gradient is what it computed before: dropout, segments, all kinds of paths.
#[test]
fn recomputing_changes_no_bit() {
    for (name, c) in
        kinds().into_iter().chain([("wide", wide()), ("deep", config(r#""layers": 5, "hopfield_depths": [2, 1, 2, 2, 1], "segments": 3"#))])
    {
        let [kept, anew] = [false, true].map(|recompute| train(cpu::<f32>(2), &c, HyperParams { recompute, ..noisy(&c) }, 17));
        assert!(kept == anew, "{name}");
    }
}
