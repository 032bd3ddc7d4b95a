//! A run that is stopped, written down, and taken up again is the run that never stopped, bit for bit.

use hh_core::{
    backend::Backward,
    checkpoint::{Archive, Dtype, write},
    config::Config,
    error::Error,
    model,
    shape::Shaped,
    train::{HyperParams, Optimizer, Trainer},
};
use hh_tests::model::{Numbers, batch, cpu, hyper, kinds, named, trainer};

#[test]
fn a_run_that_resumes_is_the_run_that_never_stopped() {
    for (name, c) in kinds() {
        check(|| cpu::<f32>(1), name, &c);
    }
}

/// The same bits in all trees with both optimisers, on machines that `make` makes.
pub(crate) fn check<B: Backward<Tensor: Numbers>>(make: impl Fn() -> B, name: &str, c: &Config) {
    for optimizer in [Optimizer::AdamW, Optimizer::Muon] {
        check_with(&make, &format!("{name}, {optimizer:?}"), c, &HyperParams { optimizer, dropout: 0.2, accumulate: 2, ..hyper(c) });
    }
}

fn check_with<B: Backward<Tensor: Numbers>>(make: impl Fn() -> B, name: &str, c: &Config, h: &HyperParams) {
    let mut whole = trainer(make(), c, h.clone(), 2, 7);
    run(&mut whole, 0..4);
    let mut first = trainer(make(), c, h.clone(), 2, 7);
    run(&mut first, 0..2);
    let saved = save(&mut first);
    let mut second = restore(make(), c, h.clone(), &saved);
    assert_eq!(second.step(), 2);
    run(&mut second, 2..4);
    for ((tree, wanted), (_, found)) in whole.train_state().named().into_iter().zip(second.train_state().named()) {
        for ((leaf, wanted), (_, found)) in named(c, wanted).into_iter().zip(named(c, found)) {
            assert!(wanted == found, "{name}: {leaf} of the {tree} is another");
        }
    }
}

/// Runs steps of two micro-batches; the data are a function of the step.
fn run<B: Backward>(trainer: &mut Trainer<B>, steps: std::ops::Range<u32>) {
    for step in steps {
        for micro in 0..2 {
            let [tokens, targets] = batch(trainer.config(), 100 + 2 * step + micro, 2, 7);
            trainer.accumulate(&tokens, &targets).expect("no device to lose");
        }
        trainer.apply().expect("no device to lose");
    }
}

/// The trees as files.
fn save<B: Backward>(trainer: &mut Trainer<B>) -> (u64, Vec<Vec<u8>>) {
    let (c, step) = (trainer.config().clone(), trainer.step());
    let (b, train_state) = trainer.train_state_mut();
    let shapes = model::shapes(&c);
    let files = train_state.named().into_iter().map(|(_, tree)| {
        let values: Vec<Vec<f32>> = tree
            .leaves()
            .map(|leaf| {
                let mut host = vec![0.0; leaf.shape().count()];
                b.download(leaf, &mut host).expect("no device to lose");
                host
            })
            .collect();
        // A leaf that the optimiser does not need has one element.
        let kept = shapes.iter().zip(&values).filter(|((_, shape), values)| shape.count() == values.len());
        let tensors = kept.map(|((name, shape), values)| (name.as_str(), *shape, &values[..]));
        write(&c, &Default::default(), tensors, Dtype::F32).expect("finite weights")
    });
    (step, files.collect())
}

fn restore<B: Backward>(b: B, c: &Config, h: HyperParams, (step, files): &(u64, Vec<Vec<u8>>)) -> Trainer<B> {
    let mut trainer = trainer(b, c, h, 2, 7);
    let (b, train_state) = trainer.train_state_mut();
    for ((_, tree), file) in train_state.named_mut().into_iter().zip(files) {
        let archive = Archive::parse(file).expect("what was just written");
        for ((name, shape), leaf) in model::shapes(c).iter().zip(tree.leaves_mut()).filter(|((_, shape), leaf)| leaf.shape() == *shape) {
            let mut host = vec![0.0; shape.count()];
            let read: Result<(), Error> = archive.read(name, *shape, &mut host);
            read.expect("what was just written");
            b.upload(&host, leaf).expect("no device to lose");
        }
    }
    trainer.resume_at(*step);
    trainer
}
