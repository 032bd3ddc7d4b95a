//! From the ids of texts to their vectors.

use super::{Plan, Pooler, Pooling, normalise, plan::room_for, pooling::check_dim};
use crate::{
    backend::{Forward, Precision},
    config::{Config, Positions},
    error::Error,
    layers::ChunkShape,
    model::{self, Acts, Model, State},
    ops::Matmul,
    pass::Pass,
    shape::{Shape, Shaped},
};
use alloc::{format, vec::Vec};
use core::ops::Deref;

/// How an encoder is laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Positions that attention and modern Hopfield memories can hold. A longer text runs in chunks: they see its newest
    /// positions, the recurrences remember it all.
    pub context: usize,
    /// Tokens of a batch, padding included. More of them share the cost of bringing each weight to the processor, and take more
    /// memory for activations.
    pub tokens: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { context: 1024, tokens: 256 }
    }
}

/// What a vector is to look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Form {
    /// How hidden states become one vector.
    pub pooling: Pooling,
    /// Numbers to keep, the first ones (Matryoshka representations, Kusupati et al. 2022).
    pub dim: usize,
    /// Of length 1, or as it comes.
    pub normalise: bool,
}

impl Form {
    /// Says whether the model's vectors have as many numbers.
    ///
    /// # Errors
    /// [`Error::Input`] for a `dim` of 0, or more than there are.
    pub fn check(&self, c: &Config) -> Result<(), Error> {
        check_dim(self.dim, c.vector_dim())
    }
}

/// Makes vectors of texts that are given as ids. `M` is anything that leads to the weights: a reference, an `Arc`.
///
/// Texts stand side by side, shorter ones with padding after them. The model is causal and a text is pooled over its own
/// positions alone, so a text has the same vector alone as in any batch, up to the order in which a product is added up.
pub struct Encoder<B: Forward, M> {
    backend: B,
    model: M,
    options: Options,
    /// Rooms of the shapes that were in use lately.
    workspaces: Vec<Workspace<B>>,
    /// What a text that is longer than any room leaves behind from chunk to chunk; made when there is one.
    past: Option<State<B::Tensor, B::Indices>>,
    /// Ids of a batch, rows padded.
    ids: Vec<u32>,
    /// Hidden states of a batch.
    hidden: Vec<f32>,
    /// Pooled hidden states `[n, D]`, then what the head made of them.
    pooled: Vec<f32>,
}

struct Workspace<B: Forward> {
    tokens: B::Indices,
    acts: Acts<B::Tensor>,
    /// `[B, 1, D]` and `[B, 1, pooled_dim]`: into `pooled.weight` and out of it, if the model has one
    head: Option<[B::Tensor; 2]>,
}

/// Longest chunk of a text.
const LONGEST: usize = 256;
/// Rooms are kept up to this many times the tokens of a batch.
const KEPT: usize = 2;

/// Says what is wrong with a text that cannot be encoded.
///
/// # Errors
/// [`Error::Input`] for an empty text, an id outside of the vocabulary, and more tokens than a learned table has positions.
pub fn check(c: &Config, text: &[u32]) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::Input("an empty text has no vector: leave it out".into()));
    }
    if let Some(id) = text.iter().find(|&&id| id as usize >= c.vocab_size) {
        return Err(Error::Input(format!("token {id} is outside of the vocabulary of {} ids", c.vocab_size)));
    }
    if c.positions == Positions::Learned && text.len() > c.max_len {
        return Err(Error::Input(format!(
            "the text has {} tokens, and this model learned {} positions: shorten it, or limit the tokens",
            text.len(),
            c.max_len
        )));
    }
    Ok(())
}

impl<B: Forward, M: Deref<Target = Model<B::Tensor>>> Encoder<B, M> {
    /// An encoder; what it needs is allocated with the first batches.
    ///
    /// # Errors
    /// [`Error::Input`] for options that cannot be.
    pub fn new(backend: B, model: M, options: Options) -> Result<Self, Error> {
        for (name, value) in [("context", options.context), ("tokens", options.tokens)] {
            if value == 0 {
                return Err(Error::Input(format!("an encoder's {name} is 0; it must be at least 1")));
            }
        }
        Ok(Self { backend, model, options, workspaces: Vec::new(), past: None, ids: Vec::new(), hidden: Vec::new(), pooled: Vec::new() })
    }

