//! Lengths that fill no vector, tile or chunk evenly.

use crate::differences;
use hh_core::{
    backend::Backward,
    config::Config,
    session::{Options, Session},
};
use hh_tests::{
    compare::{all_within, distance},
    model::{Numbers, batch, cpu, hidden, hyper, kinds, model, named, text, trainer},
};

pub(crate) const LENGTHS: [usize; 4] = [1, 63, 65, 500];

#[test]
fn gradients_are_slopes_at_awkward_lengths() {
    for time in LENGTHS {
        for (name, c) in kinds() {
            differences::along_one_line(&c, &hyper(&c), time).unwrap_or_else(|e| panic!("{name}, {time} positions: {e}"));
        }
    }
}

#[test]
fn f32_gradients_agree_with_f64_at_awkward_lengths() {
    for time in LENGTHS {
        for (name, c) in kinds() {
            agrees(cpu::<f32>(1), &c, time, 2e-3).unwrap_or_else(|e| panic!("{name}, {time} positions: {e}"));
        }
    }
}

/// Compares all gradients with those in f64 on the processor; says what differs.
pub(crate) fn agrees<B: Backward<Tensor: Numbers>>(b: B, c: &Config, time: usize, bound: f64) -> Result<(), String> {
    let (found, wanted) = (gradients(b, c, time), gradients(cpu::<f64>(1), c, time));
    all_within(bound, found.into_iter().zip(wanted).map(|((name, f), (_, w))| (name, distance(&f, &w, 1e-3))).collect())
}

pub(crate) fn gradients<B: Backward<Tensor: Numbers>>(b: B, c: &Config, time: usize) -> Vec<(String, Vec<f64>)> {
    let [tokens, targets] = batch(c, 3, 2, time);
    let mut trainer = trainer(b, c, hyper(c), 2, time);
    trainer.accumulate(&tokens, &targets).expect("no device to lose");
    named(c, &trainer.train_state().grads)
}

#[test]
fn prefill_is_the_whole_text_at_awkward_lengths() {
    for time in LENGTHS {
        for (name, c) in kinds() {
            let mut b = cpu::<f64>(1);
            let (model, tokens) = (model(&mut b, &c), text(&c, 6, time));
            let wanted = hidden(&mut b, &model, &tokens, 1);
            let mut session = Session::new(b, &model, Options::default()).expect("a session");
            let mut found = Vec::new();
            session.hidden(&tokens, |chunk| found.extend(chunk.iter().map(|&x| f64::from(x)))).expect("ids of the vocabulary");
            let d = distance(&found, &wanted, 1e-3);
            assert!(d < 2e-7, "{name}, {time} positions: off by {d:e}");
        }
    }
}
