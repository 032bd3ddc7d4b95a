//! A checkpoint that is ready to run.

use crate::{Error, files, hugging_face, tokenizer};
use hh_core::{
    backend::Device,
    checkpoint::{Checkpoint, Metadata},
    config::{Config, Positions},
    embed::Convention,
    model::Model,
    state,
    tokenizer::Tokenizer,
};
use std::{path::Path, sync::OnceLock};

/// Key of a checkpoint's metadata: length of the sequences that it was trained on, in tokens.
pub const CONTEXT: &str = "context";
/// Longest context that can be requested, in tokens.
pub const MAX_CONTEXT: usize = 1 << 24;
/// Context of a checkpoint whose metadata does not name one, in tokens.
const FALLBACK_CONTEXT: usize = 1024;

/// Weights on a device, with everything that turns text into ids and hidden states into embeddings.
pub struct LoadedModel<T> {
    /// Configuration and weights; without a rectified-flow head where the file has none.
    pub model: Model<T>,
    /// Text to ids and back; it has at most as many ids as the model.
    pub tokenizer: Box<dyn Tokenizer>,
    /// Length of the sequences that the model was trained on, in tokens; 1024 where the checkpoint does not say.
    pub context: usize,
    /// Pooling and prompts that the model was trained to make embeddings with.
    pub convention: Convention,
    /// Training steps taken; 0 where the checkpoint does not say.
    pub step: u64,
    /// See [`state::identity`], once it was asked for.
    pub(crate) identity: OnceLock<u64>,
}

impl<T> LoadedModel<T> {
    /// Moves the weights of a checkpoint to a device, and reads its tokenizer.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`], those of [`with_tokenizer`](Self::with_tokenizer) and of [`Model::from_checkpoint`].
    pub fn load<B: Device<Tensor = T>>(b: &mut B, checkpoint: &Checkpoint<'_>) -> Result<Self, Error> {
        Self::new(checkpoint, |checkpoint| Ok(Model::from_checkpoint(b, checkpoint)?))
    }

    /// A checkpoint with its own tokenizer and weights that `model` makes of it.
    pub(crate) fn new<'a>(
        checkpoint: &Checkpoint<'a>,
        model: impl FnOnce(&Checkpoint<'a>) -> Result<Model<T>, Error>,
    ) -> Result<Self, Error> {
        let tokenizer = tokenizer::from_json(checkpoint.tokenizer_json().ok_or(Error::NoTokenizer)?)?;
        let model = model(checkpoint)?;
        Self::with_tokenizer(checkpoint.metadata(), model, tokenizer)
    }

    /// Weights with a tokenizer; all else is read from the metadata of their checkpoint.
    ///
    /// # Errors
    /// [`Error::VocabularyMismatch`] for a tokenizer with more ids than the model has; [`Error::Core`] for metadata that
    /// cannot be read.
    pub fn with_tokenizer(metadata: &Metadata, model: Model<T>, tokenizer: Box<dyn Tokenizer>) -> Result<Self, Error> {
        check_vocabulary(&*tokenizer, &model.config)?;
        let step = metadata.get(hh_core::checkpoint::STEP).and_then(|step| step.parse().ok()).unwrap_or(0);
        Ok(Self {
            convention: Convention::of(metadata)?,
            context: trained_context(metadata),
            model,
            tokenizer,
            step,
            identity: OnceLock::new(),
        })
    }

    /// Hash of configuration, weights and tokenizer, see [`state::identity`]. Computed when it is first asked for, at the speed of
    /// memory.
    ///
    /// # Errors
    /// [`Error::Core`] where the device fails.
    pub fn identity<B: Device<Tensor = T>>(&self, b: &mut B) -> Result<u64, Error> {
        match self.identity.get() {
            Some(&known) => Ok(known),
            None => Ok(*self.identity.get_or_init({
                let found = state::identity(b, &self.model, &*self.tokenizer)?;
                move || found
            })),
        }
    }

    /// Context of a session in tokens: `requested`, or else the length that the model was trained on, within the positions
    /// that it learned.
    ///
    /// # Errors
    /// [`Error::Context`] where `requested` is more than that.
    pub fn session_context(&self, requested: Option<usize>) -> Result<usize, Error> {
        let limit = context_limit(&self.model.config);
        match requested {
            Some(requested) if requested > limit => Err(Error::Context { requested, limit }),
            Some(requested) => Ok(requested),
            None => Ok(self.context.min(limit)),
        }
    }
}

/// Says whether a tokenizer can be that of a model.
///
/// # Errors
/// [`Error::VocabularyMismatch`] where it has more ids.
pub(crate) fn check_vocabulary(tokenizer: &dyn Tokenizer, config: &Config) -> Result<(), Error> {
    let (ids, rows) = (tokenizer.vocab_size(), config.vocab_size);
    if ids > rows { Err(Error::VocabularyMismatch { tokenizer: ids, model: rows }) } else { Ok(()) }
}

/// Longest context of a model in tokens.
pub fn context_limit(config: &Config) -> usize {
    if config.positions == Positions::Learned { config.max_len } else { MAX_CONTEXT }
}

/// Length of the sequences that a checkpoint was trained on in tokens; 1024 where it does not say.
pub fn trained_context(metadata: &Metadata) -> usize {
    let context = metadata.get(CONTEXT).and_then(|n| n.parse().ok());
    context.filter(|n| (1..=MAX_CONTEXT).contains(n)).unwrap_or(FALLBACK_CONTEXT)
}

/// Reads the files of a checkpoint and hands them to `load` as one checkpoint.
pub(crate) fn open<R>(path: &Path, load: impl FnOnce(&Checkpoint<'_>) -> Result<R, Error>) -> Result<R, Error> {
    let weights = files::find(path)?;
    let bytes = files::read(&weights)?;
    let bytes = hugging_face::supply(&weights, &bytes)?.unwrap_or(bytes);
    let load = || load(&Checkpoint::parse(&bytes)?);
    load().map_err(|e| e.in_file(&weights))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hh_core::tokenizer::Bytes;
    use hh_cpu::{Cpu, Threads};

    fn loaded(extra: &str, context: &str) -> LoadedModel<hh_cpu::Tensor<f32>> {
        let config = Config::from_json(&format!(
            r#"{{"vocab_size": 256, "width": 16, "layers": 1, "ffn": 16, "head_dim": 8, "ssm_width": 8{extra}}}"#
        ));
        let model = Model::init(&mut Cpu::<f32>::new(Threads::one()), config.unwrap(), 1).unwrap();
        let metadata = Metadata::from([(CONTEXT.to_owned(), context.to_owned())]);
        LoadedModel::with_tokenizer(&metadata, model, Box::new(Bytes)).unwrap()
    }

    #[test]
    fn a_context_stays_within_the_learned_positions() {
        let learned = loaded(r#", "positions": "learned", "max_len": 16"#, "1024");
        assert_eq!(learned.session_context(None).unwrap(), 16);
        assert_eq!(learned.session_context(Some(9)).unwrap(), 9);
        let error = learned.session_context(Some(17)).unwrap_err();
        assert!(matches!(error, Error::Context { requested: 17, limit: 16 }) && error.to_string().contains("16 positions"));
        assert_eq!(loaded("", "32").session_context(Some(5000)).unwrap(), 5000);
        for damaged in ["", "0", "-3", "99999999999"] {
            assert_eq!(loaded("", damaged).context, 1024, "{damaged}");
        }
    }
}