    /// What leads to the weights.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The vectors of any number of texts, `[n, dim]`, in their order.
    ///
    /// # Errors
    /// Those of [`batch`](Self::batch).
    ///
    /// # Panics
    /// As [`batch`](Self::batch).
    pub fn encode(&mut self, texts: &[impl AsRef<[u32]>], form: Form, vectors: &mut [f32]) -> Result<(), Error> {
        assert_eq!(vectors.len(), texts.len() * form.dim, "room for vectors");
        let lengths: Vec<usize> = texts.iter().map(|text| text.as_ref().len()).collect();
        let plan = Plan::new(&lengths, self.options.tokens);
        let mut some = Vec::new();
        for i in 0..plan.len() {
            let texts_of: Vec<&[u32]> = plan.batch(i).iter().map(|&text| texts[text].as_ref()).collect();
            some.resize(texts_of.len() * form.dim, 0.0);
            self.batch(&texts_of, form, &mut some)?;
            for (&text, vector) in plan.batch(i).iter().zip(some.chunks(form.dim)) {
                vectors[text * form.dim..][..form.dim].copy_from_slice(vector);
            }
        }
        Ok(())
    }

    /// The vectors of texts that stand side by side, `[n, dim]`: those of a batch of a [`Plan`].
    ///
    /// # Errors
    /// [`Error::Input`] for a text that fails [`check`], and a `dim` that the model does not have;
    /// [`Error::Device`] where the machine fails.
    ///
    /// # Panics
    /// Where `vectors` has not as many numbers as are asked for.
    pub fn batch(&mut self, texts: &[&[u32]], form: Form, vectors: &mut [f32]) -> Result<(), Error> {
        let c = &self.model.config;
        form.check(c)?;
        assert_eq!(vectors.len(), texts.len() * form.dim, "room for vectors");
        texts.iter().try_for_each(|text| check(c, text))?;
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        if longest <= self.longest() {
            return if texts.is_empty() { Ok(()) } else { self.side_by_side(texts, longest, form, vectors) };
        }
        texts.iter().zip(vectors.chunks_mut(form.dim)).try_for_each(|(text, vector)| self.in_chunks(text, form, vector))
    }

    /// Longest text that runs in one piece.
    fn longest(&self) -> usize {
        LONGEST.min(self.options.context)
    }

    /// Each text from an empty past, `longest` of their lengths in a row.
    fn side_by_side(&mut self, texts: &[&[u32]], longest: usize, form: Form, vectors: &mut [f32]) -> Result<(), Error> {
        let (width, time) = (self.model.config.width, self.padded(0, longest));
        self.ids.clear();
        for text in texts {
            self.ids.extend_from_slice(text);
            self.ids.resize(self.ids.len().next_multiple_of(time), 0);
        }
        let workspace = self.run([texts.len(), time], false).map_err(Error::device)?;
        self.pooled.resize(texts.len() * width, 0.0);
        let mut pooler = Pooler::new(form.pooling, width);
        for ((text, hidden), pooled) in texts.iter().zip(self.hidden.chunks(time * width)).zip(self.pooled.chunks_mut(width)) {
            pooler.push(&hidden[..text.len() * width]);
            pooler.take(pooled)?;
        }
        self.finish(workspace, form, vectors)
    }

    /// One text in chunks, each of which goes on where the one before it ended.
    fn in_chunks(&mut self, text: &[u32], form: Form, vector: &mut [f32]) -> Result<(), Error> {
        let (width, longest) = (self.model.config.width, self.longest());
        self.forget().map_err(Error::device)?;
        let (mut pooler, mut workspace) = (Pooler::new(form.pooling, width), 0);
        for (chunk, start) in text.chunks(longest).zip((0..).step_by(longest)) {
            // Padding is remembered as well, but after the last chunk nobody asks.
            let time = self.padded(start, chunk.len());
            self.ids.clear();
            self.ids.extend_from_slice(chunk);
            self.ids.resize(time, 0);
            workspace = self.run([1, time], true).map_err(Error::device)?;
            pooler.push(&self.hidden[..chunk.len() * width]);
        }
        self.pooled.resize(width, 0.0);
        pooler.take(&mut self.pooled)?;
        self.finish(workspace, form, vector)
    }

