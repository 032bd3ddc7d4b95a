//! From the ids of texts to their vectors.

use super::{
    Pooling, normalise,
    plan::{Buckets, Plan},
    pooling::check_dim,
    text_batch::{Piece, Staging, TextBatch},
};
use crate::{
    backend::{Forward, Precision},
    config::{Config, Positions},
    error::{Error, InputError},
    layers::ChunkShape,
    model::{self, Acts, Model, State},
    ops::Matmul,
    pass::Pass,
    shape::{Shape, Shaped},
};
use alloc::{vec, vec::Vec};
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

/// Computes embeddings of texts that are given as token ids. `M` is a pointer to the weights: a reference or an `Arc`.
///
/// Texts are batched, shorter ones padded at the end. The model is causal and a text is pooled over its own positions only, so a
/// text has the same embedding alone as in any batch, up to the order of summation in a product.
pub struct Encoder<B: Forward, M> {
    backend: B,
    model: M,
    options: Options,
    /// Of the shapes that were in use lately.
    workspaces: Vec<Workspace<B>>,
    /// The state that a text longer than any workspace carries from chunk to chunk; allocated when there is one.
    past: Option<State<B::Tensor, B::Indices>>,
    staging: Staging,
    /// Of a batch, on the host.
    host: Vec<f32>,
}

struct Workspace<B: Forward> {
    texts: TextBatch<B>,
    /// `[B, 1, D]`: pooled hidden states
    pooled: B::Tensor,
    /// `[B, 1, pooled_dim]`: out of `pooled.weight`, if the model has one
    head: Option<B::Tensor>,
}

/// Longest chunk of a text.
const LONGEST: usize = 256;
/// Workspaces are kept up to this many times the tokens of a batch.
const KEPT: usize = 2;

/// Says what is wrong with a text that cannot be encoded.
///
/// # Errors
/// [`Error::Input`] for an empty text, an id outside of the vocabulary, and more tokens than a learned table has positions.
pub fn check(c: &Config, text: &[u32]) -> Result<(), Error> {
    if text.is_empty() {
        return Err(InputError::EmptyText.into());
    }
    if let Some(id) = text.iter().find(|&&id| id as usize >= c.vocab_size) {
        return Err(InputError::TokenOutOfRange { id: *id, vocab_size: c.vocab_size }.into());
    }
    if c.positions == Positions::Learned && text.len() > c.max_len {
        return Err(InputError::TextTooLong { tokens: text.len(), max_len: c.max_len }.into());
    }
    Ok(())
}

impl<B: Forward, M: Deref<Target = Model<B::Tensor>>> Encoder<B, M> {
    /// An encoder; what it needs is allocated with the first batches.
    ///
    /// # Errors
    /// [`Error::Input`] for invalid options.
    pub fn new(backend: B, model: M, options: Options) -> Result<Self, Error> {
        for (name, value) in [("context", options.context), ("tokens", options.tokens)] {
            if value == 0 {
                return Err(InputError::Size { of: "an encoder", name, value, must: "at least 1" }.into());
            }
        }
        Ok(Self { backend, model, options, workspaces: Vec::new(), past: None, staging: Staging::default(), host: Vec::new() })
    }

    /// The pointer to the weights.
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

