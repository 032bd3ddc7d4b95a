//! A model in one safetensors file: configuration, tokenizer and weights.
//!
//! Bytes in, bytes out; where they come from and go to is the caller's. The metadata of the file has the keys
//!
//! ```text
//! config      JSON of the configuration; all that the reference implementation reads and writes
//! format      "1"; absent in the reference's files
//! tokenizer   JSON of the tokenizer
//! step        training steps taken
//! …           provenance, free
//! ```

mod archive;
mod blocks;
mod dtype;
mod write;

pub use archive::{Archive, Tensor};
pub use dtype::Dtype;
pub use write::{Stored, Writer, write};

use crate::{
    config::Config,
    error::{CheckpointError, ConfigError, Error},
    quant::QuantView,
    shape::Shape,
};
use alloc::{borrow::ToOwned, boxed::Box, collections::BTreeMap, format, string::String};

/// The `__metadata__` of a safetensors file.
pub type Metadata = BTreeMap<String, String>;

/// Key of the configuration's JSON in the metadata.
pub const CONFIG: &str = "config";
/// Key of the tokenizer's JSON.
pub const TOKENIZER: &str = "tokenizer";
/// Key of the number of training steps taken.
pub const STEP: &str = "step";
/// Key of the version of these conventions.
pub const FORMAT: &str = "format";

/// Every tensor as numbers; and matrices in blocks ([`quant`]).
const FORMATS: [&str; 2] = ["1", "2"];

/// A checkpoint over the bytes of its file.
#[derive(Clone, Debug)]
pub struct Checkpoint<'a> {
    archive: Archive<'a>,
    config: Config,
    step: u64,
}

impl<'a> Checkpoint<'a> {
    /// Reads the header of a checkpoint; the weights stay where they are.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for those of [`Archive::parse`], a file of another program, and a newer format;
    /// [`Error::Config`] for an invalid configuration.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        Self::of(Archive::parse(bytes)?)
    }

    fn of(archive: Archive<'a>) -> Result<Self, Error> {
        let metadata = archive.metadata();
        if let Some(format) = metadata.get(FORMAT).filter(|&format| !FORMATS.contains(&format.as_str())) {
            return Err(CheckpointError::Format { found: format.clone(), known: FORMATS.join(" and ") }.into());
        }
        let config = metadata.get(CONFIG).ok_or_else(|| CheckpointError::NoConfig { key: CONFIG, tensors: archive.names().count() })?;
        let config = Config::from_json(config).map_err(|e| match e {
            Error::Config(e) => ConfigError::InCheckpoint(Box::new(e)).into(),
            e => e,
        })?;
        let step = metadata.get(STEP).map_or(Ok(0), |step| {
            step.parse()
                .map_err(|_| CheckpointError::Other(format!("the checkpoint's step is {step:?}, not a number: its metadata is damaged")))
        })?;
        Ok(Self { archive, config, step })
    }

    /// The file behind it, which is any safetensors file.
    pub fn archive(&self) -> &Archive<'a> {
        &self.archive
    }

    /// The model's configuration, which is valid.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Description of the tokenizer, if it has one.
    pub fn tokenizer_json(&self) -> Option<&str> {
        self.metadata().get(TOKENIZER).map(String::as_str)
    }

    /// Training steps taken; 0 if it does not say.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// All metadata.
    pub fn metadata(&self) -> &Metadata {
        self.archive.metadata()
    }

    /// Names of all tensors, in file order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.archive.names()
    }

    /// Checks that the file has these tensors, as numbers ([`Archive::expect`]) or in blocks.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the first that is missing or has another shape.
    pub fn expect<'n>(&self, tensors: impl IntoIterator<Item = (&'n str, Shape)>) -> Result<(), Error> {
        tensors.into_iter().try_for_each(|(name, shape)| match self.blocks(name, shape)? {
            Some(_) => Ok(()),
            None => self.archive.expect([(name, shape)]),
        })
    }

    /// The bytes of a tensor that is stored as f32, for [`borrow_f32`](crate::backend::ZeroCopy::borrow_f32); `None` if it is stored otherwise.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it is missing, has another shape, or a value that is not finite.
    pub fn f32_bytes(&self, name: &str, shape: Shape) -> Result<Option<&'a [u8]>, Error> {
        self.archive.f32_bytes(name, shape)
    }

    /// Copies a tensor, widened to f32, whether numbers ([`Archive::read`]) or blocks.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it is missing, has another shape, or a value that is not finite.
    ///
    /// # Panics
    /// If `dst` does not have the length that `shape` says.
    pub fn read(&self, name: &str, shape: Shape, dst: &mut [f32]) -> Result<(), Error> {
        match self.blocks(name, shape)? {
            Some(blocks) => blocks.widen(dst),
            None => self.archive.read(name, shape, dst)?,
        }
        Ok(())
    }

    /// A matrix where it lies, if the file has it in blocks.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it has another shape, no scales, or a scale that is not finite.
    pub fn blocks(&self, name: &str, shape: Shape) -> Result<Option<QuantView<'a>>, Error> {
        blocks::read(&self.archive, name, shape)
    }

    /// A tensor where it lies; see [`Archive::tensor`].
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it is missing or of a type that this program does not know.
    pub fn tensor(&self, name: &str) -> Result<Tensor<'a>, Error> {
        self.archive.tensor(name)
    }
}

/// The metadata of a checkpoint: what `notes` says, the configuration and the format.
///
/// `notes` is where [`TOKENIZER`], [`STEP`] and provenance come from.
pub fn metadata(config: &Config, notes: &Metadata) -> Metadata {
    let mut metadata = notes.clone();
    metadata.insert(CONFIG.to_owned(), config.to_json());
    metadata.insert(FORMAT.to_owned(), FORMATS[0].to_owned());
    metadata
}

#[cfg(test)]
mod tests;
