//! Where a checkpoint is: a file, a folder of a run, or a folder in the Hugging Face layout.

use crate::Error;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A checkpoint in files.
pub(crate) struct Files {
    /// The safetensors file.
    pub(crate) weights: PathBuf,
    /// `config.json` beside it, of a folder in the Hugging Face layout.
    pub(crate) config: Option<PathBuf>,
    /// `tokenizer.json` beside it, of such a folder.
    pub(crate) tokenizer: Option<PathBuf>,
}

impl Files {
    /// Finds the files of a checkpoint.
    pub(crate) fn find(path: &Path) -> Result<Self, Error> {
        if !path.is_dir() {
            return Ok(Self { weights: path.to_owned(), config: None, tokenizer: None });
        }
        let existing = |name: &str| Some(path.join(name)).filter(|file| file.is_file());
        if let Some(weights) = existing("best.safetensors") {
            return Ok(Self { weights, config: None, tokenizer: None });
        }
        let weights = existing("model.safetensors").ok_or_else(|| Error::Folder(path.to_owned()))?;
        Ok(Self { weights, config: existing("config.json"), tokenizer: existing("tokenizer.json") })
    }
}

/// The bytes of a file. A pipe or a device is refused: a checkpoint may be read more than once, and a device has no end.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let read = || match fs::metadata(path)?.is_file() {
        true => fs::read(path),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file: copy it into one first")),
    };
    read().map_err(|source| Error::File { path: path.to_owned(), source })
}

/// The text of a file.
pub(crate) fn read_to_string(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })
}
