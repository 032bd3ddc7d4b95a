//! The language model's objective: the next token.

use super::{HyperParams, Losses, TrainState, Trained, Trainer, Workspace};
use crate::{
    backend::{Backward, Device},
    config::Config,
    error::Error,
    layers::{
        ChunkShape, DropoutKey, WithGrad,
        episodic::{self, State},
        flow,
    },
    model::{
        self, Acts, Params,
        output::{self, Ids, LossWeights, Output, OutputGrad},
    },
    pass::Pass,
    shape::{Shape, Shaped},
};
use alloc::{vec, vec::Vec};

/// Tensors of one micro-batch of tokens.
pub struct LanguageWorkspace<B: Device> {
    tokens: B::Indices,
    targets: B::Indices,
    key: B::Indices,
    acts: Acts<B::Tensor>,
    d: Acts<B::Tensor>,
    output: Output<B::Tensor>,
    d_output: OutputGrad<B::Tensor>,
    /// The episodic memory of sequences that begin with the chunk, and of those that go on, where they do.
    memory: [Option<State<B::Tensor, B::Indices>>; 2],
    flow: Option<[flow::Acts<B::Tensor>; 2]>,
    host: Vec<f32>,
}

impl<B: Device> LanguageWorkspace<B> {
    /// Allocates the tensors of micro-batches of `batch` × `time`.
    ///
    /// # Errors
    /// The device's, where it has none.
    pub fn new(b: &mut B, c: &Config, h: &HyperParams, batch: usize, time: usize) -> Result<Self, B::Error> {
        let (kept, passing) = (ChunkShape { batch, time, saved: true }, ChunkShape { batch, time, saved: false });
        let ids = Shape::matrix(batch, time);
        Ok(Self {
            tokens: b.alloc_indices(ids)?,
            targets: b.alloc_indices(ids)?,
            key: b.alloc_indices(Shape::vector(4))?,
            acts: if h.recompute { Acts::recomputed(b, c, kept)? } else { Acts::new(b, c, kept)? },
            d: Acts::new(b, c, passing)?,
            output: Output::new(b, c, kept)?,
            d_output: OutputGrad::new(b, c, kept)?,
            memory: [
                output::memory(b, c, kept, 0)?,
                if h.episodic_items > 0 { output::memory(b, c, kept, h.episodic_items)? } else { None },
            ],
            flow: if h.flow_weight > 0.0 { Some([flow::Acts::new(b, c, kept)?, flow::Acts::new(b, c, kept)?]) } else { None },
            host: vec![0.0; 3 * batch * time],
        })
    }
}

impl<B: Device> Workspace<B> for LanguageWorkspace<B> {
    fn memory_mut(&mut self) -> Option<&mut State<B::Tensor, B::Indices>> {
        self.memory[1].as_mut()
    }
}

impl<B: Backward> LanguageWorkspace<B> {
    /// Losses and gradients of the micro-batch that is here.
    fn gradients(&mut self, b: &mut B, c: &Config, h: &HyperParams, train_state: &mut TrainState<B::Tensor>) {
        let (workspace, p, dp) = (self, &train_state.weights, &mut train_state.grads);
        let dropout = (h.dropout > 0.0).then_some(DropoutKey { rate: h.dropout, key: &workspace.key });
        let Ok(()) = model::forward(Pass { dropout, ..Pass::new(b, c) }, p, None, &mut workspace.acts, &workspace.tokens);

        let (hidden, d_hidden) = (&workspace.acts.hidden, &mut workspace.d.hidden);
        let scale = 1.0 / h.terms() as f32;
        let loss_weights = LossWeights { smoothing: h.smoothing, z_weight: h.z_weight, scale };
        let of = (Ids { tokens: &workspace.tokens, targets: &workspace.targets }, loss_weights);
        let [fresh, carried] = &mut workspace.memory;
        let going_on = carried.is_some();
        let mut memory = if going_on { carried.as_mut() } else { fresh.as_mut() };
        let (weights, d_output) = (WithGrad { value: p, grad: &mut *dp }, &mut workspace.d_output);
        if h.only == Trained::Episodic {
            workspace.output.gradients_of_memory(d_output, b, weights, memory.as_deref_mut(), hidden, of);
        } else {
            let hidden = WithGrad { value: hidden, grad: &mut *d_hidden };
            workspace.output.gradients(d_output, b, weights, memory.as_deref_mut(), hidden, of);
        }
        if let (Some(memory), true) = (memory, going_on) {
            episodic::advance(b, memory, workspace.tokens.shape().width());
        }
        if h.only == Trained::Episodic {
            return;
        }
        if let (Some([at, d]), Some(p_flow), Some(dp_flow)) = (&mut workspace.flow, &p.flow, &mut dp.flow) {
            let goal = flow::Goal { table: &p.embedding.table, targets: &workspace.targets, weight: h.flow_weight * scale };
            flow::forward(b, p_flow, at, d, hidden, goal);
            flow::backward(
                b,
                WithGrad { value: p_flow, grad: dp_flow },
                WithGrad { value: at, grad: d },
                WithGrad { value: hidden, grad: d_hidden },
            );
        }
        model::backward(
            Pass { dropout, ..Pass::new(b, c) },
            WithGrad { value: p, grad: dp },
            &mut workspace.acts,
            &mut workspace.d,
            &workspace.tokens,
        );
    }
}

