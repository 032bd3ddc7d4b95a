//! Texts to pooled hidden states, in parts that fit, and back.

use super::goal::Options;
use crate::{
    backend::{Backward, Device, Forward, Precision},
    config::Config,
    embed::Pooling,
    layers::{ChunkShape, DropoutKey, WithGrad},
    model::{self, Acts, Params},
    ops::Average,
    pass::Pass,
    shape::Shape,
};
use alloc::{
    collections::{BTreeMap, btree_map::Entry},
    vec,
    vec::Vec,
};

/// Texts of one length that go through the model together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Part {
    /// Which pooled tensor they go to.
    pub(super) side: usize,
    /// The first row of it.
    pub(super) first: usize,
    /// How many.
    pub(super) rows: usize,
    /// Positions of each.
    pub(super) time: usize,
}

/// Room for parts of one length.
struct Workspace<B: Backward> {
    tokens: B::Indices,
    key: B::Indices,
    /// `[rows, time, 1]`: what a position counts
    weights: B::Tensor,
    acts: Acts<B::Tensor>,
    d: Acts<B::Tensor>,
    /// What the activations are of.
    holds: Option<Part>,
}

/// What a part goes through the model for.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// To learn from it.
    Learn,
    /// To be judged, with the weights.
    Weights,
    /// To be judged, with their average.
    Average,
}

/// What is kept of the passes of parts of one size, each of which is the same work every time.
#[derive(Default)]
pub(in crate::train) struct Passes<R> {
    /// By [`Purpose`].
    forward: [R; 3],
    backward: R,
}

/// By rows and positions.
pub(in crate::train) type Recorded<B> = BTreeMap<[usize; 2], Passes<<B as Forward>::Recording>>;

/// Texts of a side, sorted by length.
pub(super) struct Side<'a> {
    texts: &'a [Vec<u32>],
    /// The text of each row.
    pub(super) order: Vec<usize>,
    parts: Vec<Part>,
}

/// Rooms for parts of all lengths that came so far.
pub(super) struct Encoder<B: Backward> {
    workspaces: BTreeMap<[usize; 2], Workspace<B>>,
    ids: Vec<u32>,
    weights: Vec<f32>,
}

/// What a part runs with: weights of the model, and the dropout of its step if it learns.
pub(super) struct Run<'a, T> {
    pub(super) config: &'a Config,
    pub(super) params: &'a Params<T>,
    pub(super) options: &'a Options,
    pub(super) purpose: Purpose,
    /// Rate of dropout; none where nothing is learned.
    pub(super) dropout: Option<f32>,
    /// Whether blocks keep their inputs alone.
    pub(super) recompute: bool,
    /// The key of the first part's draws; each further one counts on from it.
    pub(super) key: [u32; 4],
}

impl Part {
    fn size(self) -> [usize; 2] {
        [self.rows, self.time]
    }
}

impl<'a> Side<'a> {
    pub(super) fn new(side: usize, texts: &'a [Vec<u32>], options: &Options) -> Self {
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&i| texts[i].len());
        let mut parts = Vec::new();
        let longest = |rows: &[usize]| padded(texts[rows[rows.len() - 1]].len(), options.time);
        if !texts.is_empty() {
            // All parts of a side have as many rows, so that a room fits each of its length.
            let most = (options.at_once / longest(&order)).max(1);
            let rows = (1..=texts.len().min(most)).rev().find(|n| texts.len().is_multiple_of(*n)).unwrap_or(1);
            parts.extend(order.chunks(rows).enumerate().map(|(i, of)| Part { side, first: i * rows, rows, time: longest(of) }));
        }
        Self { texts, order, parts }
    }
}

/// Positions that a text of `length` tokens gets: few different numbers, so that few rooms serve all.
fn padded(length: usize, most: usize) -> usize {
    let step = (length.next_power_of_two() / 4).max(8);
    length.div_ceil(step).max(1).saturating_mul(step).min(most)
}

