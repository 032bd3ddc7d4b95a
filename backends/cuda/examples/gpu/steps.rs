//! Whole training steps of the presets.

use crate::{Line, timing::time};
use hh_core::{
    backend::Precision,
    config::Config,
    error::Error,
    init, presets, rng,
    schedule::Schedule,
    train::{Hyper, Trainer},
    weights,
};
use hh_cuda::{Cuda, Fault};

/// Preset, segments, batch and context.
const STEPS: [(&str, usize, usize, usize); 3] = [("char-4.5m", 2, 64, 256), ("bpe-97m", 1, 16, 1024), ("bpe-97m", 2, 16, 1024)];

pub(crate) fn all(make: impl Fn() -> Result<Cuda, Fault>, keep: &mut impl FnMut(Line)) -> Result<(), Box<dyn std::error::Error>> {
    for (preset, segments, batch, context) in STEPS {
        let config = Config { segments, ..presets::preset(preset).expect("a preset of this list") };
        let mut b = make()?;
        let weights = weights::params(&mut b, &config, Precision::Full, |name, shape, out| -> Result<(), Error> {
            init::value(name, shape, &config, 1, out);
            Ok(())
        })?;
        let flow_weight = if config.flow_hidden > 0 { 0.1 } else { 0.0 };
        let hyper = Hyper {
            schedule: Schedule { peak_lr: 1e-3, min_lr: 1e-4, warmup: 10, steps: 1000 },
            beta1: 0.9,
            beta2: 0.95,
            adam_eps: 1e-8,
            ema: 0.999,
            weight_decay: 0.1,
            embed_lr_scale: 1.0,
            clip: 1.0,
            dropout: 0.0,
            smoothing: 0.0,
            z_weight: 1e-4,
            flow_weight,
            accumulate: 1,
            seed: 1,
        };
        let mut trainer = Trainer::new(b, config.clone(), hyper, weights, batch, context)?;
        let tokens: Vec<u32> =
            (0..(batch * context) as u32).map(|i| rng::block([1, 0, 0, 0], 3, i)[0] % config.vocab_size as u32).collect();
        let mut clock = make()?;
        let mut failed = None;
        let seconds = time(&mut clock, |_| {
            let mut step = || -> Result<(), Error> {
                trainer.accumulate(&tokens, &tokens)?;
                trainer.apply()?;
                trainer.grad_norm().map(drop)
            };
            failed = failed.take().or(step().err());
        })?;
        if let Some(e) = failed {
            return Err(e.into());
        }
        let rate = (batch * context) as f64 / seconds;
        let name = format!("{preset}, segments {segments}, {batch} x {context}, bf16");
        keep(Line { name, seconds, floor: None, note: format!("{rate:.0} tokens/s") });
    }
    Ok(())
}
