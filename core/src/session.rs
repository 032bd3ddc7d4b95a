//! A stream of text through a model: prefill, step, and a state that the program can hold, copy, save and roll back.

mod episodes;
mod saved;

use crate::{
    backend::{Forward, Precision},
    config::{Config, Positions},
    error::{Error, InputError},
    inspect::Inspector,
    layers::{ChunkShape, episodic, lm_head},
    model::{self, Acts, Model, Params, State},
    pass::Pass,
    shape::{Shape, Shaped},
};
use alloc::{vec, vec::Vec};
use core::ops::Deref;
use episodes::Episodic;

pub use episodes::Episode;

/// How a session is laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Sequences that run side by side.
    pub batch: usize,
    /// Positions that attention and modern Hopfield memories can hold; older ones are forgotten. The recurrences
    /// remember on.
    pub context: usize,
    /// Passes over the blocks; the configuration's number if absent.
    pub segments: Option<usize>,
    /// Longest chunk that [`Session::prefill`] runs at a time; a power of two.
    pub chunk: usize,
    /// Items that a position sees in the episodic memory, if the model has one; the configuration's window if absent, and
    /// [`EPISODES`] if that has no bound.
    pub episodes: Option<usize>,
}

/// Items of an episodic memory whose window has no bound.
pub const EPISODES: usize = 4096;

impl Default for Options {
    fn default() -> Self {
        Self { batch: 1, context: 1024, segments: None, chunk: 128, episodes: None }
    }
}

/// A running model. `M` is a pointer to the weights: a reference or an `Arc`.
pub struct Session<B: Forward, M> {
    backend: B,
    model: M,
    options: Options,
    state: State<B::Tensor, B::Indices>,
    position: u64,
    /// Rooms for chunks of 1, 2, 4, … positions, made when first needed.
    workspaces: Vec<Option<Workspace<B>>>,
    /// A room for one position that keeps the activations of every block, made when a step is first watched.
    watched: Option<Workspace<B>>,
    /// Ids of the chunk at hand, gathered from the rows.
    ids: Vec<u32>,
    last: B::Tensor,
    head: lm_head::Acts<B::Tensor>,
    episodic: Option<Episodic<B>>,
    logits: B::Tensor,
    /// What is kept of a step.
    recorded: B::Recording,
    host: Vec<f32>,
}

struct Workspace<B: Forward> {
    tokens: B::Indices,
    acts: Acts<B::Tensor>,
    /// Keys of the episodic memory.
    keys: Option<B::Tensor>,
}

impl<B: Forward> Workspace<B> {
    fn new(b: &mut B, c: &Config, extent: ChunkShape) -> Result<Self, B::Error> {
        let keys = if c.episodic_width > 0 { Some(extent.full(b, c.episodic_width)?) } else { None };
        Ok(Self { tokens: b.alloc_indices(Shape::matrix(extent.batch, extent.time))?, acts: Acts::new(b, c, extent)?, keys })
    }

    /// Stores the chunk in the episodic memory.
    fn store(&mut self, b: &mut B, p: &Params<B::Tensor>, memory: Option<&mut Episodic<B>>) {
        if let (Some(p), Some(memory), Some(keys)) = (&p.episodic, memory, &mut self.keys) {
            episodic::store(b, p, &mut memory.state, keys, &self.acts.hidden, &self.tokens);
            episodic::advance(b, &mut memory.state, self.tokens.shape().width());
        }
    }
}

