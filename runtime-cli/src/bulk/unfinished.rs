use super::pieces::{self, Piece};
use crate::files;
use anyhow::{Context, Result, anyhow, bail};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Named properties that must be equal to those of an earlier run to resume it.
pub type Identity = BTreeMap<String, String>;

/// Longest interval between saves.
const BETWEEN_SAVES: Duration = Duration::from_secs(5);

const JOB: &str = "job.json";
const SAVED: &str = "saved.json";
const VECTORS: &str = "vectors.f32";
const PIECES: &str = "pieces";
const WHOLE: &str = "whole";

/// The working folder of an output: its path with `.unfinished` appended.
pub fn folder_of(output: &Path) -> PathBuf {
    let mut name = OsString::from(output);
    name.push(".unfinished");
    name.into()
}

/// The embeddings of the first rows of a job, in a working folder next to the output.
///
/// `vectors.f32` has the embeddings, `pieces` their [`Piece`]s if a row may have several, `saved.json` the numbers of rows and
/// embeddings that are synced to disk, and `job.json` the identity of the job. A file lock excludes concurrent runs.
pub struct Unfinished {
    folder: PathBuf,
    file: File,
    pieces: File,
    dim: usize,
    /// Embedded rows, and their embeddings.
    done: Saved,
    /// Embeddings in the file, those of an unfinished row among them.
    vectors: u64,
    saved: Instant,
}

/// Numbers of rows, and of their embeddings.
#[derive(Clone, Copy, Default, serde::Serialize, serde::Deserialize)]
struct Saved {
    rows: u64,
    vectors: u64,
}

impl Unfinished {
    /// Creates the working folder of an output, or resumes an existing one; `restart` discards its embeddings.
    ///
    /// # Errors
    /// A folder of another job (the message lists the differences), a folder locked by another run, or one that cannot be written.
    pub fn open(output: &Path, identity: &Identity, dim: usize, restart: bool) -> Result<Self> {
        let folder = folder_of(output);
        fs::create_dir(&folder).or_else(|e| if folder.is_dir() { Ok(()) } else { Err(e) }).map_err(|e| cannot(&folder, &e))?;
        let path = folder.join(VECTORS);
        let open = |path: &Path| File::options().create(true).read(true).append(true).open(path).map_err(|e| cannot(path, &e));
        let mut file = open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("another run is writing to {}; wait until it ends", folder.display()),
            // Some network file systems have no locks; there, concurrent runs are not detected.
            Err(TryLockError::Error(_)) => {}
        }
        let mut pieces = open(&folder.join(PIECES))?;
        let job = folder.join(JOB);
        let done = if job.exists() && !restart { continued(&folder, identity)? } else { Saved::default() };
        if done.rows == 0 {
            let json = serde_json::to_vec_pretty(identity)?;
            files::write_atomically(&folder.join(SAVED), |out| Ok(serde_json::to_writer(out, &done)?))?;
            files::write_atomically(&job, |out| out.write_all(&json))?;
        }
        let bytes = done.vectors * (dim * size_of::<f32>()) as u64;
        cut(&mut file, bytes, &path, &folder)?;
        let some = pieces.metadata().map_err(|e| cannot(&folder.join(PIECES), &e))?.len() > 0;
        cut(&mut pieces, if some { done.vectors * pieces::BYTES as u64 } else { 0 }, &folder.join(PIECES), &folder)?;
        Ok(Self { folder, file, pieces, dim, done, vectors: done.vectors, saved: Instant::now() })
    }

    /// Number of embedded rows.
    pub fn rows(&self) -> u64 {
        self.done.rows
    }

    /// Number of embeddings.
    pub fn count(&self) -> u64 {
        self.vectors
    }

    /// Appends embeddings, with which `rows` rows are embedded. `pieces` is empty if every row has one embedding.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn push(&mut self, vectors: &[f32], pieces: &[Piece], rows: u64) -> Result<()> {
        let bytes: Vec<u8> = vectors.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.file.write_all(&bytes).map_err(|e| cannot(&self.folder.join(VECTORS), &e))?;
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_bytes()).collect();
        self.pieces.write_all(&bytes).map_err(|e| cannot(&self.folder.join(PIECES), &e))?;
        self.vectors += (vectors.len() / self.dim) as u64;
        if rows > self.done.rows {
            // Of a row that is not finished, the last piece comes with its last embedding.
            let later = pieces.iter().rev().take_while(|piece| piece.row >= rows).count() as u64;
            self.done = Saved { rows, vectors: self.vectors - later };
        }
        if self.saved.elapsed() >= BETWEEN_SAVES { self.save() } else { Ok(()) }
    }

    /// Syncs all embeddings to disk, and records their number.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&mut self) -> Result<()> {
        self.file.sync_data().map_err(|e| cannot(&self.folder.join(VECTORS), &e))?;
        self.pieces.sync_data().map_err(|e| cannot(&self.folder.join(PIECES), &e))?;
        files::write_atomically(&self.folder.join(SAVED), |out| Ok(serde_json::to_writer(out, &self.done)?))?;
        self.saved = Instant::now();
        Ok(())
    }

    /// The file of the pieces.
    pub(super) fn pieces(&self) -> Result<File> {
        files::open(&self.folder.join(PIECES))
    }

    /// The file of all embeddings.
    pub(super) fn vectors(&self) -> Result<File> {
        files::open(&self.folder.join(VECTORS))
    }

    /// Path of the output before it is renamed.
    pub(super) fn whole(&self) -> PathBuf {
        self.folder.join(WHOLE)
    }

    /// Deletes the working folder.
    ///
    /// # Errors
    /// A file that cannot be deleted.
    pub fn remove(self) -> Result<()> {
        let Self { folder, file, pieces, .. } = self;
        // Some systems do not delete open files.
        drop((file, pieces));
        discard(&folder)
    }
}

