//! From a path on the command line to a model that runs.

use crate::hub::{self, Repository};
use crate::run_folder::RunFolder;
use crate::{files, tokenizers};
use anyhow::{Context, Result, bail};
use hh::{LoadedModel, hugging_face};
use hh_core::backend::Device;
use hh_core::checkpoint::{Archive, CONFIG, Checkpoint, TOKENIZER};
use hh_core::model::Model;
use hh_core::tokenizer::Tokenizer;
use memmap2::Mmap;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// The bytes of a checkpoint's file, mapped into memory; or, of a folder in the Hugging Face layout, those of one checkpoint made of it.
pub struct Source {
    path: PathBuf,
    bytes: Bytes,
}

enum Bytes {
    Mapped(Mmap),
    Made(Vec<u8>),
}

impl Source {
    /// Opens a checkpoint, the best one of a run's folder, a folder in the Hugging Face layout, or a model of the
    /// [Hub](crate::hub).
    ///
    /// # Errors
    /// One sentence for a missing file, a folder without a checkpoint, what is no regular file, what a folder says that hh does
    /// not do, and a model that cannot be downloaded.
    pub fn open(path: &Path) -> Result<Self> {
        let downloaded = if hub::is_address(path) { Some(Repository::parse(&path.to_string_lossy())?.folder()?) } else { None };
        let path = downloaded.as_deref().unwrap_or(path);
        let path = if path.is_dir() { checkpoint_in(path)? } else { path.to_owned() };
        // Asked before opening: to open a pipe would be to wait for its writer.
        if path.exists() && !path.is_file() {
            bail!("cannot read {}: it is no regular file; copy the checkpoint to a file first", path.display());
        }
        let file = files::open(&path)?;
        // SAFETY: the map is only read, as numbers, of which any bits are valid. A program that shortens the file while it is
        // mapped makes this one end with a bus error; no file of ours is written in place, so that takes ill will.
        let map = unsafe { Mmap::map(&file) }.with_context(|| format!("cannot map {} into memory", path.display()))?;
        // A damaged file has its sentence where it is read.
        let bare = Archive::parse(&map).is_ok_and(|file| [CONFIG, TOKENIZER].iter().any(|&key| !file.metadata().contains_key(key)));
        let bytes = match bare.then(|| hugging_face::supply(&path, &map)).transpose()?.flatten() {
            Some(made) => Bytes::Made(made),
            None => Bytes::Mapped(map),
        };
        Ok(Self { path, bytes })
    }

    /// The file, which for a run's folder is one inside of it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(map) => map,
            Bytes::Made(bytes) => bytes,
        }
    }

    /// The bytes before the weights: configuration, tokenizer, training step, names and shapes. They tell checkpoints apart.
    pub fn header(&self) -> &[u8] {
        let bytes = self.bytes();
        let length = bytes.first_chunk().map_or(0, |prefix| u64::from_le_bytes(*prefix));
        let end = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(8);
        &bytes[..end.min(bytes.len())]
    }

    /// SHA-256 of all bytes, in hexadecimal digits.
    pub fn sha256(&self) -> String {
        Sha256::digest(self.bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads the header; the weights stay where they are.
    ///
    /// # Errors
    /// One sentence for a file that is empty, cut short, or no checkpoint.
    pub fn checkpoint(&self) -> Result<Checkpoint<'_>> {
        Checkpoint::parse(self.bytes()).with_context(|| self.cannot_use())
    }

    /// What a sentence about this file begins with.
    pub fn cannot_use(&self) -> String {
        format!("cannot use {}", self.path.display())
    }

    /// Moves the weights to the device, each value checked, with the tokenizer that `chosen` leads to, or else the
    /// checkpoint's own. See [`tokenizer`] for what can be chosen.
    ///
    /// # Errors
    /// One sentence for a tensor that is missing, of another shape or not finite; for a tokenizer that is missing or has more
    /// ids than the model; for a device without enough memory.
    pub fn load<B: Device>(&self, b: &mut B, chosen: Option<&str>) -> Result<LoadedModel<B::Tensor>> {
        let checkpoint = self.checkpoint()?;
        let tokenizer = self.tokenizer(&checkpoint, chosen)?;
        let model = Model::from_checkpoint(b, &checkpoint).with_context(|| self.cannot_use())?;
        LoadedModel::with_tokenizer(checkpoint.metadata(), model, tokenizer).with_context(|| self.cannot_use())
    }

    fn tokenizer(&self, checkpoint: &Checkpoint<'_>, chosen: Option<&str>) -> Result<Box<dyn Tokenizer>> {
        let tokenizer = match (chosen, checkpoint.tokenizer_json()) {
            (Some(chosen), _) => tokenizer(chosen)?,
            (None, Some(json)) => hh::tokenizer::from_json(json).with_context(|| self.cannot_use())?,
            (None, None) => bail!(
                "{} has no tokenizer inside: say with --tokenizer what its {} ids stand for, as in `--tokenizer bytes`, \
                 `--tokenizer bpe:FILE`, or the tokenizer.json that `hh-runtime tokenize` writes",
                self.path.display(),
                checkpoint.config().vocab_size
            ),
        };
        let (ids, rows) = (tokenizer.vocab_size(), checkpoint.config().vocab_size);
        if ids > rows {
            bail!("the tokenizer has {ids} ids and the model in {} only {rows}: it is not the model's", self.path.display());
        }
        Ok(tokenizer)
    }
}

/// The file of a checkpoint in a folder: the best one of a run, or the weights of the Hugging Face layout.
fn checkpoint_in(folder: &Path) -> Result<PathBuf> {
    let run = RunFolder::at(folder);
    if run.best().is_file() || run.last().is_file() {
        return run.checkpoint();
    }
    match hugging_face::weights_in(folder) {
        Err(hh::Error::Folder(_)) => run.checkpoint(),
        found => Ok(found?),
    }
}

/// The tokenizer that a user names for a text that is there already: `bytes`, `bpe:FILE`, a `tokenizer.json` (as `hh-runtime
/// tokenize` writes it, or of the tokenizers library), a checkpoint, or a folder of shards or of a run.
///
/// # Errors
/// One sentence for a tokenizer that would have to learn from a text, and for files that hold none.
pub fn tokenizer(chosen: &str) -> Result<Box<dyn Tokenizer>> {
    let path = Path::new(chosen);
    if hub::is_address(path)
        || RunFolder::at(path).best().is_file()
        || path.join(hugging_face::WEIGHTS).is_file()
        || path.extension().is_some_and(|e| e == "safetensors")
    {
        let source = Source::open(path)?;
        return source.tokenizer(&source.checkpoint()?, None);
    }
    let json = if path.is_dir() { path.join(crate::data::shard::TOKENIZER) } else { path.to_owned() };
    if json.is_file() {
        let text = files::read_to_string(&json)?;
        return match hh_core::tokenizer::kind(&text) {
            Ok(_) => hh::tokenizer::from_json(&text).with_context(|| format!("cannot use {}", json.display())),
            Err(_) => Ok(Box::new(tokenizers::Bpe::open(&json)?)),
        };
    }
    let spec = tokenizers::parse_spec(chosen).with_context(|| format!("{chosen} is no file either"))?;
    if spec.learns() {
        bail!(
            "the tokenizer \"{chosen}\" learns its vocabulary from a text, and here it must be there already: \
             write one with `hh-runtime tokenize --tokenizer {chosen}`, and give its tokenizer.json"
        );
    }
    spec.build(std::iter::empty())
}

#[cfg(test)]
pub(crate) mod tests;