impl<B: Forward, M: Deref<Target = Model<B::Tensor>>> Session<B, M> {
    /// A session that remembers nothing yet. A step ([`step`](Self::step)) allocates nothing after this.
    ///
    /// # Errors
    /// [`Error::Input`] for invalid options, [`Error::Device`] where the device is out of memory.
    pub fn new(mut backend: B, model: M, options: Options) -> Result<Self, Error> {
        let c = &model.config;
        let segments = options.segments.unwrap_or(c.segments);
        let sizes = [("batch", options.batch), ("context", options.context), ("segments", segments), ("chunk", options.chunk)];
        for (name, value) in sizes.into_iter().chain(options.episodes.map(|n| ("episodes", n))) {
            if value == 0 {
                return Err(InputError::Size { of: "a session", name, value, must: "at least 1" }.into());
            }
        }
        if !options.chunk.is_power_of_two() {
            return Err(InputError::Size { of: "a session", name: "chunk", value: options.chunk, must: "a power of two" }.into());
        }
        let b = &mut backend;
        let rows = |width| Shape::cube(options.batch, 1, width);
        let one = ChunkShape { batch: options.batch, time: 1, saved: false };
        let mut make = || -> Result<_, B::Error> {
            let state = State::new(b, c, options.batch, options.context, segments)?;
            let mut workspaces: Vec<Option<Workspace<B>>> = (0..=options.chunk.ilog2()).map(|_| None).collect();
            workspaces[0] = Some(Workspace::new(b, c, one)?);
            let last = b.alloc(rows(c.width), Precision::Compute)?;
            let (head, episodic) = (lm_head::Acts::new(b, c, one)?, Episodic::new(b, c, &options)?);
            Ok((state, workspaces, last, head, episodic, b.alloc(rows(c.vocab_size), Precision::Full)?))
        };
        let (state, workspaces, last, head, episodic, logits) = make().map_err(Error::device)?;
        let (ids, host) = (vec![0; options.batch * options.chunk], vec![0.0; options.batch * c.vocab_size]);
        Ok(Self {
            backend,
            model,
            options,
            state,
            position: 0,
            workspaces,
            watched: None,
            ids,
            last,
            head,
            episodic,
            logits,
            recorded: B::Recording::default(),
            host,
        })
    }

    /// Positions seen since the beginning.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The model's configuration.
    pub fn config(&self) -> &Config {
        &self.model.config
    }

    /// The pointer to the weights.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// How the session is laid out.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The backend, to run other things on.
    pub fn backend_mut(&mut self) -> &mut B {
        &mut self.backend
    }

    /// The backend, and the pointer to the weights.
    pub fn parts(&mut self) -> (&mut B, &M) {
        (&mut self.backend, &self.model)
    }

    /// Runs `tokens`, `[batch, n]` row by row, and returns the logits `[batch, V]` of each row's last position.
    ///
    /// # Errors
    /// [`Error::Input`] for an empty chunk, ragged rows, an id outside of the vocabulary, or more positions than a
    /// learned table has; nothing has happened then. [`Error::Device`] where the machine fails.
    pub fn prefill(&mut self, tokens: &[u32]) -> Result<&[f32], Error> {
        if tokens.len() == self.options.batch {
            return self.one(tokens);
        }
        self.run(tokens, |_, _| Ok(()))?;
        self.project()
    }

    /// Logits from the last hidden states.
    fn project(&mut self) -> Result<&[f32], Error> {
        let (b, p) = (&mut self.backend, &self.model.params);
        lm_head::forward(b, &p.embedding, &mut self.head, &self.last, &mut self.logits);
        if let Some(memory) = &mut self.episodic {
            memory.join(b, p, &self.last, &mut self.logits);
        }
        self.fetch()
    }

    fn fetch(&mut self) -> Result<&[f32], Error> {
        self.backend.download(&self.logits, &mut self.host).map_err(Error::device)?;
        Ok(&self.host)
    }

    /// One token for each sequence; the same as [`prefill`](Self::prefill) of one position. Allocates nothing.
    ///
    /// # Errors
    /// Those of [`prefill`](Self::prefill).
    pub fn step(&mut self, tokens: &[u32]) -> Result<&[f32], Error> {
        self.prefill(tokens)
    }

    /// A position of each sequence: the same work every time.
    fn one(&mut self, tokens: &[u32]) -> Result<&[f32], Error> {
        self.check(tokens)?;
        let (b, Model { config, params }, segments) = (&mut self.backend, &*self.model, self.state.segments.len());
        let workspace = self.workspaces[0].as_mut().expect("made with the session");
        let (state, last, head, logits) = (&mut self.state, &mut self.last, &mut self.head, &mut self.logits);
        let memory = &mut self.episodic;
        b.upload_indices(tokens, &mut workspace.tokens).map_err(Error::device)?;
        b.repeat(&mut self.recorded, |b| {
            let pass = Pass { segments, ..Pass::new(b, config) };
            let Ok(()) = model::forward(pass, params, Some(state), &mut workspace.acts, &workspace.tokens);
            b.last(&workspace.acts.hidden, last);
            workspace.store(b, params, memory.as_mut());
            lm_head::forward(b, &params.embedding, head, last, logits);
            if let Some(memory) = memory {
                memory.join(b, params, last, logits);
            }
        });
        self.position += 1;
        self.episodic.iter_mut().for_each(|memory| memory.seen += 1);
        self.fetch()
    }

