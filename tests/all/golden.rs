//! Against the reference implementation's autograd: hidden states, logits, losses and every gradient.

use hh_core::{
    backend::{Backward, Device, Forward, Precision},
    layers::Extent,
    model::{self, Acts, Params},
    ops::{CrossEntropy, Matmul},
    shape::{Shape, Shaped},
    train::Trainer,
    weights,
};
use hh_tests::{
    compare::{F32, F64, all_within, distance},
    golden::{Golden, Objective, names},
    model::{Numbers, cpu, hyper, named, wide},
};

/// Gradients smaller than this count as zero but for rounding; those of a model like these are around 0.01 to 1.
const FLOOR: f64 = 1e-3;

#[test]
fn f64_agrees_with_the_reference_to_rounding() {
    names().iter().for_each(|name| check(cpu::<f64>(1), name, F64.model).unwrap_or_else(|e| panic!("{name}: {e}")));
}

#[test]
fn f32_agrees_with_the_reference() {
    names().iter().for_each(|name| check(cpu::<f32>(1), name, F32.model).unwrap_or_else(|e| panic!("{name}: {e}")));
}

/// Compares one case; says what differs.
pub(crate) fn check<B: Backward<Tensor: Numbers>>(mut b: B, name: &str, bound: f64) -> Result<(), String> {
    let golden = Golden::read(name);
    let weights = stored(&mut b, &golden);
    let mut distances = run(&mut b, &golden, &weights);
    distances.extend(train(b, &golden, weights));
    all_within(bound, distances)
}

fn stored<B: Device>(b: &mut B, golden: &Golden) -> Params<B::Tensor> {
    weights::params(b, &golden.config, Precision::Full, |name, shape, out| {
        let values = golden.singles(&format!("weight.{name}"));
        assert_eq!(values.len(), shape.count(), "{name}");
        out.copy_from_slice(&values);
        Ok(())
    })
    .expect("room")
}

/// Hidden states, logits, and the losses that evaluation sees: `scratch` holds five rows of logits at a time.
fn run<B: Forward<Tensor: Numbers>>(b: &mut B, golden: &Golden, p: &Params<B::Tensor>) -> Vec<(String, f64)> {
    let (c, (batch, time)) = (&golden.config, golden.extent());
    let mut room = |shape| b.alloc(shape, Precision::Full).expect("room");
    let rows = |width| Shape::cube(batch, time, width);
    let (mut logits, mut losses) = (room(rows(c.vocab_size)), room(rows(3)));
    let (mut scratch, mut projected) = (room(Shape::matrix(5, c.vocab_size)), room(rows(c.embed_dim)));
    let mut acts = Acts::new(b, c, Extent { batch, time, saved: false }).expect("room");
    let [tokens, targets] = ["tokens", "targets"].map(|name| {
        let mut ids = b.alloc_indices(Shape::matrix(batch, time)).expect("room");
        b.upload_indices(&golden.ids(name), &mut ids).expect("no device to lose");
        ids
    });
    model::forward(b, c, p, None, &mut acts, &tokens, c.segments, None);
    let x = model::project(b, p, &acts.hidden, Some(&mut projected));
    b.matmul(Matmul::new(x, &p.embed), &mut logits);
    let op = CrossEntropy { x, table: &p.embed, targets: &targets, smoothing: 0.0, z_weight: 0.0, scale: 1.0 };
    b.cross_entropy(op, &mut scratch, &mut losses);
    let mean = |i| wide(&losses).iter().skip(i).step_by(3).sum::<f64>() / losses.shape().rows() as f64;
    [("hidden", wide(&acts.hidden)), ("logits", wide(&logits)), ("nll", vec![mean(0)]), ("z", vec![mean(1)])]
        .map(|(name, found)| (name.to_string(), distance(&found, golden.numbers(name), FLOOR)))
        .into()
}

/// Losses and all gradients of a training step.
fn train<B: Backward<Tensor: Numbers>>(b: B, golden: &Golden, weights: Params<B::Tensor>) -> Vec<(String, f64)> {
    let (c, (batch, time)) = (&golden.config, golden.extent());
    let Objective { smoothing, z_weight, flow_weight } = golden.part("objective");
    let hyper = hh_core::train::Hyper { smoothing, z_weight, flow_weight, ..hyper(c) };
    let mut trainer = Trainer::new(b, c.clone(), hyper, weights, batch, time).expect("a trainer");
    let drawn = |name| if flow_weight > 0.0 { golden.singles(name) } else { Vec::new() };
    trainer.accumulate_given(&golden.ids("tokens"), &golden.ids("targets"), &drawn("noise"), &drawn("time")).expect("no device to lose");
    let losses = trainer.losses().expect("no device to lose");
    let total = (1.0 - f64::from(smoothing)) * losses.nll
        + f64::from(smoothing) * losses.smooth
        + f64::from(z_weight) * losses.z
        + f64::from(flow_weight) * losses.flow;
    // Losses come to the host as f32.
    let rounded = |d: f64| if d < 3e-7 { 0.0 } else { d };
    let mut distances: Vec<_> = [("nll", losses.nll), ("z", losses.z), ("flow", losses.flow), ("total", total)]
        .into_iter()
        .filter_map(|(name, found)| Some((format!("trained {name}"), rounded(distance(&[found], golden.maybe(name)?, FLOOR)))))
        .collect();
    for (name, found) in named(c, &trainer.trees().grads) {
        let name = format!("grad.{name}");
        let far = distance(&found, golden.numbers(&name), FLOOR);
        distances.push((name, far));
    }
    distances
}
