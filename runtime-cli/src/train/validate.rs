//! Negative log-likelihood of held-out text, without regularisation terms.

use super::metrics::Evaluation;
use crate::data::Dataset;
use anyhow::Result;
use hh_core::backend::Backward;
use hh_core::train::{Losses, Trainer};

/// Nats per token over the first `tokens` targets of the held-out text, rounded up to whole batches, in consecutive windows
/// that each start from an empty state; with the weights, and with their moving average if there is one. `None` if `stop`,
/// called before each batch, returns true.
///
/// # Errors
/// A text that cannot be read, or a device error.
pub fn validate<B: Backward>(
    trainer: &mut Trainer<B>,
    data: &Dataset,
    batch: usize,
    time: usize,
    tokens: u64,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Evaluation>> {
    let windows = data.windows(time);
    let batches = windows.batches(batch).min(tokens.div_ceil((batch * time) as u64));
    let (mut ids, mut targets) = (vec![0; batch * time], vec![0; batch * time]);
    let averaged = trainer.hyper().ema > 0.0;
    let (mut plain, mut average) = (Losses::default(), Losses::default());
    for index in 0..batches {
        if stop() {
            return Ok(None);
        }
        windows.batch(index, batch, &mut ids, &mut targets)?;
        plain.add(&trainer.evaluate(false, &ids, &targets)?);
        if averaged {
            average.add(&trainer.evaluate(true, &ids, &targets)?);
        }
    }
    Ok(Some(Evaluation {
        step: trainer.step(),
        validation: plain.nll,
        validation_ema: averaged.then_some(average.nll),
        accuracy: None,
        scored: plain.count,
        whole: false,
    }))
}
