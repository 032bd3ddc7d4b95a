//! Sequences that take their steps together, each at a position of its own.

use crate::{Error, LoadedModel};
use hh_core::{
    backend::{Device, Forward, Precision},
    error::Error as Core,
    layers::{ChunkShape, lm_head},
    model::{self, Acts, State},
    pass::Pass,
    shape::{Shape, Shaped},
    state::Snapshot,
};
use hh_cpu::{Cpu, Indices, Tensor};
use std::sync::Arc;

type Model = Arc<LoadedModel<Tensor<f32>>>;

/// The states of several sequences in one tensor each, so that a step reads the weights once for all of them.
///
/// The first rows take the steps; what lies in the others is kept.
pub(super) struct Rows {
    backend: Cpu<f32>,
    model: Model,
    state: State<Tensor<f32>, Indices>,
    /// Positions of all rows.
    positions: Vec<u64>,
    most: usize,
    segments: usize,
    /// By number of rows, made when first needed.
    workspaces: Vec<Option<Workspace>>,
    /// A snapshot of one row, whose layout all have.
    template: Snapshot,
    logits: Vec<f32>,
}

struct Workspace {
    clock: Indices,
    tokens: Indices,
    acts: Acts<Tensor<f32>>,
    last: Tensor<f32>,
    head: lm_head::Acts<Tensor<f32>>,
    logits: Tensor<f32>,
}

impl Workspace {
    fn new(b: &mut Cpu<f32>, model: &LoadedModel<Tensor<f32>>, rows: usize) -> Result<Self, <Cpu<f32> as Device>::Error> {
        let (c, shape) = (&model.model.config, ChunkShape { batch: rows, time: 1, saved: false });
        Ok(Self {
            clock: b.alloc_indices(Shape::vector(rows))?,
            tokens: b.alloc_indices(Shape::matrix(rows, 1))?,
            acts: Acts::new(b, c, shape)?,
            last: b.alloc(Shape::cube(rows, 1, c.width), Precision::Compute)?,
            head: lm_head::Acts::new(b, c, shape)?,
            logits: b.alloc(Shape::cube(rows, 1, c.vocab_size), Precision::Full)?,
        })
    }
}

impl Rows {
    /// Up to `most` rows of the layout of `template`, the snapshot of a session with these memories.
    pub(super) fn new(
        backend: Cpu<f32>,
        model: Model,
        most: usize,
        [context, segments]: [usize; 2],
        template: Snapshot,
    ) -> Result<Self, Error> {
        let mut backend = backend.with_rows_alone();
        let state = State::new(&mut backend, &model.model.config, most, context, segments).map_err(Core::device)?;
        let workspaces = (0..=most).map(|_| None).collect();
        Ok(Self { backend, model, state, positions: vec![0; most], most, segments, workspaces, template, logits: Vec::new() })
    }

    /// Whether a state is that of a row.
    pub(super) fn fits(&self, snapshot: &Snapshot) -> bool {
        snapshot.is_like(&self.template)
    }

    /// Puts a state into a row.
    pub(super) fn put(&mut self, row: usize, snapshot: &Snapshot) {
        let (most, mut rest) = (self.most, snapshot.values());
        for leaf in self.state.leaves_mut() {
            leaf.show_first(most);
            let row = part(leaf.data_mut(), most, row);
            let (now, later) = rest.split_at(row.len());
            row.copy_from_slice(now);
            rest = later;
        }
        self.positions[row] = snapshot.position();
    }

    /// A copy of the state of a row.
    pub(super) fn take(&mut self, row: usize) -> Snapshot {
        let (most, mut values) = (self.most, Vec::with_capacity(self.template.values().len()));
        for leaf in self.state.leaves_mut() {
            leaf.show_first(most);
            values.extend_from_slice(part(leaf.data_mut(), most, row));
        }
        self.template.replaced(self.positions[row], values)
    }

    /// Exchanges two rows.
    pub(super) fn swap(&mut self, a: usize, b: usize) {
        if a == b {
            return;
        }
        let (low, high, most) = (a.min(b), a.max(b), self.most);
        for leaf in self.state.leaves_mut() {
            leaf.show_first(most);
            let data = leaf.data_mut();
            let size = data.len() / most;
            let (head, tail) = data.split_at_mut(high * size);
            head[low * size..][..size].swap_with_slice(&mut tail[..size]);
        }
        self.positions.swap(a, b);
    }

    /// Runs one token of each of the first rows, as many as there are tokens, and returns their logits, `[rows, V]`.
    pub(super) fn step(&mut self, tokens: &[u32]) -> Result<&[f32], Error> {
        let (rows, b, model) = (tokens.len(), &mut self.backend, &*self.model);
        let workspace = match &mut self.workspaces[rows] {
            Some(workspace) => workspace,
            none => none.insert(Workspace::new(b, model, rows).map_err(Core::device)?),
        };
        self.state.leaves_mut().for_each(|leaf| leaf.show_first(rows));
        let clock: Vec<u32> = self.positions[..rows].iter().map(|&position| position as u32).collect();
        b.upload_indices(&clock, &mut workspace.clock).map_err(Core::device)?;
        b.upload_indices(tokens, &mut workspace.tokens).map_err(Core::device)?;
        std::mem::swap(&mut self.state.clock, &mut workspace.clock);
        let pass = Pass { segments: self.segments, ..Pass::new(b, &model.model.config) };
        let Ok(()) = model::forward(pass, &model.model.params, Some(&mut self.state), &mut workspace.acts, &workspace.tokens);
        std::mem::swap(&mut self.state.clock, &mut workspace.clock);
        b.last(&workspace.acts.hidden, &mut workspace.last);
        lm_head::forward(b, &model.model.params.embedding, &mut workspace.head, &workspace.last, &mut workspace.logits);
        self.logits.resize(workspace.logits.shape().count(), 0.0);
        b.download(&workspace.logits, &mut self.logits).map_err(Core::device)?;
        self.positions[..rows].iter_mut().for_each(|position| *position += 1);
        Ok(&self.logits)
    }
}

/// The part of a row in a tensor of `most` rows.
fn part(data: &mut [f32], most: usize, row: usize) -> &mut [f32] {
    let size = data.len() / most;
    &mut data[row * size..][..size]
}
