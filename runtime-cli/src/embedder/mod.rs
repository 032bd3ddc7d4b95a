//! Vectors of text inside a program: one file, no server.
//!
//! ```no_run
//! use hh_runtime::{Embedder, embedder::Options};
//!
//! # fn main() -> Result<(), hh_runtime::embedder::Error> {
//! let embedder = Embedder::from_file("model.safetensors")?;
//! let passages = embedder.embed(&["A cat sits on the mat.", "Shares fell sharply on Monday."], &Options::document())?;
//! let question = embedder.embed(&["Where is the cat?"], &Options::query())?;
//! let best = passages.top_k(question.vector(0), 1)?;
//! assert_eq!(best[0].index, 0);
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "english")]
mod english;
mod error;
mod options;
mod share;
#[cfg(test)]
mod tests;
mod vectors;

pub use error::Error;
pub use hh_core::embed::{Convention, Pooling};
pub use options::{Kind, Options, Output};
pub use vectors::{Embeddings, Hit, Values, Vector};

use crate::loading::{MAX_CONTEXT, Source, trained_context};
use crate::tokenizers;
use hh_core::checkpoint::Checkpoint;
use hh_core::config::Positions;
use hh_core::embed::{self, Encoder, Form, Plan};
use hh_core::model::Model;
use hh_core::tokenizer::Tokenizer;
use hh_cpu::{Cpu, Tensor, Threads};
use share::in_order;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

/// Makes vectors of texts. It is shared by reference: [`embed`](Self::embed) may be called from many threads at once, and
/// spreads the work of one call over several itself.
pub struct Embedder {
    model: Arc<Model<Tensor<f32>>>,
    tokenizer: Box<dyn Tokenizer>,
    convention: Convention,
    context: usize,
    threads: usize,
    /// Encoders that nobody uses at the moment, with the rooms that they have made.
    idle: Mutex<Vec<Worker>>,
}

/// What one thread encodes with.
type Worker = Encoder<Cpu<f32>, Arc<Model<Tensor<f32>>>>;

/// Texts that one task makes ids of.
const TEXTS: usize = 64;

