//! Where the output goes: a file that appears when it is complete, or a stream.

use crate::data::compress::Encoder;
use crate::data::source::Compression;
use crate::files;
use anyhow::{Result, bail};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The name of the standard output.
const STDOUT: &str = "-";

/// Output formats.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Format {
    /// The columns of the input and the embeddings, as fixed-size lists
    Parquet,
    /// An object per line: the columns of the input and the embedding, as a list
    Jsonl,
    /// The embeddings only, [rows, dimensions]
    Npy,
}

/// An output.
#[derive(Clone, Debug)]
pub struct Target {
    path: PathBuf,
    format: Format,
    compression: Compression,
    stream: bool,
    force: bool,
}

impl Target {
    /// The output of a path, whose extension determines format and compression unless `format` is given. `-` is the standard output,
    /// JSON Lines by default. Only with `force`, an existing file is replaced.
    ///
    /// # Errors
    /// An unknown extension, and a file that exists.
    pub fn of(path: &Path, format: Option<Format>, force: bool) -> Result<Self> {
        let stdout = path.as_os_str() == STDOUT;
        let stream = stdout || path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir());
        let name = path.to_string_lossy().to_lowercase();
        let (compression, name) = Compression::of(&name);
        let by_name = match name.rsplit_once('.').map(|(_, ending)| ending) {
            Some("parquet") => Some(Format::Parquet),
            Some("jsonl" | "ndjson") => Some(Format::Jsonl),
            Some("npy") => Some(Format::Npy),
            _ => stdout.then_some(Format::Jsonl),
        };
        let Some(format) = format.or(by_name) else {
            bail!(
                "unknown output format of {}: use the extension .parquet, .jsonl or .npy, also with .gz or .zst, or --output-format",
                path.display()
            );
        };
        if path.is_dir() {
            bail!("cannot write {}: it is a folder; give the name of a file", path.display());
        }
        let target = Self { path: path.to_owned(), format, compression, stream, force };
        target.require_free()?;
        Ok(target)
    }

    /// Refuses to replace a file.
    fn require_free(&self) -> Result<()> {
        if !self.force && !self.stream && self.path.symlink_metadata().is_ok() {
            bail!("{} exists: give another name, or replace it with --force", self.path.display());
        }
        Ok(())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether it is a stream, such as the standard output, and not a file.
    pub fn is_stream(&self) -> bool {
        self.stream
    }

    /// The error of a failed write. A closed pipe stays one.
    pub(super) fn cannot(&self, e: io::Error) -> anyhow::Error {
        let name = if self.path.as_os_str() == STDOUT { "the standard output".into() } else { self.path.display().to_string() };
        let sentence = format!("cannot write {name}: {}", files::remedy(&e));
        if e.kind() == io::ErrorKind::BrokenPipe { anyhow::Error::new(e).context(sentence) } else { anyhow::Error::msg(sentence) }
    }

    /// Writes all with `write`, which returns whether the output is complete: to the stream, or to `temporary`, which is then
    /// renamed.
    ///
    /// # Errors
    /// Those of `write`, and an output that cannot be written.
    pub(super) fn write(&self, temporary: &Path, write: impl FnOnce(&mut Encoder<Out>) -> Result<bool>) -> Result<bool> {
        let out: Out = match self.stream {
            true if self.path.as_os_str() == STDOUT => Out::Stdout(BufWriter::with_capacity(BUFFER, io::stdout())),
            true => Out::File(BufWriter::with_capacity(BUFFER, File::options().write(true).open(&self.path).map_err(|e| self.cannot(e))?)),
            false => Out::File(BufWriter::with_capacity(BUFFER, File::create(temporary).map_err(|e| self.cannot(e))?)),
        };
        let mut encoder = Encoder::new(self.compression, out);
        if !write(&mut encoder)? {
            return Ok(false);
        }
        let mut out = encoder.finish().map_err(|e| self.cannot(e))?;
        out.flush().map_err(|e| self.cannot(e))?;
        if let (false, Out::File(file)) = (self.stream, out) {
            file.into_inner().map_err(|e| self.cannot(e.into_error()))?.sync_all().map_err(|e| self.cannot(e))?;
            self.require_free()?;
            fs::rename(temporary, &self.path).map_err(|e| self.cannot(e))?;
            files::sync_folder(&files::folder_of(&self.path)).map_err(|e| self.cannot(e))?;
        }
        Ok(true)
    }
}

const BUFFER: usize = 1 << 18;

/// An output that is open.
pub(super) enum Out {
    File(BufWriter<File>),
    Stdout(BufWriter<io::Stdout>),
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(out) => out.write(bytes),
            Self::Stdout(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(out) => out.flush(),
            Self::Stdout(out) => out.flush(),
        }
    }
}
