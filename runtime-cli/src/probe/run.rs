//! Scores all knock-outs.

use super::disturb::{Disturbance, Reorder, shuffled};
use super::edit::edit;
use super::findings::{Findings, Row};
use super::knockout::{Change, Knockout, knockouts};
use super::means::Means;
use crate::data::{TokenStream, Windows};
use crate::evaluate::Evaluator;
use anyhow::{Result, bail};
use hh_core::backend::Forward;
use hh_core::error::Error;
use hh_core::model::Model;

/// Options of a probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Window length in tokens; each window starts from an empty state.
    pub context: usize,
    /// Windows per batch; results depend on it only by rounding.
    pub batch: usize,
    /// Passes over the blocks; those of the configuration if absent.
    pub segments: Option<usize>,
    /// Seed of shuffles and noise.
    pub seed: u64,
    /// Whether to knock out parts in single layers, too.
    pub layers: bool,
}

/// Progress of a probe.
pub struct Progress<'a> {
    /// The knock-out being scored.
    pub knockout: &'a Knockout,
    /// Batches done, times passes over the blocks.
    pub done: u64,
    /// Total of `done`.
    pub of: u64,
}

/// Scores a text under each knock-out; the model is restored afterwards. `go_on` is called before every batch; if it returns
/// false, the rows so far are returned, or `None` if the baseline is not complete.
///
/// # Errors
/// A text that has fewer than two tokens or cannot be read, or a device error.
pub fn probe<B: Forward>(
    backend: B,
    model: &mut Model<B::Tensor>,
    text: &TokenStream,
    options: &Options,
    go_on: &mut dyn FnMut(Progress<'_>) -> bool,
) -> Result<Option<Findings>> {
    if text.len() < 2 {
        bail!("the text has {} tokens; scoring needs at least two", text.len());
    }
    let segments = options.segments.unwrap_or(model.config.segments);
    let all = knockouts(&model.config, segments, options.layers);
    // A short text fills neither a long window nor a large batch.
    let time = options.context.min((text.len() - 1) as usize);
    let windows = Windows::new(text, time);
    let batch = (options.batch as u64).min(windows.count()) as usize;
    let evaluator = Evaluator::new(backend, model, batch, time)?;
    let work = |k: &Knockout| if same(k, &all[0]) { 0 } else { k.segments as u64 * windows.batches(batch) };
    let of = all.iter().skip(1).map(work).sum::<u64>() + segments as u64 * windows.batches(batch);
    let mut scorer = Scorer { evaluator, windows, batch, seed: options.seed, reorder: shuffled, done: 0, of };

    let mut means = Means::new(&scorer.evaluator.parts().1.config, segments, time);
    let Some(baseline) = scorer.score(&all[0], Some(&mut means), go_on)? else { return Ok(None) };
    let mut rows = Vec::with_capacity(all.len());
    for knockout in &all {
        let scored = if same(knockout, &all[0]) { Some(baseline.clone()) } else { scorer.score(knockout, None, go_on)? };
        let Some(scored) = scored else { break };
        rows.push(scored.against(&baseline, knockout));
    }
    Ok(Some(Findings {
        tokens: windows.targets(),
        context: time,
        segments,
        seed: options.seed,
        complete: rows.len() == all.len(),
        rows,
        gates: means.gates(),
        depths: means.depths(),
    }))
}

/// Whether a knock-out is the baseline under another name.
fn same(knockout: &Knockout, baseline: &Knockout) -> bool {
    knockout.change == Change::Nothing && knockout.segments == baseline.segments
}

/// Scores knock-outs on one text.
pub(super) struct Scorer<'a, B: Forward> {
    pub(super) evaluator: Evaluator<B, &'a mut Model<B::Tensor>>,
    pub(super) windows: Windows<'a>,
    pub(super) batch: usize,
    pub(super) seed: u64,
    pub(super) reorder: Reorder,
    pub(super) done: u64,
    pub(super) of: u64,
}

/// Sums of negative log-likelihoods.
#[derive(Clone, Default)]
pub(super) struct Nats {
    /// In the order of the text, as [`Evaluator::score`] sums.
    pub(super) all: f64,
    /// Nats and number of targets of each window.
    windows: Vec<(f64, u64)>,
}

impl<B: Forward> Scorer<'_, B> {
    /// Scores the text under one knock-out; `None` if `go_on` returned false.
    pub(super) fn score(
        &mut self,
        knockout: &Knockout,
        means: Option<&mut Means>,
        go_on: &mut dyn FnMut(Progress<'_>) -> bool,
    ) -> Result<Option<Nats>> {
        let (b, model) = self.evaluator.parts();
        let layers = knockout.layers(&model.config);
        let taken = edit(b, model, knockout.change, layers).map_err(Error::device)?;
        let scored = self.text(knockout, means, go_on);
        taken.put_back(self.evaluator.parts().1);
        scored
    }

    fn text(
        &mut self,
        knockout: &Knockout,
        mut means: Option<&mut Means>,
        go_on: &mut dyn FnMut(Progress<'_>) -> bool,
    ) -> Result<Option<Nats>> {
        let Self { windows, batch, seed, reorder, of, .. } = *self;
        let config = self.evaluator.parts().1.config.clone();
        let (segments, change, layers) = (knockout.segments, knockout.change, knockout.layers(&config));
        let mut nats = Nats { all: 0.0, windows: vec![(0.0, 0); windows.count() as usize] };
        for index in 0..windows.batches(batch) {
            if !go_on(Progress { knockout, done: self.done, of }) {
                return Ok(None);
            }
            let first = index * batch as u64;
            let rows: Vec<_> = (first..first + batch as u64).map(|window| (window, windows.targets_in(window))).collect();
            let losses = match &mut means {
                Some(means) => self.evaluator.batch(windows, index, segments, &mut means.of(&rows))?,
                None => {
                    let layers = layers.clone();
                    let mut hooks = Disturbance { config: &config, change, layers, seed, rows: &rows, reorder };
                    self.evaluator.batch(windows, index, segments, &mut hooks)?
                }
            };
            for (row, _, loss) in losses.iter() {
                let window = &mut nats.windows[first as usize + row];
                nats.all += loss;
                *window = (window.0 + loss, window.1 + 1);
            }
            self.done += segments as u64;
        }
        Ok(Some(nats))
    }
}

impl Nats {
    fn tokens(&self) -> f64 {
        self.windows.iter().map(|&(_, n)| n).sum::<u64>() as f64
    }

    /// The row of a knock-out. The standard error of the difference is that of a ratio of sums over W independent windows:
    /// `sqrt(W / (W − 1) Σ (dᵢ − d̄ nᵢ)²) / Σ nᵢ`, where `dᵢ` is the difference in nats of a window of `nᵢ` tokens.
    fn against(&self, baseline: &Self, knockout: &Knockout) -> Row {
        let (tokens, count) = (self.tokens(), self.windows.len() as f64);
        let difference = (self.all - baseline.all) / tokens;
        let residual = |((nats, n), (before, _)): (&(f64, u64), &(f64, u64))| (nats - before - difference * *n as f64).powi(2);
        let squares: f64 = self.windows.iter().zip(&baseline.windows).map(residual).sum();
        Row {
            group: knockout.group,
            name: knockout.name.clone(),
            layer: knockout.layer,
            segments: knockout.segments,
            nll: self.all / tokens,
            difference,
            standard_error: (count > 1.0).then(|| (count / (count - 1.0) * squares).sqrt() / tokens),
        }
    }
}
