//! Where a checkpoint is: a file, a folder of a run, or a folder in the Hugging Face layout.

use crate::{Error, hugging_face};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The file of a checkpoint: itself, or that of a folder.
pub(crate) fn find(path: &Path) -> Result<PathBuf, Error> {
    let best = path.join("best.safetensors");
    match (path.is_dir(), best.is_file()) {
        (false, _) => Ok(path.to_owned()),
        (true, true) => Ok(best),
        (true, false) => hugging_face::weights_in(path),
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
