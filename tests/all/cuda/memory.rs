//! The memory that a step takes is the memory that was planned for it.

use super::cuda;
use hh_core::{
    backend::Precision,
    config::Config,
    train::{HyperParams, Trainer},
    weights,
};
use hh_cuda::{Compute, Cuda};
use hh_tests::model::{batch, config, hyper, kinds};

/// The most that is held in two steps and a validation.
fn most(mut b: Cuda, c: &Config, h: HyperParams, [rows, time]: [usize; 2]) -> usize {
    let start = weights::params(&mut b, c, Precision::Master, |_, _, out| {
        out.fill(0.01);
        Ok(())
    });
    let mut trainer = Trainer::new(b, c.clone(), h, start.expect("memory"), rows, time).expect("a trainer");
    let [tokens, targets] = batch(c, 1, rows, time);
    for _ in 0..2 {
        trainer.accumulate(&tokens, &targets).expect("no device to lose");
        trainer.apply().expect("no device to lose");
        trainer.evaluate(true, &tokens, &targets).expect("no device to lose");
    }
    trainer.backend.held()[1]
}

#[test]
fn what_was_planned_is_what_is_taken() {
    let wide = config(
        r#""width": 48, "ffn": 80, "ssm_width": 64, "hopfield_width": 24, "attention_width": 32, "layers": 3, "hopfield_depths": [2, 2, 2]"#,
    );
    for compute in [Compute::F32, Compute::Bf16] {
        for (name, c) in kinds().into_iter().filter(|(name, _)| ["full", "classic"].contains(name)).chain([("wide", wide.clone())]) {
            for recompute in [false, true] {
                let h = HyperParams { dropout: 0.1, recompute, ..hyper(&c) };
                let [planned, taken] = [Cuda::planned(compute), cuda(compute)].map(|b| most(b, &c, h.clone(), [2, 33]));
                assert_eq!(planned, taken, "{name}, {compute:?}, recompute {recompute}");
            }
        }
    }
}

#[test]
fn recomputing_takes_less_memory_and_gives_the_same_bits() {
    let c = config(r#""layers": 6, "hopfield_depths": [2, 2, 2, 2, 2, 2]"#);
    let h = |recompute| HyperParams { recompute, dropout: 0.1, ..hyper(&c) };
    let [kept, anew] = [false, true].map(|recompute| most(Cuda::planned(Compute::Bf16), &c, h(recompute), [8, 256]));
    assert!(2 * anew < kept, "{anew} of {kept}");
    let [kept, anew] = [false, true].map(|recompute| crate::agreement::train(cuda(Compute::F32), &c, h(recompute), 9));
    assert!(kept == anew);
}
