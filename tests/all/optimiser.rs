//! AdamW, clipping, decay and the average against PyTorch's, and Muon against plain Python, through the trainer.

use hh_core::{
    backend::{Backward, Precision},
    model,
    schedule::Schedule,
    train::{HyperParams, Optimizer, Trainer},
    weights,
};
use hh_tests::{
    compare::{all_within, distance},
    golden::Golden,
    model::{Numbers, cpu, hyper, named, wide},
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Steps {
    lr: f32,
    beta1: f32,
    beta2: f32,
    adam_eps: f32,
    weight_decay: f32,
    clip: f32,
    ema: f32,
    steps: u64,
    #[serde(flatten)]
    muon: Option<Muon>,
}

/// What only the golden steps of Muon have.
#[derive(Deserialize, Clone, Copy)]
struct Muon {
    muon_lr: f32,
    muon_momentum: f32,
    muon_weight_decay: f32,
    muon_ns_steps: usize,
}

#[test]
fn three_steps_are_those_of_pytorch() {
    check(cpu::<f64>(1), 1e-6).unwrap();
}

#[test]
fn three_steps_of_muon_are_those_of_its_equations_in_python() {
    check_muon(cpu::<f64>(1), 1e-6).unwrap();
}

/// Runs the golden steps of AdamW; says what differs.
pub(crate) fn check<B: Backward<Tensor: Numbers>>(b: B, bound: f64) -> Result<(), String> {
    check_steps(b, "adamw", bound)
}

/// Runs the golden steps of Muon, and of AdamW beside it; says what differs.
pub(crate) fn check_muon<B: Backward<Tensor: Numbers>>(b: B, bound: f64) -> Result<(), String> {
    check_steps(b, "muon", bound)
}

fn check_steps<B: Backward<Tensor: Numbers>>(mut b: B, name: &str, bound: f64) -> Result<(), String> {
    let golden = Golden::read(name);
    let (c, s) = (&golden.config, golden.part::<Steps>("hyper"));
    let h = HyperParams {
        schedule: Schedule { peak_lr: s.lr, min_lr: s.lr, warmup: 0, steps: s.steps },
        beta1: s.beta1,
        beta2: s.beta2,
        adam_eps: s.adam_eps,
        ema: s.ema,
        weight_decay: s.weight_decay,
        embed_lr_scale: 1.0,
        clip: s.clip,
        ..hyper(c)
    };
    let h = match s.muon {
        Some(Muon { muon_lr, muon_momentum, muon_weight_decay, muon_ns_steps }) => {
            HyperParams { optimizer: Optimizer::Muon, muon_lr, muon_momentum, muon_weight_decay, muon_ns_steps, ..h }
        }
        None => h,
    };
    let start = weights::params(&mut b, c, Precision::Master, |name, _, out| {
        out.copy_from_slice(&golden.singles(&format!("weight.{name}")));
        Ok(())
    })
    .expect("memory");
    let mut trainer = Trainer::new(b, c.clone(), h, start, 1, 1).expect("a trainer");
    let mut distances = Vec::new();
    for step in 0..s.steps {
        let (b, train_state) = trainer.train_state_mut();
        for ((name, _), leaf) in model::shapes(c).iter().zip(train_state.grads.leaves_mut()) {
            b.upload(&golden.singles(&format!("grad.{step}.{name}")), leaf).expect("no device to lose");
        }
        trainer.apply().expect("no device to lose");
        let norm = f64::from(trainer.grad_norm().expect("no device to lose"));
        distances.push((format!("norm of step {step}"), distance(&[norm], golden.numbers(&format!("norm.{step}")), 0.0)));
        assert!(trainer.train_state().grads.leaves().all(|g| wide(g).iter().all(|&x| x == 0.0)), "a step ends with no gradient");
    }
    assert_eq!(trainer.step(), s.steps);
    for (kind, tree) in [("after", &trainer.train_state().weights), ("average", &trainer.train_state().ema)] {
        for (name, found) in named(c, tree) {
            // Relative to how far the weight went: it is that which the optimiser is about.
            let moved =
                |x: &[f64]| -> Vec<f64> { x.iter().zip(golden.numbers(&format!("weight.{name}"))).map(|(x, from)| x - from).collect() };
            let name = format!("{kind}.{name}");
            let far = distance(&moved(&found), &moved(golden.numbers(&name)), 0.0);
            distances.push((name, far));
        }
    }
    // The schedule goes to the device as f32.
    all_within(bound, distances)
}