    /// A [`step`](Self::step) of which an inspector sees what each layer did.
    ///
    /// # Errors
    /// Those of [`step`](Self::step), and [`Error::Input`] for more than one token of a sequence.
    pub fn watch(&mut self, tokens: &[u32], inspector: &mut Inspector) -> Result<&[f32], Error> {
        let n = self.check(tokens)?;
        if n > 1 {
            return Err(InputError::WatchedTokens { tokens: n }.into());
        }
        let (b, model, segments) = (&mut self.backend, &*self.model, self.state.segments.len());
        let mut run = || -> Result<(), B::Error> {
            let workspace = match &mut self.watched {
                Some(workspace) => workspace,
                none => none.insert(Workspace::new(b, &model.config, ChunkShape { batch: self.options.batch, time: 1, saved: true })?),
            };
            b.upload_indices(tokens, &mut workspace.tokens)?;
            let pass = Pass { segments, ..Pass::new(b, &model.config) };
            let Ok(()) = model::forward(pass, &model.params, Some(&mut self.state), &mut workspace.acts, &workspace.tokens);
            b.last(&workspace.acts.hidden, &mut self.last);
            workspace.store(b, &model.params, self.episodic.as_mut());
            self.position += 1;
            inspector.look(b, &model.config, &model.params, &self.state.segments[segments - 1], &workspace.acts, self.position - 1)
        };
        run().map_err(Error::device)?;
        self.episodic.iter_mut().for_each(|memory| memory.seen += 1);
        self.project()
    }

    /// The logits `[batch, V]` that the last [`prefill`](Self::prefill) or [`step`](Self::step) returned.
    pub fn logits(&self) -> &[f32] {
        &self.host
    }

    /// Runs `tokens` as [`prefill`](Self::prefill) does and hands each chunk's normalised hidden states, `[batch, n, D]`, to `each`.
    pub fn hidden(&mut self, tokens: &[u32], mut each: impl FnMut(&[f32])) -> Result<(), Error> {
        let mut host = Vec::new();
        self.run(tokens, |b, acts| {
            host.resize(acts.hidden.shape().count(), 0.0);
            b.download(&acts.hidden, &mut host)?;
            each(&host);
            Ok(())
        })
    }

    fn run(&mut self, tokens: &[u32], mut each: impl FnMut(&mut B, &Acts<B::Tensor>) -> Result<(), B::Error>) -> Result<(), Error> {
        let n = self.check(tokens)?;
        let (b, model, segments) = (&mut self.backend, &*self.model, self.state.segments.len());
        let mut run = || -> Result<(), B::Error> {
            let mut done = 0;
            while done < n {
                let size = (n - done).min(self.options.chunk).ilog2();
                let time = 1 << size;
                for (ids, row) in self.ids.chunks_mut(time).zip(tokens.chunks(n)) {
                    ids.copy_from_slice(&row[done..done + time]);
                }
                let workspace = match &mut self.workspaces[size as usize] {
                    Some(workspace) => workspace,
                    none => none.insert(Workspace::new(b, &model.config, ChunkShape { batch: self.options.batch, time, saved: false })?),
                };
                b.upload_indices(&self.ids[..self.options.batch * time], &mut workspace.tokens)?;
                let pass = Pass { segments, ..Pass::new(b, &model.config) };
                let Ok(()) = model::forward(pass, &model.params, Some(&mut self.state), &mut workspace.acts, &workspace.tokens);
                each(b, &workspace.acts)?;
                b.last(&workspace.acts.hidden, &mut self.last);
                workspace.store(b, &model.params, self.episodic.as_mut());
                done += time;
                self.position += time as u64;
                self.episodic.iter_mut().for_each(|memory| memory.seen += time as u64);
            }
            Ok(())
        };
        run().map_err(Error::device)
    }

    /// Positions a row has; says what is wrong with tokens that cannot be run.
    fn check(&self, tokens: &[u32]) -> Result<usize, Error> {
        let (c, batch) = (&self.model.config, self.options.batch);
        if tokens.is_empty() || !tokens.len().is_multiple_of(batch) {
            return Err(InputError::RaggedBatch { tokens: tokens.len(), batch }.into());
        }
        if let Some(id) = tokens.iter().find(|&&id| id as usize >= c.vocab_size) {
            return Err(InputError::TokenOutOfRange { id: *id, vocab_size: c.vocab_size }.into());
        }
        let n = tokens.len() / batch;
        if c.positions == Positions::Learned && self.position + n as u64 > c.max_len as u64 {
            return Err(InputError::PositionOutOfRange { position: self.position + n as u64, max_len: c.max_len }.into());
        }
        Ok(n)
    }
}