    /// Positions of the room for the next `len`, from position `start` on.
    fn padded(&self, start: usize, len: usize) -> usize {
        let c = &self.model.config;
        let most = if c.positions == Positions::Learned { c.max_len - start } else { usize::MAX };
        room_for(len).min(self.longest()).min(most)
    }

    /// Runs `ids`, `[batch, time]`, and leaves their hidden states; from an empty past, or from the one that is kept.
    /// Returns the number of the room.
    fn run(&mut self, [batch, time]: [usize; 2], goes_on: bool) -> Result<usize, B::Error> {
        let i = self.workspace([batch, time])?;
        let (b, workspace) = (&mut self.backend, &mut self.workspaces[i]);
        let Model { config: c, params: p } = &*self.model;
        b.upload_indices(&self.ids, &mut workspace.tokens)?;
        let past = if goes_on { self.past.as_mut() } else { None };
        let Ok(()) = model::forward(Pass::new(b, c), p, past, &mut workspace.acts, &workspace.tokens);
        self.hidden.resize(batch * time * c.width, 0.0);
        b.download(&workspace.acts.hidden, &mut self.hidden)?;
        Ok(i)
    }

    /// From pooled hidden states to vectors: through `pooled.weight` if the model has one, then in the form that is asked for.
    fn finish(&mut self, workspace: usize, form: Form, vectors: &mut [f32]) -> Result<(), Error> {
        let (b, workspace) = (&mut self.backend, &mut self.workspaces[workspace]);
        if let (Some(w), Some([x, y])) = (&self.model.params.pooled, &mut workspace.head) {
            let mut head = || {
                b.upload(&self.pooled, x)?;
                b.matmul(Matmul::new(x, w), y);
                self.pooled.resize(y.shape().count(), 0.0);
                b.download(y, &mut self.pooled)
            };
            head().map_err(Error::device)?;
        }
        let whole = self.model.config.vector_dim();
        for (vector, whole) in vectors.chunks_mut(form.dim).zip(self.pooled.chunks(whole)) {
            vector.copy_from_slice(&whole[..form.dim]);
            if form.normalise {
                normalise(vector);
            }
        }
        Ok(())
    }

    /// Makes the past an empty one.
    fn forget(&mut self) -> Result<(), B::Error> {
        let (b, c) = (&mut self.backend, &self.model.config);
        let past = match &mut self.past {
            Some(past) => past,
            none => none.insert(State::new(b, c, 1, self.options.context, c.segments)?),
        };
        past.leaves_mut().for_each(|leaf| b.fill(0.0, leaf));
        b.upload_indices(&[0], &mut past.clock)
    }

    /// A room of this shape. Where too many are kept, they all go at once, so that their memory becomes one piece again.
    fn workspace(&mut self, [batch, time]: [usize; 2]) -> Result<usize, B::Error> {
        let shape = Shape::matrix(batch, time);
        if let Some(i) = self.workspaces.iter().position(|workspace| workspace.tokens.shape() == shape) {
            return Ok(i);
        }
        let kept: usize = self.workspaces.iter().map(|workspace| workspace.tokens.shape().count()).sum();
        if kept + shape.count() > KEPT * self.options.tokens {
            self.workspaces.clear();
        }
        let (b, c) = (&mut self.backend, &self.model.config);
        let tokens = b.alloc_indices(shape)?;
        let acts = Acts::new(b, c, ChunkShape { batch, time, saved: false })?;
        let mut head = |width| b.alloc(Shape::cube(batch, 1, width), Precision::Full);
        let head = if c.pooled_dim > 0 { Some([head(c.width)?, head(c.pooled_dim)?]) } else { None };
        self.workspaces.push(Workspace { tokens, acts, head });
        Ok(self.workspaces.len() - 1)
    }
}
