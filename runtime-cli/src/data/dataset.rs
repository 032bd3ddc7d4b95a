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
mod tests {
    use super::*;

    /// A text in which every id is its position.
    fn counting(len: u32) -> TokenStream {
        TokenStream::from_ids(&(0..len).collect::<Vec<_>>(), len as usize)
    }

    fn batch(data: &Dataset, step: u64, micro: usize, rows: usize, time: usize, seed: u64) -> (Vec<u32>, Vec<u32>) {
        let (mut tokens, mut targets) = (vec![u32::MAX; rows * time], vec![u32::MAX; rows * time]);
        let before = 2 * step + micro as u64;
        let order = RowOrder::Windows(WindowOrder::Random);
        data.batch(MicroBatch { seed, step, micro, before, batch: rows, time, order }, &mut tokens, &mut targets).unwrap();
        (tokens, targets)
    }

    #[test]
    fn the_split_of_tinyshakespeare_is_the_usual_one() {
        let data = Dataset::split(&counting(1_115_394), 0.1).unwrap();
        assert_eq!((data.train.len(), data.validation.len()), (1_003_854, 111_540));
    }

    #[test]
    fn a_target_is_the_token_after_its_token_and_no_window_leaves_the_training_text() {
        let data = Dataset::split(&counting(100), 0.2).unwrap();
        let mut seen = [false; 80];
        for step in 0..500 {
            let (tokens, targets) = batch(&data, step, 0, 4, 9, 1);
            for (row, &token) in tokens.iter().enumerate() {
                assert_eq!(targets[row], token + 1);
                assert!(row % 9 == 0 || token == tokens[row - 1] + 1);
                seen[token as usize] = true;
                seen[targets[row] as usize] = true;
            }
        }
        assert!(seen.iter().all(|&s| s), "every token of the training text occurs, including the first and the last");
    }

    #[test]
    fn a_batch_at_random_places_is_a_function_of_seed_step_and_row_alone() {
        let data = Dataset::split(&counting(10_000), 0.1).unwrap();
        let (whole, _) = batch(&data, 7, 0, 12, 16, 3);
        assert_eq!(batch(&data, 7, 0, 12, 16, 3).0, whole);
        let halves = [batch(&data, 7, 0, 6, 16, 3).0, batch(&data, 7, 1, 6, 16, 3).0].concat();
        assert_eq!(halves, whole);
        for other in [batch(&data, 8, 0, 12, 16, 3), batch(&data, 7, 1, 12, 16, 3), batch(&data, 7, 0, 12, 16, 4)] {
            assert_ne!(other.0, whole);
        }
        assert_ne!(batch(&data, 7 + (1 << 32), 0, 12, 16, 3).0, whole);
    }

    /// Sixty windows, in steps of eight: as micro-batches of 8, 4 or 2 windows, shared by 1, 2 or 4 ranks.
    #[test]
    fn shuffled_windows_are_the_same_for_any_number_of_ranks_and_each_comes_once_in_an_epoch() {
        let data = Dataset { train: counting(62 * 16), validation: counting(2) };
        let starts = |batch: usize, accumulate: usize, steps: u64| -> Vec<u32> {
            let (mut tokens, mut targets) = (vec![0; batch * 16], vec![0; batch * 16]);
            let mut all = Vec::new();
            for step in 0..steps {
                for micro in 0..accumulate {
                    let before = step * accumulate as u64 + micro as u64;
                    let order = RowOrder::Windows(WindowOrder::Shuffled);
                    data.batch(MicroBatch { seed: 4, step, micro, before, batch, time: 16, order }, &mut tokens, &mut targets).unwrap();
                    assert!(tokens.iter().zip(&targets).all(|(token, target)| token + 1 == *target));
                    all.extend(tokens.chunks(16).map(|row| row[0]));
                }
            }
            all
        };
        let whole = starts(8, 1, 15);
        assert_eq!(starts(4, 2, 15), whole);
        assert_eq!(starts(2, 4, 15), whole);
        let epochs: Vec<Vec<u32>> = whole
            .chunks(60)
            .map(|epoch| {
                let mut sorted = epoch.to_vec();
                sorted.sort_unstable();
                assert!(sorted.windows(2).all(|pair| pair[1] == pair[0] + 16), "each once: {sorted:?}");
                epoch.iter().map(|start| start - sorted[0]).collect()
            })
            .collect();
        assert_ne!(epochs[0], epochs[1]);
    }