impl<B: Backward> Trainer<B> {
    /// A trainer at step 0 with these weights, and room for micro-batches of `batch` × `time`.
    ///
    /// # Errors
    /// [`Error::Config`] for invalid hyper-parameters, [`Error::Device`] where the device is out of memory.
    pub fn new(
        mut backend: B,
        config: Config,
        hyper: HyperParams,
        weights: Params<B::Tensor>,
        batch: usize,
        time: usize,
    ) -> Result<Self, Error> {
        hyper.validate(&config)?;
        let workspace = LanguageWorkspace::new(&mut backend, &config, &hyper, batch, time).map_err(Error::device)?;
        Self::with_workspace(backend, config, hyper, weights, workspace)
    }

    /// Adds the gradients of one micro-batch, ids `[batch, time]` row by row; targets may be
    /// [`IGNORE`](crate::ops::IGNORE). Waits for nothing: [`losses`](Self::losses) does.
    ///
    /// # Errors
    /// [`Error::Device`] where the machine fails.
    ///
    /// # Panics
    /// Where the slices are not `batch · time` long.
    pub fn accumulate(&mut self, tokens: &[u32], targets: &[u32]) -> Result<(), Error> {
        self.send(tokens, targets)?;
        self.sums.begin(&mut self.backend, &mut self.train_state.grads);
        let (c, h, train_state, workspace) = (&self.config, &self.hyper, &mut self.train_state, &mut self.workspace);
        self.backend.repeat(&mut self.recorded.gradients, |b| {
            if let Some([acts, _]) = &mut workspace.flow {
                flow::draw(b, &workspace.key, acts);
            }
            workspace.gradients(b, c, h, train_state);
        });
        self.micro += 1;
        Ok(())
    }

    /// [`accumulate`](Self::accumulate) with what the flow head would draw given, so that an implementation with other
    /// random numbers can be compared: `noise` `[batch, time, E]` and `times` `[batch, time]`.
    ///
    /// # Errors
    /// [`Error::Device`] where the machine fails.
    ///
    /// # Panics
    /// Where a slice is not as long as said.
    pub fn accumulate_given(&mut self, tokens: &[u32], targets: &[u32], noise: &[f32], times: &[f32]) -> Result<(), Error> {
        self.send(tokens, targets)?;
        if let Some([acts, _]) = &mut self.workspace.flow {
            self.backend.upload(noise, &mut acts.noise).map_err(Error::device)?;
            self.backend.upload(times, &mut acts.time).map_err(Error::device)?;
        }
        self.sums.begin(&mut self.backend, &mut self.train_state.grads);
        self.workspace.gradients(&mut self.backend, &self.config, &self.hyper, &mut self.train_state);
        self.micro += 1;
        Ok(())
    }

    /// Puts a micro-batch, and the key of its draws, into the room.
    fn send(&mut self, tokens: &[u32], targets: &[u32]) -> Result<(), Error> {
        let key = self.key(self.step * self.hyper.accumulate as u64 + self.micro as u64);
        let (b, workspace) = (&mut self.backend, &mut self.workspace);
        let mut send = || -> Result<(), B::Error> {
            b.upload_indices(tokens, &mut workspace.tokens)?;
            b.upload_indices(targets, &mut workspace.targets)?;
            b.upload_indices(&key, &mut workspace.key)
        };
        send().map_err(Error::device)
    }

    /// Mean losses of the last micro-batch. Waits for the device.
    ///
    /// # Errors
    /// [`Error::Device`] where the machine fails.
    pub fn losses(&mut self) -> Result<Losses, Error> {
        let workspace = &mut self.workspace;
        self.backend.download(&workspace.output.losses, &mut workspace.host).map_err(Error::device)?;
        let mut sum = Losses::of_rows(&workspace.host);
        if let Some([acts, _]) = &workspace.flow {
            let rows = acts.losses.shape().count();
            self.backend.download(&acts.losses, &mut workspace.host[..rows]).map_err(Error::device)?;
            sum.flow = workspace.host[..rows].iter().map(|&x| x as f64).sum::<f64>() / rows as f64;
        }
        Ok(sum)
    }

    /// Mean gates of the last micro-batch: for each layer, of ssm, hopfield and attention, `None` where a path or the
    /// gates are off. Waits for the device.
    ///
    /// # Errors
    /// [`Error::Device`] where the machine fails.
    pub fn gates(&mut self) -> Result<Vec<[Option<f32>; 3]>, Error> {
        model::mean_gates(&mut self.backend, &self.config, &self.workspace.acts).map_err(Error::device)
    }

    /// Losses of held-out ids, `[batch, time]` row by row, with the weights or with their average: no dropout, no
    /// gradients. The room is the training step's own.
    ///
    /// # Errors
    /// [`Error::Device`] where the machine fails.
    pub fn evaluate(&mut self, average: bool, tokens: &[u32], targets: &[u32]) -> Result<Losses, Error> {
        let (b, c, workspace) = (&mut self.backend, &self.config, &mut self.workspace);
        let p = if average { &self.train_state.ema } else { &self.train_state.weights };
        let recorded = &mut self.recorded.losses[usize::from(average)];
        let mut run = || -> Result<(), B::Error> {
            b.upload_indices(tokens, &mut workspace.tokens)?;
            b.upload_indices(targets, &mut workspace.targets)?;
            b.repeat(recorded, |b| {
                let Ok(()) = model::forward(Pass::new(b, c), p, None, &mut workspace.acts, &workspace.tokens);
                let ids = Ids { tokens: &workspace.tokens, targets: &workspace.targets };
                let memory = workspace.memory[0].as_mut();
                workspace.output.losses(b, p, memory, &workspace.acts.hidden, ids);
            });
            b.download(&workspace.output.losses, &mut workspace.host)
        };
        run().map_err(Error::device)?;
        Ok(Losses::of_rows(&workspace.host))
    }
}
