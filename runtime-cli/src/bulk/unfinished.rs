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
const WHOLE: &str = "whole";

/// The working folder of an output: its path with `.unfinished` appended.
pub fn folder_of(output: &Path) -> PathBuf {
    let mut name = OsString::from(output);
    name.push(".unfinished");
    name.into()
}

/// The embeddings of the first rows of a job, in a working folder next to the output.
///
/// `vectors.f32` has the embeddings, `saved.json` the number of those that are synced to disk, and `job.json` the identity of
/// the job. A file lock excludes concurrent runs.
pub struct Unfinished {
    folder: PathBuf,
    file: File,
    dim: usize,
    rows: u64,
    saved: Instant,
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
        let mut file = File::options().create(true).read(true).append(true).open(&path).map_err(|e| cannot(&path, &e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("another run is writing to {}; wait until it ends", folder.display()),
            // Some network file systems have no locks; there, concurrent runs are not detected.
            Err(TryLockError::Error(_)) => {}
        }
        let job = folder.join(JOB);
        let rows = if job.exists() && !restart { continued(&folder, identity)? } else { 0 };
        if rows == 0 {
            let json = serde_json::to_vec_pretty(identity)?;
            files::write_atomically(&folder.join(SAVED), |out| out.write_all(b"0"))?;
            files::write_atomically(&job, |out| out.write_all(&json))?;
        }
        let bytes = rows * (dim * size_of::<f32>()) as u64;
        if file.metadata().map_err(|e| cannot(&path, &e))?.len() < bytes {
            bail!("{} is shorter than when it was saved: delete {} to start again", path.display(), folder.display());
        }
        file.set_len(bytes).and_then(|()| file.seek(SeekFrom::End(0))).map_err(|e| cannot(&path, &e))?;
        Ok(Self { folder, file, dim, rows, saved: Instant::now() })
    }

    /// Number of embedded rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Appends the embeddings of the next rows.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn push(&mut self, vectors: &[f32]) -> Result<()> {
        let bytes: Vec<u8> = vectors.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.file.write_all(&bytes).map_err(|e| cannot(&self.folder.join(VECTORS), &e))?;
        self.rows += (vectors.len() / self.dim) as u64;
        if self.saved.elapsed() >= BETWEEN_SAVES { self.save() } else { Ok(()) }
    }

    /// Syncs all embeddings to disk, and records their number.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&mut self) -> Result<()> {
        self.file.sync_data().map_err(|e| cannot(&self.folder.join(VECTORS), &e))?;
        let rows = self.rows.to_string();
        files::write_atomically(&self.folder.join(SAVED), |out| out.write_all(rows.as_bytes()))?;
        self.saved = Instant::now();
        Ok(())
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
        let Self { folder, file, .. } = self;
        // Some systems do not delete open files.
        drop(file);
        discard(&folder)
    }
}

/// Deletes the files of a working folder, and the folder.
fn discard(folder: &Path) -> Result<()> {
    let failed = |e: io::Error| anyhow!("cannot delete {}: {e}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_string_lossy();
        if [JOB, SAVED, VECTORS, WHOLE].contains(&&*name) || name.starts_with(files::TEMPORARY) {
            fs::remove_file(folder.join(&*name)).map_err(failed)?;
        }
    }
    fs::remove_dir(folder).map_err(failed)
}

/// The number of rows saved by an earlier run of the same job.
fn continued(folder: &Path, identity: &Identity) -> Result<u64> {
    let mut json = String::new();
    let job = folder.join(JOB);
    files::open(&job)?.read_to_string(&mut json).with_context(|| format!("cannot read {}", job.display()))?;
    let earlier: Identity = serde_json::from_str(&json)
        .map_err(|e| anyhow!("{} is damaged ({e}): delete {} to start again", job.display(), folder.display()))?;
    let saved = files::read_to_string(&folder.join(SAVED))?;
    let rows = saved.trim().parse().map_err(|_| anyhow!("{} is damaged: delete it to start again", folder.display()))?;
    let none = String::from("none");
    let names: std::collections::BTreeSet<_> = earlier.keys().chain(identity.keys()).collect();
    let differing: Vec<_> = names
        .into_iter()
        .map(|name| (name, earlier.get(name).unwrap_or(&none), identity.get(name).unwrap_or(&none)))
        .filter(|(_, then, now)| then != now)
        .map(|(name, then, now)| format!("{name} was {then} and is {now}"))
        .collect();
    if rows > 0 && !differing.is_empty() {
        bail!(
            "{} contains {rows} rows of another job ({}): repeat that job to resume it, or start again with --restart",
            folder.display(),
            differing.join("; ")
        );
    }
    Ok(if differing.is_empty() { rows } else { 0 })
}

fn cannot(path: &Path, e: &io::Error) -> anyhow::Error {
    anyhow!("cannot write {}: {}", path.display(), files::remedy(e))
}