    #[test]
    fn rows_that_run_on_continue_where_they_ended() {
        let data = Dataset::split(&counting(1000), 0.1).unwrap();
        let mut last: Vec<Option<u32>> = vec![None; 3];
        let mut wrapped = 0;
        for before in 0..300 {
            let (step, micro) = (before / 2, (before % 2) as usize);
            let which = MicroBatch { seed: 1, step, micro, before, batch: 3, time: 16, order: RowOrder::RunOn };
            let (mut tokens, mut targets) = (vec![0; 48], vec![0; 48]);
            data.batch(which, &mut tokens, &mut targets).unwrap();
            for (row, last) in tokens.chunks(16).zip(&mut last) {
                assert!(row.windows(2).all(|pair| pair[1] == pair[0] + 1));
                wrapped += usize::from(last.is_some_and(|last| row[0] != last + 1));
                *last = Some(row[15]);
            }
        }
        assert_eq!(wrapped, 3 * 300 * 16 / 884, "only at the end of the text does a row begin elsewhere");
    }

    #[test]
    fn the_shortest_text_that_fits_is_accepted_and_a_shorter_one_named() {
        let data = Dataset { train: counting(9), validation: counting(2) };
        assert_eq!(batch(&data, 0, 0, 1, 8, 0).0, [0, 1, 2, 3, 4, 5, 6, 7]);
        let error = data.require_context(9).unwrap_err().to_string();
        assert!(error.contains("9 tokens") && error.contains("context of 9"), "{error}");
        assert!(Dataset { train: counting(9), validation: counting(1) }.require_context(4).is_err());
        assert!(Dataset::split(&counting(3), 0.1).is_err());
        for fraction in [0.0, 1.0, -1.0, f64::NAN] {
            assert!(Dataset::split(&counting(100), fraction).is_err());
        }
    }

    #[test]
    fn validation_scores_every_target_exactly_once() {
        for len in [2, 3, 8, 9, 10, 64, 65, 66, 99] {
            let text = counting(len);
            for (time, rows) in [(1, 1), (8, 1), (8, 3), (200, 2)] {
                let windows = Windows::new(&text, time);
                let mut scored = Vec::new();
                for index in 0..windows.batches(rows) {
                    let (mut tokens, mut targets) = (vec![7; rows * time], vec![7; rows * time]);
                    let counted = windows.batch(index, rows, &mut tokens, &mut targets).unwrap();
                    let before = scored.len();
                    for (&token, &target) in tokens.iter().zip(&targets) {
                        if target == IGNORE {
                            assert_eq!(token, 0);
                        } else {
                            assert_eq!(target, token + 1);
                            scored.push(target);
                        }
                    }
                    assert_eq!(counted, (scored.len() - before) as u64);
                }
                assert_eq!(scored, (1..len).collect::<Vec<_>>(), "{len} ids in windows of {time}, {rows} at a time");
                assert_eq!(windows.targets(), scored.len() as u64);
            }
        }
    }

    #[test]
    fn an_id_outside_of_the_vocabulary_is_an_error() {
        let text = TokenStream::from_ids(&[0, 1, 70_000, 2], 4);
        text.read(0, &mut [0; 2]).unwrap();
        let error = text.part(1..4).read(1, &mut [0; 2]).unwrap_err().to_string();
        assert!(error.contains("token 2 of the data is 70000"), "{error}");
    }
}
