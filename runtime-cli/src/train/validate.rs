//! Plain negative log-likelihood of held-out text.

use super::metrics::Evaluation;
use crate::data::Dataset;
use anyhow::Result;
use hh_core::backend::Backward;
use hh_core::train::{Losses, Trainer};

/// Nats per token over the first `tokens` targets of the held-out text, or a few more to fill a batch, in windows that lie one
/// after the other and begin with an empty past each; with the weights, and where they have one, with their moving average.
/// `None` where `stop`, which is asked before each batch, says yes.
///
/// # Errors
/// What reading the text says, or the machine.
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
