//! Negative log-likelihood of held-out text, without regularisation terms.

use super::metrics::Evaluation;
use crate::data::Dataset;
use crate::ranks::shared_out;
use anyhow::Result;
use hh_core::backend::Backward;
use hh_core::collective::Collective;
use hh_core::train::{Losses, Trainer};

/// Nats per token over the first `tokens` targets of the held-out text, rounded up to whole batches, in consecutive windows
/// that each start from an empty state; with the weights, and with their moving average if there is one. The batches are
/// shared out among the ranks, and the result is the same for any number of them. `None` if `stop`, called before each batch,
/// returns true on a rank.
///
/// # Errors
/// A text that cannot be read, a device error, or a rank that cannot be reached.
pub fn validate<B: Backward>(
    ranks: &mut impl Collective<B>,
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
    let found = shared_out(ranks, batches, stop, |index| {
        windows.batch(index, batch, &mut ids, &mut targets)?;
        let plain = trainer.evaluate(false, &ids, &targets)?;
        Ok([plain, if averaged { trainer.evaluate(true, &ids, &targets)? } else { Losses::default() }])
    })?;
    let Some([plain, average]) = found else { return Ok(None) };
    Ok(Some(Evaluation {
        step: trainer.step(),
        validation: plain.nll,
        validation_ema: averaged.then_some(average.nll),
        accuracy: None,
        scored: plain.count,
        whole: false,
    }))
}
