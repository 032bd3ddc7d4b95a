//! Files that can be read more than once: regular files, and copies of streams.

use crate::data::source::{self, Compression, Source};
use crate::data::spool;
use crate::files;
use anyhow::{Context, Result};
use std::fs::File;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempPath;

/// A file that can be read more than once. A stream (`-`, a pipe, `/dev/stdin`) is read once, into a temporary file.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// The path to open.
    path: PathBuf,
    /// The name in messages.
    shown: PathBuf,
    compression: Compression,
    /// Deletes the copy with the last clone.
    copy: Option<Arc<TempPath>>,
}

impl Origin {
    /// # Errors
    /// A stream that cannot be read, or copied.
    pub(super) fn of(path: &Path) -> Result<Self> {
        if spool::is_stream(path) {
            let (mut from, shown) = spool::open(path)?;
            return Self::copied(shown, &mut *from, None);
        }
        let name = path.to_string_lossy().to_lowercase();
        Ok(Self { path: path.to_owned(), shown: path.to_owned(), compression: Compression::of(&name).0, copy: None })
    }

    /// The same without compression, for formats that are not read from start to end.
    ///
    /// # Errors
    /// A damaged archive.
    pub(super) fn decompressed(self) -> Result<Self> {
        match self.compression {
            Compression::None => Ok(self),
            compression => Self::copied(self.shown, &mut *compression.reader(files::open(&self.path)?), Some(Compression::None)),
        }
    }

    fn copied(shown: PathBuf, from: &mut dyn BufRead, compression: Option<Compression>) -> Result<Self> {
        let start = from.fill_buf().map_err(|e| source::broken(&shown, &e))?;
        let compression = compression.unwrap_or_else(|| Compression::detect(start));
        let copy = spool::copy(from, &shown, |folder| files::temporary(0o600).tempfile_in(folder))?;
        let copy = Arc::new(copy.into_temp_path());
        Ok(Self { path: copy.to_path_buf(), shown, compression, copy: Some(copy) })
    }

    /// Its name in messages.
    pub(super) fn shown(&self) -> &Path {
        &self.shown
    }

    /// Whether it is a copy of a stream.
    pub(super) fn is_copy(&self) -> bool {
        self.copy.is_some()
    }

    /// Its bytes on disk.
    pub(super) fn file(&self) -> Result<File> {
        files::open(&self.path).with_context(|| format!("cannot read {} again", self.shown.display()))
    }

    /// Its decompressed bytes or lines.
    pub(super) fn source(&self) -> Result<Source> {
        Source::open_as(&self.path, &self.shown, self.compression)
    }
}
