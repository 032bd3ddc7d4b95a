use super::order::{place, shuffled};
use super::{TokenStream, WindowOrder};
use anyhow::{Result, bail};
use hh_core::ops::IGNORE;

/// Training text and held-out text.
#[derive(Clone)]
pub struct Dataset {
    /// The text that training windows are drawn from.
    pub train: TokenStream,
    /// The held-out text.
    pub validation: TokenStream,
}

impl Dataset {
    /// Holds out the last `fraction` of a text: training has the first `⌊N · (1 − fraction)⌋` ids.
    ///
    /// # Errors
    /// A fraction that is not between 0 and 1, or a text that is too short.
    pub fn split(all: &TokenStream, fraction: f64) -> Result<Self> {
        if !(fraction > 0.0 && fraction < 1.0) {
            bail!("{fraction} of the text cannot be held out; give a fraction between 0 and 1, such as 0.1");
        }
        let cut = (all.len() as f64 * (1.0 - fraction)) as u64;
        if cut < 2 || all.len() - cut < 2 {
            bail!(
                "the text has {} tokens, of which {cut} would be for training and {} for validation; give a longer text",
                all.len(),
                all.len() - cut
            );
        }
        Ok(Self { train: all.part(0..cut), validation: all.part(cut..all.len()) })
    }

    /// Checks that a context fits into the text.
    ///
    /// # Errors
    /// A text that is too short.
    pub fn require_context(&self, time: usize) -> Result<()> {
        if self.train.len() <= time as u64 {
            bail!(
                "the training text has {} tokens, too few for a context of {time} and the token after it; give more text or a shorter context",
                self.train.len()
            );
        }
        if self.validation.len() < 2 {
            bail!("the validation text has {} tokens; it needs at least two", self.validation.len());
        }
        Ok(())
    }

    /// Fills `tokens` and `targets`, both `[batch, time]`, with training windows and the same windows shifted by one token.
    ///
    /// A window is a function of what [`MicroBatch`] says only, so that resuming needs no saved state. How the windows of a step
    /// are divided into micro-batches, and these among ranks, changes nothing. Allocates nothing.
    ///
    /// # Errors
    /// As [`require_context`](Self::require_context) and [`TokenStream::read`].
    ///
    /// # Panics
    /// If a buffer is not `batch · time` long.
    pub fn batch(&self, which: MicroBatch, tokens: &mut [u32], targets: &mut [u32]) -> Result<()> {
        let MicroBatch { seed, step, micro, before, batch, time, order } = which;
        assert!(tokens.len() == batch * time && targets.len() == batch * time, "buffers of {batch}×{time} ids");
        self.require_context(time)?;
        let starts = self.train.len() - time as u64;
        for (i, (tokens, targets)) in tokens.chunks_exact_mut(time).zip(targets.chunks_exact_mut(time)).enumerate() {
            let start = match order {
                RowOrder::RunOn => (place(seed, 0, i as u32, starts) + before % starts * time as u64) % starts,
                RowOrder::Windows(WindowOrder::Random) => place(seed, step, (micro * batch + i) as u32, starts),
                RowOrder::Windows(WindowOrder::Shuffled) => {
                    shuffled(seed, before.wrapping_mul(batch as u64).wrapping_add(i as u64), self.train.len(), time as u64)
                }
            };
            self.train.read(start, tokens)?;
            self.train.read(start + 1, targets)?;
        }
        Ok(())
    }

    /// Validation windows of `time` ids.
    ///
    /// # Panics
    /// If `time` is 0.
    pub fn windows(&self, time: usize) -> Windows<'_> {
        Windows::new(&self.validation, time)
    }
}

/// Identifies the windows of a training micro-batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MicroBatch {
    /// Seed of the run.
    pub seed: u64,
    /// Optimiser step.
    pub step: u64,
    /// Index of the micro-batch within the step.
    pub micro: usize,
    /// Number of micro-batches before this one, of all steps and ranks.
    pub before: u64,
    /// Number of windows.
    pub batch: usize,
    /// Window length in tokens.
    pub time: usize,
    /// Which windows.
    pub order: RowOrder,
}

/// What comes in a row of training micro-batches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowOrder {
    /// Windows of the whole text.
    Windows(WindowOrder),
    /// The window after that of the same row in the micro-batch before, at the start of the text after its end.
    RunOn,
}

/// Consecutive windows of a text: every token except the first is a target exactly once.
#[derive(Clone, Copy)]
pub struct Windows<'a> {
    text: &'a TokenStream,
    time: usize,
}

impl<'a> Windows<'a> {
    /// Windows of `time` ids over a text.
    ///
    /// # Panics
    /// If `time` is 0.
    pub fn new(text: &'a TokenStream, time: usize) -> Self {
        assert!(time > 0, "windows of no ids");
        Self { text, time }
    }

    /// Number of windows, the last of which may be partly filled.
    pub fn count(&self) -> u64 {
        self.targets().div_ceil(self.time as u64)
    }

    /// Number of targets in all windows.
    pub fn targets(&self) -> u64 {
        self.text.len().saturating_sub(1)
    }

    /// Number of targets in a window: fewer than its length if the text ends in it, 0 after the end of the text.
    pub fn targets_in(&self, window: u64) -> usize {
        self.targets().saturating_sub(window.saturating_mul(self.time as u64)).min(self.time as u64) as usize
    }

    /// Number of batches for all windows.
    pub fn batches(&self, batch: usize) -> u64 {
        self.count().div_ceil(batch as u64)
    }

    /// Fills `tokens` and `targets`, both `[batch, time]`, with the windows from `index · batch` on. After the end of the text,
    /// tokens are 0 and targets are [`IGNORE`]. Returns the number of other targets. Allocates nothing.
    ///
    /// # Errors
    /// As [`TokenStream::read`].
    ///
    /// # Panics
    /// If a buffer is not `batch · time` long.
    pub fn batch(&self, index: u64, batch: usize, tokens: &mut [u32], targets: &mut [u32]) -> Result<u64> {
        let time = self.time;
        assert!(tokens.len() == batch * time && targets.len() == batch * time, "buffers of {batch}×{time} ids");
        let mut counted = 0;
        for (row, (tokens, targets)) in tokens.chunks_exact_mut(time).zip(targets.chunks_exact_mut(time)).enumerate() {
            let window = index * batch as u64 + row as u64;
            let (start, here) = (window * time as u64, self.targets_in(window));
            if here > 0 {
                self.text.read(start, &mut tokens[..here])?;
                self.text.read(start + 1, &mut targets[..here])?;
            }
            tokens[here..].fill(0);
            targets[here..].fill(IGNORE);
            counted += here as u64;
        }
        Ok(counted)
    }
}

#[cfg(test)]
mod tests;
