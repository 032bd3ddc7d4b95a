//! Texts to pooled hidden states, in parts that fit, and back.

use super::goal::Options;
use crate::{
    backend::{Backward, Device, Forward, Precision},
    config::Config,
    embed::{
        plan::{Batch, Buckets, Plan},
        text_batch::{Staging, TextBatch},
    },
    layers::{ChunkShape, DropoutKey, WithGrad},
    model::{self, Acts, Params},
    pass::Pass,
    shape::Shape,
};
use alloc::{
    collections::{BTreeMap, btree_map::Entry},
    vec,
    vec::Vec,
};

/// Texts of one length that go through the model together.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Part {
    /// Which pooled tensor they go to.
    side: usize,
    /// Which texts of that side, and which rows of the tensor.
    batch: Batch,
}

/// Memory for parts of one length.
struct Workspace<B: Backward> {
    texts: TextBatch<B>,
    key: B::Indices,
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
    number: usize,
    texts: &'a [Vec<u32>],
    plan: Plan,
}

/// Workspaces for parts of all lengths that came so far.
pub(super) struct Encoder<B: Backward> {
    workspaces: BTreeMap<[usize; 2], Workspace<B>>,
    staging: Staging,
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
        [self.batch.rows, self.batch.time]
    }
}

impl<'a> Side<'a> {
    pub(super) fn new(number: usize, texts: &'a [Vec<u32>], options: &Options) -> Self {
        let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
        Self { number, texts, plan: Plan::even(&lengths, options.at_once, Buckets::COARSE.up_to(options.time)) }
    }

    /// The text of each row.
    pub(super) fn order(&self) -> &[usize] {
        self.plan.order()
    }
}

impl<B: Backward> Workspace<B> {
    fn new(b: &mut B, c: &Config, recompute: bool, batch: Batch) -> Result<Self, B::Error> {
        let kept = ChunkShape { batch: batch.rows, time: batch.time, saved: true };
        let acts = if recompute { Acts::recomputed(b, c, kept)? } else { Acts::new(b, c, kept)? };
        Ok(Self {
            texts: TextBatch::new(b, kept, acts)?,
            key: b.alloc_indices(Shape::vector(4))?,
            d: Acts::new(b, c, ChunkShape { saved: false, ..kept })?,
            holds: None,
        })
    }
}

impl<B: Backward> Encoder<B> {
    pub(super) fn new() -> Self {
        Self { workspaces: BTreeMap::new(), staging: Staging::default() }
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
            workspace.texts.pool(b, part.batch.first, pooled[part.side]);
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
            workspace.texts.pool_grad(b, part.batch.first, d_pooled[part.side], &mut workspace.d.hidden);
            let (c, texts, p) = (run.config, &mut workspace.texts, WithGrad { value: run.params, grad: &mut *d_params });
            let dropout = run.dropout.map(|rate| DropoutKey { rate, key: &workspace.key });
            b.repeat(&mut recorded.entry(part.size()).or_default().backward, |b| {
                model::backward(Pass { dropout, ..Pass::new(b, c) }, p, &mut texts.acts, &mut workspace.d, &texts.tokens);
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
            Entry::Vacant(place) => place.insert(Workspace::new(b, c, run.recompute, part.batch)?),
        };
        if workspace.holds == Some(part) {
            return Ok(workspace);
        }
        let texts = side.plan.texts(part.batch).iter().map(|&i| &side.texts[i][..side.texts[i].len().min(part.batch.time)]);
        workspace.texts.upload(b, run.options.pooling, texts.map(Into::into), &mut self.staging)?;
        let [seed, more, draw, high] = run.key;
        b.upload_indices(&[seed, more, draw + place as u32, high], &mut workspace.key)?;
        let (texts, dropout) = (&mut workspace.texts, run.dropout.map(|rate| DropoutKey { rate, key: &workspace.key }));
        b.repeat(&mut recorded.entry(part.size()).or_default().forward[run.purpose as usize], |b| {
            let Ok(()) = model::forward(Pass { dropout, ..Pass::new(b, c) }, run.params, None, &mut texts.acts, &texts.tokens);
        });
        workspace.holds = Some(part);
        Ok(workspace)
    }

    /// Mean gates of each layer over a part that is in its room; none before the first.
    pub(super) fn gates(&self, b: &mut B, c: &Config) -> Result<Vec<[Option<f32>; 3]>, B::Error> {
        match self.workspaces.values().find(|workspace| workspace.holds.is_some()) {
            Some(workspace) => model::mean_gates(b, c, &workspace.texts.acts),
            None => Ok(vec![[None; 3]; c.layers]),
        }
    }
}

fn parts<'a, 'b>(sides: &'a [Side<'b>]) -> impl Iterator<Item = (&'a Side<'b>, Part)> {
    sides.iter().flat_map(|side| side.plan.batches().iter().map(move |&batch| (side, Part { side: side.number, batch })))
}

/// A matrix `[rows, width]` of activations.
pub(super) fn matrix<B: Device>(b: &mut B, rows: usize, width: usize) -> Result<B::Tensor, B::Error> {
    b.alloc(Shape::matrix(rows, width), Precision::Compute)
}
