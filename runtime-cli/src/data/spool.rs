//! Inputs that can be read once, made files that can be read again: the standard input and pipes.
//!
//! A text is read up to three times: for its hash, for a vocabulary, and for its ids.

use super::source;
use crate::files;
use anyhow::{Context, Result, anyhow};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// The name of the standard input.
pub(crate) const STDIN: &str = "-";

/// What was read of each of them, by name, in files that are deleted when the program ends.
static COPIES: Mutex<BTreeMap<PathBuf, Arc<File>>> = Mutex::new(BTreeMap::new());

/// A file that is read from its start.
pub(crate) struct Input {
    file: Arc<File>,
    at: u64,
}

impl Input {
    /// Opens a file, the standard input (`-`), or a pipe. The last two are copied to a temporary file once, whole.
    ///
    /// # Errors
    /// As [`files::open`], and a temporary file that cannot be written.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = if is_stream(path) { copy_of(path)? } else { Arc::new(files::open(path)?) };
        Ok(Self { file, at: 0 })
    }

    /// Size in bytes.
    ///
    /// # Errors
    /// A file whose size cannot be read.
    pub(crate) fn size(&self) -> Result<u64> {
        Ok(self.file.metadata().context("cannot read the size of a file")?.len())
    }
}

/// Whether a path is a stream: the standard input or a pipe.
pub(crate) fn is_stream(path: &Path) -> bool {
    path.as_os_str() == STDIN || path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// Opens a stream; returns its name for messages, too.
///
/// # Errors
/// As [`files::open`].
pub(crate) fn open(stream: &Path) -> Result<(Box<dyn BufRead>, PathBuf)> {
    Ok(if stream.as_os_str() == STDIN {
        (Box::new(io::stdin().lock()), "the standard input".into())
    } else {
        (Box::new(BufReader::new(files::open(stream)?)), stream.to_owned())
    })
}

/// Copies bytes to the file that `create` makes in the folder of temporary files. `name` is the name of their source in messages.
///
/// # Errors
/// Bytes that cannot be read, and a file that cannot be written.
pub(crate) fn copy<F: Write>(from: &mut dyn BufRead, name: &Path, create: impl FnOnce(&Path) -> io::Result<F>) -> Result<F> {
    let folder = std::env::temp_dir();
    let cannot = |e: io::Error| {
        anyhow!("cannot copy {} to the folder of temporary files, {}: {}", name.display(), folder.display(), files::remedy(&e))
    };
    let mut copy = create(&folder).map_err(cannot)?;
    loop {
        let bytes = match from.fill_buf() {
            Ok([]) => break,
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(source::broken(name, &e)),
        };
        copy.write_all(bytes).map_err(cannot)?;
        let read = bytes.len();
        from.consume(read);
    }
    copy.flush().map_err(cannot)?;
    Ok(copy)
}

/// The copy of a stream, made when it is first asked for.
fn copy_of(stream: &Path) -> Result<Arc<File>> {
    let mut copies = COPIES.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(copy) = copies.get(stream) {
        return Ok(copy.clone());
    }
    let (mut from, name) = open(stream)?;
    let copy = Arc::new(copy(&mut *from, &name, |folder| tempfile::tempfile_in(folder))?);
    copies.insert(stream.to_owned(), copy.clone());
    Ok(copy)
}

impl Read for Input {
    /// Reads at a position of its own: all readers of a copy share one open file.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_at(&*self.file, out, self.at)?;
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(&*self.file, out, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    #[test]
    fn a_pipe_is_read_as_often_as_a_file() {
        use super::*;
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let writer = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::write(pipe, "once ".repeat(50_000)).unwrap()
        });
        let read = || {
            let mut text = String::new();
            Input::open(&pipe).unwrap().read_to_string(&mut text).unwrap();
            text
        };
        assert_eq!(read(), "once ".repeat(50_000));
        assert_eq!(read(), "once ".repeat(50_000));
        assert_eq!(Input::open(&pipe).unwrap().size().unwrap(), 250_000);
        writer.join().unwrap();
    }
}