/// Deletes the files of a working folder, and the folder.
fn discard(folder: &Path) -> Result<()> {
    let failed = |e: io::Error| anyhow!("cannot delete {}: {e}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_string_lossy();
        if [JOB, SAVED, VECTORS, PIECES, WHOLE].contains(&&*name) || name.starts_with(files::TEMPORARY) {
            fs::remove_file(folder.join(&*name)).map_err(failed)?;
        }
    }
    fs::remove_dir(folder).map_err(failed)
}

/// Shortens a file to what was saved.
fn cut(file: &mut File, bytes: u64, path: &Path, folder: &Path) -> Result<()> {
    if file.metadata().map_err(|e| cannot(path, &e))?.len() < bytes {
        bail!("{} is shorter than when it was saved: delete {} to start again", path.display(), folder.display());
    }
    file.set_len(bytes).and_then(|()| file.seek(SeekFrom::End(0))).map_err(|e| cannot(path, &e))?;
    Ok(())
}

/// What was saved by an earlier run of the same job.
fn continued(folder: &Path, identity: &Identity) -> Result<Saved> {
    let mut json = String::new();
    let job = folder.join(JOB);
    files::open(&job)?.read_to_string(&mut json).with_context(|| format!("cannot read {}", job.display()))?;
    let earlier: Identity = serde_json::from_str(&json)
        .map_err(|e| anyhow!("{} is damaged ({e}): delete {} to start again", job.display(), folder.display()))?;
    let saved = files::read_to_string(&folder.join(SAVED))?;
    let saved: Saved = serde_json::from_str(&saved).map_err(|_| anyhow!("{} is damaged: delete it to start again", folder.display()))?;
    let none = String::from("none");
    let names: std::collections::BTreeSet<_> = earlier.keys().chain(identity.keys()).collect();
    let differing: Vec<_> = names
        .into_iter()
        .map(|name| (name, earlier.get(name).unwrap_or(&none), identity.get(name).unwrap_or(&none)))
        .filter(|(_, then, now)| then != now)
        .map(|(name, then, now)| format!("{name} was {then} and is {now}"))
        .collect();
    let rows = saved.rows;
    if rows > 0 && !differing.is_empty() {
        bail!(
            "{} contains {rows} rows of another job ({}): repeat that job to resume it, or start again with --restart",
            folder.display(),
            differing.join("; ")
        );
    }
    Ok(if differing.is_empty() { saved } else { Saved::default() })
}

fn cannot(path: &Path, e: &io::Error) -> anyhow::Error {
    anyhow!("cannot write {}: {}", path.display(), files::remedy(e))
}