impl Embedder {
    /// The model of a checkpoint's file, or of a run's folder.
    ///
    /// # Errors
    /// [`Error::Model`] for a file that cannot be read, is no checkpoint, or has no tokenizer inside; [`Error::Device`] where
    /// memory is short.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let source = Source::open(path.as_ref()).map_err(|e| Error::Model(format!("{e:#}")))?;
        Self::from_bytes(source.bytes()).map_err(|e| match e {
            Error::Model(why) => Error::Model(format!("{}: {why}", source.cannot_use())),
            e => e,
        })
    }

    /// The model of a checkpoint's bytes, which are copied.
    ///
    /// # Errors
    /// As [`from_file`](Self::from_file).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let checkpoint = Checkpoint::parse(bytes).map_err(unusable)?;
        let model = Model::for_batches(&mut Cpu::new(Threads::one()), &checkpoint).map_err(unusable)?;
        Self::new(&checkpoint, model)
    }

    /// The model of a checkpoint's bytes that stay, as those of `include_bytes!`: an embedding table in blocks is read where it
    /// lies.
    ///
    /// # Errors
    /// As [`from_file`](Self::from_file).
    pub fn from_static(bytes: &'static [u8]) -> Result<Self, Error> {
        let checkpoint = Checkpoint::parse(bytes).map_err(unusable)?;
        let model = Model::for_batches_in_place(&mut Cpu::new(Threads::one()), &checkpoint).map_err(unusable)?;
        Self::new(&checkpoint, model)
    }

    fn new(checkpoint: &Checkpoint<'_>, model: Model<Tensor<f32>>) -> Result<Self, Error> {
        let Some(json) = checkpoint.tokenizer_json() else {
            return Err(Error::Model(
                "the checkpoint has no tokenizer inside: train or export it with one, so that text can become ids".into(),
            ));
        };
        // The same ids with 30 MB less for a vocabulary of 24,000, where core knows the form.
        let own = hh_core::tokenizer::from_json(json);
        let tokenizer = own.or_else(|_| tokenizers::from_json(json)).map_err(|e| Error::Model(format!("{e:#}")))?;
        let (ids, rows) = (tokenizer.vocab_size(), model.config.vocab_size);
        if ids > rows {
            return Err(Error::Model(format!("the tokenizer has {ids} ids and the model only {rows}: it is not the model's")));
        }
        let most = if model.config.positions == Positions::Learned { model.config.max_len } else { MAX_CONTEXT };
        Ok(Self {
            context: trained_context(checkpoint.metadata()).min(most),
            convention: Convention::of(checkpoint.metadata()).map_err(unusable)?,
            model: Arc::new(model),
            tokenizer,
            threads: available_parallelism().map_or(1, usize::from),
            idle: Mutex::new(Vec::new()),
        })
    }

    /// Uses at most `n` threads for a call, the calling one among them; as many as there are cores if it is not said. Vectors do
    /// not depend on it.
    #[must_use]
    pub fn with_threads(self, n: usize) -> Self {
        Self { threads: n.max(1), ..self }
    }

    /// Numbers of a vector that nobody shortens.
    pub fn dim(&self) -> usize {
        self.model.config.vector_dim()
    }

    /// How the model was trained to make vectors.
    pub fn convention(&self) -> &Convention {
        &self.convention
    }

    /// What makes ids of text.
    pub fn tokenizer(&self) -> &dyn Tokenizer {
        &*self.tokenizer
    }

    /// The vectors of texts, in their order. A text has the same vector alone as among others; nothing is cut off unless
    /// [`Options::max_tokens`] says so: a text that is longer than what the model was trained on is read in pieces, each with the
    /// memory of those before it.
    ///
    /// # Errors
    /// [`Error::Empty`] for a text of nothing but white space, [`Error::Text`] for one that the model cannot read;
    /// [`Error::Options`] for options that it cannot follow; [`Error::Device`] where memory is short.
    pub fn embed(&self, texts: &[impl AsRef<str>], options: &Options) -> Result<Embeddings, Error> {
        let form = self.form(options)?;
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        let ids = self.ids(&texts, options)?;
        let lengths: Vec<usize> = ids.iter().map(Vec::len).collect();
        let plan = Plan::new(&lengths, self.layout().tokens);
        let batch = |worker: &mut Lease<'_>, i| {
            let texts: Vec<&[u32]> = plan.batch(i).iter().map(|&text| &ids[text][..]).collect();
            let mut vectors = vec![0.0; texts.len() * form.dim];
            worker.batch(&texts, form, &mut vectors).map_err(Error::Device)?;
            Ok(vectors)
        };
        let batches = in_order(self.threads, plan.len(), || self.lease(), batch)?;
        let mut vectors = vec![0.0; texts.len() * form.dim];
        for (i, batch) in batches.iter().enumerate() {
            for (&text, vector) in plan.batch(i).iter().zip(batch.chunks(form.dim)) {
                vectors[text * form.dim..][..form.dim].copy_from_slice(vector);
            }
        }
        Ok(Embeddings::of(form.dim, vectors, options.output))
    }

    fn form(&self, options: &Options) -> Result<Form, Error> {
        let dim = options.truncate_dim.unwrap_or(self.dim());
        if dim == 0 || dim > self.dim() {
            return Err(Error::Options(format!("truncate_dim is {dim}; this model's vectors have {}: give 1 to {0}", self.dim())));
        }
        if options.max_tokens == Some(0) {
            return Err(Error::Options("max_tokens is 0, which leaves nothing of a text: give 1 or more".into()));
        }
        let pooling = options.pooling.unwrap_or(self.convention.pooling);
        Ok(Form { pooling, dim, normalise: options.normalise || options.output == Output::Int8 })
    }

    /// Ids of each text, its prompt before it.
    fn ids(&self, texts: &[&str], options: &Options) -> Result<Vec<Vec<u32>>, Error> {
        let prompt = options.kind.prompt(&self.convention);
        let ids = |text: usize| {
            if texts[text].trim().is_empty() {
                return Err(Error::Empty { text });
            }
            let failed = |source| Error::Text { text, source };
            let mut ids = match prompt {
                "" => self.tokenizer.encode(texts[text]),
                prompt => self.tokenizer.encode(&[prompt, texts[text]].concat()),
            }
            .map_err(failed)?;
            ids.truncate(options.max_tokens.unwrap_or(usize::MAX));
            embed::check(&self.model.config, &ids).map_err(failed)?;
            Ok(ids)
        };
        let some = |(): &mut (), task| (task * TEXTS..texts.len().min((task + 1) * TEXTS)).map(ids).collect();
        let ids: Vec<Vec<_>> = in_order(self.threads, texts.len().div_ceil(TEXTS), || Ok(()), some)?;
        Ok(ids.into_iter().flatten().collect())
    }

    fn layout(&self) -> embed::Options {
        embed::Options { context: self.context, ..embed::Options::default() }
    }

    /// An encoder that is idle, or a new one.
    fn lease(&self) -> Result<Lease<'_>, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let worker = match idle {
            Some(worker) => worker,
            None => Encoder::new(Cpu::new(Threads::one()), self.model.clone(), self.layout()).map_err(Error::Device)?,
        };
        Ok(Lease { of: self, worker: Some(worker) })
    }
}

/// An encoder that is in use, and goes back when it is dropped.
struct Lease<'a> {
    of: &'a Embedder,
    worker: Option<Worker>,
}

impl Deref for Lease<'_> {
    type Target = Worker;
    fn deref(&self) -> &Worker {
        self.worker.as_ref().expect("until it is dropped")
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut Worker {
        self.worker.as_mut().expect("until it is dropped")
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut idle = self.of.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // More were in use at once than one call needs: their memory goes back to the system.
        if idle.len() < self.of.threads {
            idle.extend(self.worker.take());
        }
    }
}

fn unusable(e: hh_core::error::Error) -> Error {
    match e {
        hh_core::error::Error::Device(_) => Error::Device(e),
        e => Error::Model(e.to_string()),
    }
}
