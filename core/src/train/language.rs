//! The language model's objective: the next token.

use super::{Hyper, Losses, Trainer, Trees};
use crate::{
    backend::{Backward, Device},
    config::Config,
    error::Error,
    layers::{
        Extent, Graded, Noise, flow,
        lm_head::{self, Loss},
    },
    model::{self, Acts, Params},
    pass::Pass,
    shape::{Shape, Shaped},
};
use alloc::{vec, vec::Vec};

/// Room for one micro-batch of tokens.
pub struct Language<B: Device> {
    tokens: B::Indices,
    targets: B::Indices,
    key: B::Indices,
    acts: Acts<B::Tensor>,
    d: Acts<B::Tensor>,
    head: [lm_head::Acts<B::Tensor>; 2],
    flow: Option<[flow::Acts<B::Tensor>; 2]>,
    scratch: B::Tensor,
    losses: B::Tensor,
    host: Vec<f32>,
}

impl<B: Device> Language<B> {
    /// Room for micro-batches of `batch` × `time`.
    ///
    /// # Errors
    /// The device's, where it has none.
    pub fn new(b: &mut B, c: &Config, h: &Hyper, batch: usize, time: usize) -> Result<Self, B::Error> {
        let (kept, passing) = (Extent { batch, time, saved: true }, Extent { batch, time, saved: false });
        let ids = Shape::matrix(batch, time);
        Ok(Self {
            tokens: b.alloc_indices(ids)?,
            targets: b.alloc_indices(ids)?,
            key: b.alloc_indices(Shape::vector(4))?,
            acts: if h.recompute { Acts::recomputed(b, c, kept)? } else { Acts::new(b, c, kept)? },
            d: Acts::new(b, c, passing)?,
            head: [lm_head::Acts::new(b, c, kept)?, lm_head::Acts::new(b, c, kept)?],
            flow: if h.flow_weight > 0.0 { Some([flow::Acts::new(b, c, kept)?, flow::Acts::new(b, c, kept)?]) } else { None },
            scratch: lm_head::scratch(b, c, kept)?,
            losses: kept.full(b, 3)?,
            host: vec![0.0; 3 * batch * time],
        })
    }
}

impl<B: Backward> Language<B> {
    /// Losses and gradients of the micro-batch that is here.
    fn gradients(&mut self, b: &mut B, c: &Config, h: &Hyper, trees: &mut Trees<B::Tensor>) {
        let (room, p, dp) = (self, &trees.weights, &mut trees.grads);
        let dropout = (h.dropout > 0.0).then_some(Noise { rate: h.dropout, key: &room.key });
        let Ok(()) = model::forward(Pass { dropout, ..Pass::new(b, c) }, p, None, &mut room.acts, &room.tokens);

        let (hidden, d_hidden, [head, d_head]) = (&room.acts.hidden, &mut room.d.hidden, &mut room.head);
        lm_head::project(b, &p.embedding, head, hidden);
        let scale = 1.0 / h.accumulate as f32;
        let loss = Loss {
            targets: &room.targets,
            smoothing: h.smoothing,
            z_weight: h.z_weight,
            scale,
            scratch: &mut room.scratch,
            losses: &mut room.losses,
        };
        let weights = Graded { at: &p.embedding, d: &mut dp.embedding };
        lm_head::backward(b, weights, Graded { at: head, d: d_head }, Graded { at: hidden, d: d_hidden }, loss);
        if let (Some([at, d]), Some(p_flow), Some(dp_flow)) = (&mut room.flow, &p.flow, &mut dp.flow) {
            let goal = flow::Goal { table: &p.embedding.table, targets: &room.targets, weight: h.flow_weight * scale };
            flow::forward(b, p_flow, at, d, hidden, goal);
            flow::backward(b, Graded { at: p_flow, d: dp_flow }, Graded { at, d }, Graded { at: hidden, d: d_hidden });
        }
        model::backward(Pass { dropout, ..Pass::new(b, c) }, Graded { at: p, d: dp }, &mut room.acts, &mut room.d, &room.tokens);
    }
}

impl<B: Backward> Trainer<B> {
    /// A trainer at step 0 with these weights, and room for micro-batches of `batch` × `time`.
    ///
    /// # Errors
    /// [`Error::Config`] for hyper-parameters that cannot be, [`Error::Device`] where the machine has no room.
    pub fn new(mut backend: B, config: Config, hyper: Hyper, weights: Params<B::Tensor>, batch: usize, time: usize) -> Result<Self, Error> {
        hyper.validate(&config)?;
        let room = Language::new(&mut backend, &config, &hyper, batch, time).map_err(Error::device)?;
        Self::with_room(backend, config, hyper, weights, room)
    }

