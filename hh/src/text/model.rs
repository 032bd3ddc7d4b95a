use super::{GenerateOptions, Generation, TextSession};
use crate::{Error, LoadedModel, checkpoint};
use hh_core::{checkpoint::Checkpoint, config::Config, model::Model, tokenizer::Tokenizer};
use hh_cpu::{Cpu, Level, Tensor, Threads};
use std::{ops::Deref, path::Path, sync::Arc, thread::available_parallelism};

/// A pointer to a loaded model that dereferences to its weights, as a session needs.
pub struct Weights<P>(pub P);

impl<T, P: Deref<Target = LoadedModel<T>>> Deref for Weights<P> {
    type Target = Model<T>;
    fn deref(&self) -> &Model<T> {
        &self.0.model
    }
}

/// A language model on the CPU. Clones share the weights, so a model can be used by many threads, each with sessions of its
/// own.
#[derive(Clone)]
pub struct TextModel {
    loaded: Arc<LoadedModel<Tensor<f32>>>,
    threads: usize,
    level: Level,
}

impl TextModel {
    /// The model of a checkpoint file, of the folder of a run (`best.safetensors`), or of a folder in the Hugging Face layout
    /// (`model.safetensors`, `config.json`, `tokenizer.json`).
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Folder`] for what cannot be read, [`Error::Checkpoint`] for a file that is no usable
    /// checkpoint, [`Error::Core`] where memory is short.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        checkpoint::open(path.as_ref(), Self::load)
    }

    /// The model of a checkpoint's bytes, which are copied.
    ///
    /// # Errors
    /// As [`from_file`](Self::from_file).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let load = || Self::load(&Checkpoint::parse(bytes)?);
        load().map_err(|e| Error::Checkpoint { path: None, source: Box::new(e) })
    }

    fn load(checkpoint: &Checkpoint<'_>) -> Result<Self, Error> {
        Ok(Self::from_loaded(Arc::new(LoadedModel::load(&mut Cpu::<f32>::new(Threads::one()), checkpoint)?)))
    }

    /// A model over weights that are loaded already.
    pub fn from_loaded(loaded: Arc<LoadedModel<Tensor<f32>>>) -> Self {
        Self { loaded, threads: 1, level: Level::detect() }
    }

    /// Uses `n` threads in each session; 0 uses all cores. One thread is the default, and fastest below some 8 MB of weights.
    /// Results do not depend on it.
    #[must_use]
    pub fn with_threads(self, n: usize) -> Self {
        Self { threads: if n == 0 { available_parallelism().map_or(1, usize::from) } else { n }, ..self }
    }

    /// Computes with the bits of a browser and a microcontroller, more slowly than with all instructions of this processor. A text then
    /// goes on with the same bits wherever its state is taken.
    #[must_use]
    pub fn portable(self) -> Self {
        Self { level: Level::portable(), ..self }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.loaded.model.config
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &dyn Tokenizer {
        &*self.loaded.tokenizer
    }

    /// Length of the sequences that the model was trained on, in tokens.
    pub fn context(&self) -> usize {
        self.loaded.context
    }

    /// A session without any text, with the model's own context and segments.
    ///
    /// # Errors
    /// [`Error::Core`] where memory is short.
    pub fn session(&self) -> Result<TextSession, Error> {
        self.session_with(None, None)
    }

    /// A session whose memories hold `context` positions, with `segments` passes over the blocks; the model's own where absent.
    ///
    /// # Errors
    /// Those of [`TextSession::new`].
    pub fn session_with(&self, context: Option<usize>, segments: Option<usize>) -> Result<TextSession, Error> {
        TextSession::new(self.backend(), self.loaded.clone(), context, segments)
    }

    /// Continues a prompt: an iterator over pieces of text.
    ///
    /// # Errors
    /// Those of [`TextSession::prefill`] and [`TextSession::generate`].
    pub fn generate(&self, prompt: &str, options: &GenerateOptions) -> Result<Generation<Box<TextSession>>, Error> {
        let mut session = Box::new(self.session()?);
        session.prefill(prompt)?;
        let continuation = session.continuation(options)?;
        Ok(Generation::new(session, continuation))
    }

    pub(super) fn loaded(&self) -> &Arc<LoadedModel<Tensor<f32>>> {
        &self.loaded
    }

    pub(super) fn backend(&self) -> Cpu<f32> {
        Cpu::with_level(Threads::new(self.threads), self.level)
    }
}