    /// The embeddings `[n, dim]` of a batch of a [`Plan`].
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
        let shape = [texts.len(), self.padded(0, longest)];
        let workspace = self.run(shape, form.pooling, texts.iter().map(|&text| text.into()), false).map_err(Error::device)?;
        self.finish(workspace, form, vectors).map_err(Error::device)
    }

    /// One text in chunks, each of which goes on where the one before it ended. Their shares of the pooled vector are added up.
    fn in_chunks(&mut self, text: &[u32], form: Form, vector: &mut [f32]) -> Result<(), Error> {
        let longest = self.longest();
        let mut run = || -> Result<(), B::Error> {
            self.forget()?;
            let (mut sum, mut share) = (vec![0.0; self.model.config.width], vec![0.0; self.model.config.width]);
            let mut workspace = 0;
            for (tokens, start) in text.chunks(longest).zip((0..).step_by(longest)) {
                // Padding is remembered as well, but nothing follows the last chunk.
                let shape = [1, self.padded(start, tokens.len())];
                let piece = Piece { tokens, start, of: text.len() };
                workspace = self.run(shape, form.pooling, core::iter::once(piece), true)?;
                self.backend.download(&self.workspaces[workspace].pooled, &mut share)?;
                sum.iter_mut().zip(&share).for_each(|(sum, share)| *sum += share);
            }
            self.backend.upload(&sum, &mut self.workspaces[workspace].pooled)?;
            self.finish(workspace, form, vector)
        };
        run().map_err(Error::device)
    }

    /// Positions of the workspace for the next `len`, from position `start` on.
    fn padded(&self, start: usize, len: usize) -> usize {
        let c = &self.model.config;
        let most = if c.positions == Positions::Learned { c.max_len - start } else { usize::MAX };
        Buckets::FINE.up_to(self.longest().min(most)).padded(len)
    }

    /// Runs pieces of texts side by side and pools them; from an empty past, or from the one that is kept. Returns the number of
    /// the workspace.
    fn run<'a>(
        &mut self,
        [batch, time]: [usize; 2],
        pooling: Pooling,
        pieces: impl Iterator<Item = Piece<'a>>,
        goes_on: bool,
    ) -> Result<usize, B::Error> {
        let i = self.workspace([batch, time])?;
        let (b, Workspace { texts, pooled, .. }) = (&mut self.backend, &mut self.workspaces[i]);
        let Model { config: c, params: p } = &*self.model;
        texts.upload(b, pooling, pieces, &mut self.staging)?;
        let past = if goes_on { self.past.as_mut() } else { None };
        let Ok(()) = model::forward(Pass::new(b, c), p, past, &mut texts.acts, &texts.tokens);
        texts.pool(b, 0, pooled);
        Ok(i)
    }

    /// From pooled hidden states to vectors: through `pooled.weight` if the model has one, then in the form that is asked for.
    fn finish(&mut self, workspace: usize, form: Form, vectors: &mut [f32]) -> Result<(), B::Error> {
        let (b, Workspace { pooled, head, .. }) = (&mut self.backend, &mut self.workspaces[workspace]);
        let whole = match (&self.model.params.pooled, head) {
            (Some(w), Some(y)) => {
                b.matmul(Matmul::new(pooled, w), y);
                &*y
            }
            _ => &*pooled,
        };
        self.host.resize(whole.shape().count(), 0.0);
        b.download(whole, &mut self.host)?;
        for (vector, whole) in vectors.chunks_mut(form.dim).zip(self.host.chunks(whole.shape().width())) {
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

    /// A workspace of this shape. Where too many are kept, they all go at once, so that their memory becomes one piece again.
    fn workspace(&mut self, [batch, time]: [usize; 2]) -> Result<usize, B::Error> {
        let shape = Shape::matrix(batch, time);
        if let Some(i) = self.workspaces.iter().position(|workspace| workspace.texts.tokens.shape() == shape) {
            return Ok(i);
        }
        let kept: usize = self.workspaces.iter().map(|workspace| workspace.texts.tokens.shape().count()).sum();
        if kept + shape.count() > KEPT * self.options.tokens {
            self.workspaces.clear();
        }
        let (b, c) = (&mut self.backend, &self.model.config);
        let x = ChunkShape { batch, time, saved: false };
        let acts = Acts::new(b, c, x)?;
        let texts = TextBatch::new(b, x, acts)?;
        let mut rows = |width| b.alloc(Shape::cube(batch, 1, width), Precision::Full);
        let (pooled, head) = (rows(c.width)?, if c.pooled_dim > 0 { Some(rows(c.pooled_dim)?) } else { None });
        self.workspaces.push(Workspace { texts, pooled, head });
        Ok(self.workspaces.len() - 1)
    }
}