impl<B: Backward> Workspace<B> {
    fn new(b: &mut B, c: &Config, recompute: bool, part: Part) -> Result<Self, B::Error> {
        let (batch, time) = (part.rows, part.time);
        let kept = ChunkShape { batch, time, saved: true };
        Ok(Self {
            tokens: b.alloc_indices(Shape::matrix(batch, time))?,
            key: b.alloc_indices(Shape::vector(4))?,
            weights: kept.full(b, 1)?,
            acts: if recompute { Acts::recomputed(b, c, kept)? } else { Acts::new(b, c, kept)? },
            d: Acts::new(b, c, ChunkShape { saved: false, ..kept })?,
            holds: None,
        })
    }
}

impl<B: Backward> Encoder<B> {
    pub(super) fn new() -> Self {
        Self { workspaces: BTreeMap::new(), ids: Vec::new(), weights: Vec::new() }
    }

    /// Writes the pooled hidden states of all texts into the sides' tensors, a row each.
    pub(super) fn forward(
        &mut self,
        b: &mut B,
        run: &Run<'_, B::Tensor>,
        recorded: &mut Recorded<B>,
        sides: &[Side<'_>],
        pooled: &mut [&mut B::Tensor],
    ) -> Result<(), B::Error> {
        for workspace in self.workspaces.values_mut() {
            workspace.holds = None;
        }
        for (place, (side, part)) in parts(sides).enumerate() {
            let workspace = self.enter(b, run, recorded, side, part, place)?;
            b.average(Average { x: &workspace.acts.hidden, weights: &workspace.weights, first: part.first }, pooled[part.side]);
        }
        Ok(())
    }

    /// From the gradients of what [`forward`](Self::forward) wrote to those of all weights.
    pub(super) fn backward(
        &mut self,
        b: &mut B,
        run: &Run<'_, B::Tensor>,
        recorded: &mut Recorded<B>,
        sides: &[Side<'_>],
        d_pooled: &[&B::Tensor],
        d_params: &mut Params<B::Tensor>,
    ) -> Result<(), B::Error> {
        let all: Vec<_> = parts(sides).enumerate().collect();
        // The last part of each length is in its room still.
        for (place, (side, part)) in all.into_iter().rev() {
            let workspace = self.enter(b, run, recorded, side, part, place)?;
            b.average_grad(
                Average { x: &workspace.acts.hidden, weights: &workspace.weights, first: part.first },
                d_pooled[part.side],
                &mut workspace.d.hidden,
            );
            let (c, p) = (run.config, WithGrad { value: run.params, grad: &mut *d_params });
            let dropout = run.dropout.map(|rate| DropoutKey { rate, key: &workspace.key });
            b.repeat(&mut recorded.entry(part.size()).or_default().backward, |b| {
                model::backward(Pass { dropout, ..Pass::new(b, c) }, p, &mut workspace.acts, &mut workspace.d, &workspace.tokens);
            });
        }
        Ok(())
    }

    /// The room with the activations of a part.
    fn enter(
        &mut self,
        b: &mut B,
        run: &Run<'_, B::Tensor>,
        recorded: &mut Recorded<B>,
        side: &Side<'_>,
        part: Part,
        place: usize,
    ) -> Result<&mut Workspace<B>, B::Error> {
        let c = run.config;
        let workspace = match self.workspaces.entry(part.size()) {
            Entry::Occupied(workspace) => workspace.into_mut(),
            Entry::Vacant(place) => place.insert(Workspace::new(b, c, run.recompute, part)?),
        };
        if workspace.holds == Some(part) {
            return Ok(workspace);
        }
        self.ids.clear();
        self.weights.clear();
        for &i in &side.order[part.first..][..part.rows] {
            let text = &side.texts[i][..side.texts[i].len().min(part.time)];
            self.ids.extend(text.iter().copied().chain(core::iter::repeat(0)).take(part.time));
            self.weights.extend((0..part.time).map(|t| weight(run.options.pooling, t, text.len())));
        }
        b.upload_indices(&self.ids, &mut workspace.tokens)?;
        b.upload(&self.weights, &mut workspace.weights)?;
        let [seed, more, draw, high] = run.key;
        b.upload_indices(&[seed, more, draw + place as u32, high], &mut workspace.key)?;
        let dropout = run.dropout.map(|rate| DropoutKey { rate, key: &workspace.key });
        b.repeat(&mut recorded.entry(part.size()).or_default().forward[run.purpose as usize], |b| {
            let Ok(()) = model::forward(Pass { dropout, ..Pass::new(b, c) }, run.params, None, &mut workspace.acts, &workspace.tokens);
        });
        workspace.holds = Some(part);
        Ok(workspace)
    }

    /// Mean gates of each layer over a part that is in its room; none before the first.
    pub(super) fn gates(&self, b: &mut B, c: &Config) -> Result<Vec<[Option<f32>; 3]>, B::Error> {
        match self.workspaces.values().find(|workspace| workspace.holds.is_some()) {
            Some(workspace) => model::mean_gates(b, c, &workspace.acts),
            None => Ok(vec![[None; 3]; c.layers]),
        }
    }
}

fn parts<'a, 'b>(sides: &'a [Side<'b>]) -> impl Iterator<Item = (&'a Side<'b>, Part)> {
    sides.iter().flat_map(|side| side.parts.iter().map(move |&part| (side, part)))
}

/// What position `t` of a text of `n` counts; as [`Pooler`](crate::embed::Pooler) has it.
fn weight(pooling: Pooling, t: usize, n: usize) -> f32 {
    match pooling {
        _ if t >= n => 0.0,
        Pooling::Mean => 1.0 / n as f32,
        Pooling::Last => (t + 1 == n) as u8 as f32,
        Pooling::Weighted => 2.0 * (t + 1) as f32 / (n as f32 * (n + 1) as f32),
    }
}

/// A matrix `[rows, width]` of activations.
pub(super) fn matrix<B: Device>(b: &mut B, rows: usize, width: usize) -> Result<B::Tensor, B::Error> {
    b.alloc(Shape::matrix(rows, width), Precision::Compute)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::embedding::Goal;

    #[test]
    fn every_text_is_in_one_part_that_is_long_enough() {
        let options =
            |at_once| Options { goal: Goal::Distill { pairs: 1.0 }, pooling: Pooling::Mean, dims: vec![], texts: 12, time: 50, at_once };
        let texts: Vec<Vec<u32>> = [3, 70, 1, 9, 17, 4, 33, 8, 2, 2, 64, 5].iter().map(|&n| vec![1; n]).collect();
        for at_once in [1, 60, 100, 10_000] {
            let side = Side::new(1, &texts, &options(at_once));
            let mut rows: Vec<usize> = side.parts.iter().flat_map(|p| p.first..p.first + p.rows).collect();
            rows.sort_unstable();
            assert!(rows.into_iter().eq(0..12));
            for part in &side.parts {
                assert!(part.rows == 1 || part.rows * part.time <= at_once, "{part:?}");
                let longest = side.order[part.first..][..part.rows].iter().map(|&i| texts[i].len()).max().unwrap();
                assert!(part.time >= longest.min(50) && part.time <= 50, "{part:?} for {longest}");
            }
        }
    }

    #[test]
    fn weights_add_up_to_one() {
        for pooling in [Pooling::Mean, Pooling::Last, Pooling::Weighted] {
            for n in [1, 2, 7, 40] {
                let sum: f32 = (0..50).map(|t| weight(pooling, t, n)).sum();
                assert!((sum - 1.0).abs() < 1e-5, "{pooling:?} {n}");
            }
        }
    }
}
