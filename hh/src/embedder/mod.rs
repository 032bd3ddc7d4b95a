//! Embeddings of texts.

mod embeddings;
#[cfg(feature = "english")]
mod english;
mod options;
mod share;
#[cfg(test)]
mod tests;

pub use embeddings::{Embeddings, Hit, Values, Vector};
pub use options::{Blank, EmbedOptions, Output, Prompt};

use crate::{Convention, Error, LoadedModel, Weights, checkpoint};
use hh_core::{
    checkpoint::Checkpoint,
    embed::{self, Encoder, Form, Plan},
    model::Model,
    tokenizer::{Tokenizer, is_blank},
};
use hh_cpu::{Cpu, Tensor, Threads};
use share::in_order;
use std::{
    ops::{Deref, DerefMut},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::available_parallelism,
};

/// Makes embeddings of texts. It is shared by reference: [`embed`](Self::embed) may be called from many threads at once, and
/// divides the work of one call among several itself.
pub struct Embedder {
    loaded: Arc<LoadedModel<Tensor<f32>>>,
    context: usize,
    threads: usize,
    /// Encoders that are not in use, with the workspaces that they have allocated.
    idle: Mutex<Vec<Worker>>,
}

/// The encoder of one thread.
type Worker = Encoder<Cpu<f32>, Weights<Arc<LoadedModel<Tensor<f32>>>>>;

/// Texts that one task tokenizes.
const TEXTS: usize = 64;

impl Embedder {
    /// The model of a checkpoint file, of the folder of a run (`best.safetensors`), or of a folder in the Hugging Face layout
    /// (`model.safetensors`, `config.json`, `tokenizer.json`).
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Folder`] for what cannot be read, [`Error::Checkpoint`] for a file that is no usable
    /// checkpoint, [`Error::Core`] where memory is short.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        checkpoint::open(path.as_ref(), |checkpoint| Self::load(checkpoint, Model::for_batches))
    }

    /// The model of a checkpoint's bytes, which are copied.
    ///
    /// # Errors
    /// As [`from_file`](Self::from_file).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let load = || Self::load(&Checkpoint::parse(bytes)?, Model::for_batches);
        load().map_err(|e| Error::Checkpoint { path: None, source: Box::new(e) })
    }

    /// The model of a checkpoint's bytes that live as long as the program, as those of `include_bytes!`: a block-quantised
    /// token embedding is read in place.
    ///
    /// # Errors
    /// As [`from_file`](Self::from_file).
    pub fn from_static(bytes: &'static [u8]) -> Result<Self, Error> {
        let load = || Self::load(&Checkpoint::parse(bytes)?, Model::for_batches_in_place);
        load().map_err(|e| Error::Checkpoint { path: None, source: Box::new(e) })
    }

    fn load<'a>(
        checkpoint: &Checkpoint<'a>,
        weights: impl FnOnce(&mut Cpu<f32>, &Checkpoint<'a>) -> Result<Model<Tensor<f32>>, hh_core::error::Error>,
    ) -> Result<Self, Error> {
        let loaded = LoadedModel::new(checkpoint, |checkpoint| Ok(weights(&mut Cpu::new(Threads::one()), checkpoint)?))?;
        Ok(Self {
            context: loaded.session_context(None)?,
            loaded: Arc::new(loaded),
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

    /// Dimensions of an embedding that is not truncated.
    pub fn dim(&self) -> usize {
        self.loaded.model.config.vector_dim()
    }

    /// Pooling and prompts that the model was trained with.
    pub fn convention(&self) -> &Convention {
        &self.loaded.convention
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &dyn Tokenizer {
        &*self.loaded.tokenizer
    }

    /// A hash of weights and tokenizer, see [`LoadedModel::identity`].
    ///
    /// # Errors
    /// [`Error::Core`] where memory is short.
    pub fn identity(&self) -> Result<u64, Error> {
        self.loaded.identity(&mut Cpu::<f32>::new(Threads::one()))
    }

    /// The embeddings of texts, in their order. The same call has the same bits, whatever the threads. Alone, a text has the
    /// same embedding as among others up to rounding, below 1e-5 in each dimension. Nothing is cut off unless [`EmbedOptions::max_tokens`] says so: a
    /// text that is longer than what the model was trained on is read in pieces, each with the memory of those before it.
    ///
    /// # Errors
    /// [`Error::Empty`] for a text of nothing but white space and invisible characters, unless [`EmbedOptions::blank`] allows it;
    /// [`Error::Text`] for one that the model cannot read; [`Error::Options`] for options that it cannot follow; [`Error::Core`] where
    /// memory is short.
    pub fn embed(&self, texts: &[impl AsRef<str>], options: &EmbedOptions) -> Result<Embeddings, Error> {
        let form = self.form(options)?;
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        let ids = self.ids(&texts, options)?;
        // Blank texts have no ids, and keep their zeros.
        let some: Vec<usize> = (0..ids.len()).filter(|&text| !ids[text].is_empty()).collect();
        let lengths: Vec<usize> = some.iter().map(|&text| ids[text].len()).collect();
        let plan = Plan::new(&lengths, self.layout().tokens);
        let batch = |worker: &mut Lease<'_>, i| {
            let texts: Vec<&[u32]> = plan.batch(i).iter().map(|&text| &ids[some[text]][..]).collect();
            let mut vectors = vec![0.0; texts.len() * form.dim];
            worker.batch(&texts, form, &mut vectors)?;
            Ok(vectors)
        };
        let batches = in_order(self.threads, plan.len(), || self.lease(), batch)?;
        let mut vectors = vec![0.0; texts.len() * form.dim];
        for (i, batch) in batches.iter().enumerate() {
            for (&text, vector) in plan.batch(i).iter().zip(batch.chunks(form.dim)) {
                vectors[some[text] * form.dim..][..form.dim].copy_from_slice(vector);
            }
        }
        Ok(Embeddings::of(form.dim, vectors, options.output))
    }

    fn form(&self, options: &EmbedOptions) -> Result<Form, Error> {
        let dim = options.truncate_dim.unwrap_or(self.dim());
        if dim == 0 || dim > self.dim() {
            return Err(Error::Options(format!("truncate_dim is {dim}; this model's vectors have {}: give 1 to {0}", self.dim())));
        }
        if options.max_tokens == Some(0) {
            return Err(Error::Options("max_tokens is 0, which leaves nothing of a text: give 1 or more".into()));
        }
        let pooling = options.pooling.unwrap_or(self.loaded.convention.pooling);
        Ok(Form { pooling, dim, normalise: options.normalise || options.output == Output::Int8 })
    }

    /// Ids of each text, its prompt before it.
    fn ids(&self, texts: &[&str], options: &EmbedOptions) -> Result<Vec<Vec<u32>>, Error> {
        let prompt = options.prompt.prefix(&self.loaded.convention);
        let ids = |text: usize| {
            let blank = || if options.blank == Blank::Zero { Ok(Vec::new()) } else { Err(Error::Empty { text }) };
            if is_blank(texts[text]) {
                return blank();
            }
            let failed = |source| Error::Text { text, source };
            let mut ids = match prompt {
                "" => self.loaded.tokenizer.encode(texts[text]),
                prompt => self.loaded.tokenizer.encode(&[prompt, texts[text]].concat()),
            }
            .map_err(failed)?;
            if ids.is_empty() {
                return blank();
            }
            ids.truncate(options.max_tokens.unwrap_or(usize::MAX));
            embed::check(&self.loaded.model.config, &ids).map_err(failed)?;
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
            None => Encoder::new(Cpu::new(Threads::one()), Weights(self.loaded.clone()), self.layout())?,
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
