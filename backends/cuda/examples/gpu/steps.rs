//! Training steps of the presets, without synchronisation between steps, as in training.

use crate::{
    peer::Peer,
    shapes::{Shapes, Step},
    table::{Line, Table},
    timing::rounds,
};
use hh_core::{
    backend::Precision,
    config::Config,
    error::Error,
    init, presets, rng,
    schedule::Schedule,
    train::{HyperParams, Trainer},
    weights,
};
use hh_cuda::{Cuda, DeviceError};
use std::{error, fs};

/// A trainer at its first step, of a model without the flow head; the reference implementation is measured without it too.
pub(crate) fn trainer(mut b: Cuda, (preset, segments, batch, context): Step, steps: u64) -> Result<Trainer<Cuda>, Error> {
    let config = Config { segments, flow_hidden: 0, ..presets::preset(preset).expect("a preset of this list") };
    let weights = weights::params(&mut b, &config, Precision::Master, |name, shape, out| -> Result<(), Error> {
        init::value(name, shape, &config, 1, out);
        Ok(())
    })?;
    let hyper = HyperParams {
        schedule: Schedule { peak_lr: 1e-3, min_lr: 1e-4, warmup: 10.min(steps - 1), steps },
        beta1: 0.9,
        beta2: 0.95,
        adam_eps: 1e-8,
        ema: 0.999,
        weight_decay: 0.1,
        clip: 1.0,
        z_weight: 1e-4,
        seed: 1,
        ..HyperParams::default()
    };
    Trainer::new(b, config, hyper, weights, batch, context)
}

/// Times the steps of a preset.
pub(crate) fn measure(
    make: impl Fn() -> Result<Cuda, DeviceError>,
    shapes: &Shapes,
    step: Step,
    peer: &mut Peer,
    table: &mut Table,
) -> Result<(), Box<dyn error::Error>> {
    let (preset, segments, batch, context) = step;
    let mut trainer = trainer(make()?, step, 1 << 20)?;
    let vocab = trainer.config().vocab_size as u32;
    let tokens: Vec<u32> = (0..(batch * context) as u32).map(|i| rng::block([1, 0, 0, 0], 3, i)[0] % vocab).collect();
    let seconds = rounds(10.0 * shapes.min_seconds, |runs| -> Result<(), Error> {
        for _ in 0..runs {
            trainer.accumulate(&tokens, &tokens)?;
            trainer.apply()?;
        }
        trainer.losses().map(drop)
    })?;
    let [_, peak] = trainer.backend.held();
    let json = std::env::temp_dir().join(format!("hh-gpu-{}.json", std::process::id()));
    fs::write(&json, trainer.config().to_json())?;
    drop(trainer);
    let rate = (batch * context) as f64 / seconds;
    let gib = peak as f64 / (1u64 << 30) as f64;
    let (path, batch_word, context_word) = (json.to_string_lossy(), batch.to_string(), context.to_string());
    let mut measure = |way| Some((way, peer.measure_words("step", &[&path, &batch_word, &context_word, way])?));
    let peers = ["eager", "compile"].into_iter().filter_map(&mut measure).collect();
    table.add(Line {
        name: format!("{preset}, segments {segments}, {batch} × {context}, bf16"),
        seconds,
        floor: None,
        peers,
        note: format!("{rate:.0} tokens/s, peak {gib:.2} GiB"),
    });
    fs::remove_file(&json)?;
    Ok(())
}