    /// Adds the gradients of one micro-batch, ids `[batch, time]` row by row; targets may be [`IGNORE`]. Waits for
    /// nothing: [`losses`](Self::losses) does.
    ///
    /// # Errors
    /// [`Error::Device`] where the machine fails.
    ///
    /// # Panics
    /// Where the slices are not `batch · time` long.
    pub fn accumulate(&mut self, tokens: &[u32], targets: &[u32]) -> Result<(), Error> {
        self.send(tokens, targets)?;
        let (c, h, trees, room) = (&self.config, &self.hyper, &mut self.trees, &mut self.room);
        self.backend.repeat(&mut self.recorded.gradients, |b| {
            if let Some([acts, _]) = &mut room.flow {
                flow::draw(b, &room.key, acts);
            }
            room.gradients(b, c, h, trees);
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
        if let Some([acts, _]) = &mut self.room.flow {
            self.backend.upload(noise, &mut acts.noise).map_err(Error::device)?;
            self.backend.upload(times, &mut acts.time).map_err(Error::device)?;
        }
        self.room.gradients(&mut self.backend, &self.config, &self.hyper, &mut self.trees);
        self.micro += 1;
        Ok(())
    }

    /// Puts a micro-batch, and the key of its draws, into the room.
    fn send(&mut self, tokens: &[u32], targets: &[u32]) -> Result<(), Error> {
        let key = self.key(self.step * self.hyper.accumulate as u64 + self.micro as u64);
        let (b, room) = (&mut self.backend, &mut self.room);
        let mut send = || -> Result<(), B::Error> {
            b.upload_indices(tokens, &mut room.tokens)?;
            b.upload_indices(targets, &mut room.targets)?;
            b.upload_indices(&key, &mut room.key)
        };
        send().map_err(Error::device)
    }

    /// Mean losses of the last micro-batch. Waits for the device.
    ///
    /// # Errors
    /// [`Error::Device`] where the machine fails.
    pub fn losses(&mut self) -> Result<Losses, Error> {
        let room = &mut self.room;
        self.backend.download(&room.losses, &mut room.host).map_err(Error::device)?;
        let mut sum = Losses::of_rows(&room.host);
        if let Some([acts, _]) = &room.flow {
            let rows = acts.losses.shape().count();
            self.backend.download(&acts.losses, &mut room.host[..rows]).map_err(Error::device)?;
            sum.flow = room.host[..rows].iter().map(|&x| x as f64).sum::<f64>() / rows as f64;
        }
        Ok(sum)
    }

    /// Mean gates of the last micro-batch: for each layer, of ssm, hopfield and attention, `None` where a path or the
    /// gates are off. Waits for the device.
    ///
    /// # Errors
    /// [`Error::Device`] where the machine fails.
    pub fn gates(&mut self) -> Result<Vec<[Option<f32>; 3]>, Error> {
        model::mean_gates(&mut self.backend, &self.config, &self.room.acts).map_err(Error::device)
    }

    /// Losses of held-out ids, `[batch, time]` row by row, with the weights or with their average: no dropout, no
    /// gradients. The room is the training step's own.
    ///
    /// # Errors
    /// [`Error::Device`] where the machine fails.
    pub fn evaluate(&mut self, average: bool, tokens: &[u32], targets: &[u32]) -> Result<Losses, Error> {
        let (b, c, room) = (&mut self.backend, &self.config, &mut self.room);
        let p = if average { &self.trees.ema } else { &self.trees.weights };
        let recorded = &mut self.recorded.losses[usize::from(average)];
        let mut run = || -> Result<(), B::Error> {
            b.upload_indices(tokens, &mut room.tokens)?;
            b.upload_indices(targets, &mut room.targets)?;
            b.repeat(recorded, |b| {
                let Ok(()) = model::forward(Pass::new(b, c), p, None, &mut room.acts, &room.tokens);
                let loss = Loss::evaluation(&room.targets, &mut room.scratch, &mut room.losses);
                lm_head::losses(b, &p.embedding, &mut room.head[0], &room.acts.hidden, loss);
            });
            b.download(&room.losses, &mut room.host)
        };
        run().map_err(Error::device)?;
        Ok(Losses::of_rows(&room.host))
    }
}
