//! What a backend makes of a case whose results are known: hidden states, logits, losses and every gradient.

use crate::{
    golden::{Golden, Objective},
    model::{Numbers, hyper, named, wide},
};
use hh_core::{
    backend::{Backward, Device, Forward, Precision},
    layers::{ChunkShape, lm_head},
    model::{
        self, Acts, Params,
        output::{self, Ids, Output},
    },
    pass::Pass,
    shape::{Shape, Shaped},
    train::Trainer,
    weights,
};

/// All results by name. Losses of the training step, beside those of the evaluation, are called `trained.nll` and so on.
pub fn results<B: Backward<Tensor: Numbers>>(mut b: B, golden: &Golden) -> Vec<(String, Vec<f64>)> {
    let weights = stored(&mut b, golden);
    let mut all = run(&mut b, golden, &weights);
    all.extend(train(b, golden, weights));
    all
}

/// What a result should be.
pub fn wanted<'a>(golden: &'a Golden, name: &str) -> &'a [f64] {
    golden.numbers(name.strip_prefix("trained.").unwrap_or(name))
}

fn stored<B: Device>(b: &mut B, golden: &Golden) -> Params<B::Tensor> {
    weights::params(b, &golden.config, Precision::Full, |name, shape, out| {
        let values = golden.singles(&format!("weight.{name}"));
        assert_eq!(values.len(), shape.count(), "{name}");
        out.copy_from_slice(&values);
        Ok(())
    })
    .expect("memory")
}

/// Hidden states, logits, and the losses that evaluation sees.
fn run<B: Forward<Tensor: Numbers>>(b: &mut B, golden: &Golden, p: &Params<B::Tensor>) -> Vec<(String, Vec<f64>)> {
    let (c, (batch, time)) = (&golden.config, golden.extent());
    let mut room = |shape| b.alloc(shape, Precision::Full).expect("memory");
    let rows = |width| Shape::cube(batch, time, width);
    let mut logits = room(rows(c.vocab_size));
    let x = ChunkShape { batch, time, saved: false };
    let (mut acts, mut head) = (Acts::new(b, c, x).expect("memory"), lm_head::Acts::new(b, c, x).expect("memory"));
    let [tokens, targets] = ["tokens", "targets"].map(|name| {
        let mut ids = b.alloc_indices(Shape::matrix(batch, time)).expect("memory");
        b.upload_indices(&golden.ids(name), &mut ids).expect("no device to lose");
        ids
    });
    let Ok(()) = model::forward(Pass::new(b, c), p, None, &mut acts, &tokens);
    lm_head::forward(b, &p.embedding, &mut head, &acts.hidden, &mut logits);
    let (mut output, mut memory) = (Output::new(b, c, x).expect("memory"), output::memory(b, c, x, 0).expect("memory"));
    let ids = Ids { tokens: &tokens, targets: &targets };
    output.losses(b, p, memory.as_mut(), &acts.hidden, ids);
    let losses = &output.losses;
    let mean = |i| wide(losses).iter().skip(i).step_by(3).sum::<f64>() / losses.shape().rows() as f64;
    [("hidden", wide(&acts.hidden)), ("logits", wide(&logits)), ("nll", vec![mean(0)]), ("z", vec![mean(1)])]
        .map(|(name, found)| (name.to_string(), found))
        .into()
}

/// Losses and all gradients of a training step.
fn train<B: Backward<Tensor: Numbers>>(b: B, golden: &Golden, weights: Params<B::Tensor>) -> Vec<(String, Vec<f64>)> {
    let (c, (batch, time)) = (&golden.config, golden.extent());
    let Objective { smoothing, z_weight, flow_weight } = golden.part("objective");
    let hyper = hh_core::train::HyperParams { smoothing, z_weight, flow_weight, ..hyper(c) };
    let mut trainer = Trainer::new(b, c.clone(), hyper, weights, batch, time).expect("a trainer");
    let drawn = |name| if flow_weight > 0.0 { golden.singles(name) } else { Vec::new() };
    trainer.accumulate_given(&golden.ids("tokens"), &golden.ids("targets"), &drawn("noise"), &drawn("time")).expect("no device to lose");
    let losses = trainer.losses().expect("no device to lose");
    let total = (1.0 - f64::from(smoothing)) * losses.nll
        + f64::from(smoothing) * losses.smooth
        + f64::from(z_weight) * losses.z
        + f64::from(flow_weight) * losses.flow;
    let losses = [("nll", losses.nll), ("z", losses.z), ("flow", losses.flow), ("total", total)].into_iter();
    losses
        .filter(|(name, _)| golden.maybe(name).is_some())
        .map(|(name, found)| (format!("trained.{name}"), vec![found]))
        .chain(named(c, &trainer.train_state().grads).into_iter().map(|(name, found)| (format!("grad.{name}"), found)))
        .collect()
}
