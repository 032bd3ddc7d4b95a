//! The output folder of a run, and the names of its files.

use crate::files;
use anyhow::{Result, anyhow, bail};
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Default parent folder of runs.
const RUNS: &str = "runs";
/// The weights of a run that count as its result.
const BEST: &str = "best.safetensors";
/// Where a folder cannot be locked itself, the file in it that is.
const LOCK: &str = ".lock";

/// The output folder of a run. Unless it is only [looked at](Self::at), it is locked for as long as this exists: two runs never
/// write to one folder.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// The folders that were created for it, innermost first.
    made: Vec<PathBuf>,
    /// Locked as long as it is open.
    _lock: Option<File>,
}

impl RunFolder {
    /// Creates a folder: `out`, which must be empty or absent, or the next free `runs/<name>-<n>`.
    ///
    /// # Errors
    /// A folder that is not empty or cannot be created.
    pub fn create(out: Option<&Path>, name: &str) -> Result<Self> {
        match out {
            None => Self::numbered(Path::new(RUNS), name),
            Some(path) => Self::empty(path, &format!(", or resume the run in it with --resume {}", path.display())),
        }
    }

    /// Creates this folder, which must be empty or absent, for results that cannot be resumed.
    ///
    /// # Errors
    /// A folder that is not empty or cannot be created.
    pub fn for_results(path: &Path) -> Result<Self> {
        Self::empty(path, "")
    }

    /// `or` is an alternative to another folder, for the error message.
    fn empty(path: &Path, or: &str) -> Result<Self> {
        if path.exists() && !path.is_dir() {
            bail!("{} is a file; give the name of a folder as --out", path.display());
        }
        let folder = Self::made(path)?.locked()?;
        let content = fs::read_dir(path).map_err(|e| anyhow!("cannot read the folder {}: {e}", path.display()))?;
        if content.flatten().any(|entry| entry.file_name() != LOCK) {
            bail!("{} is not empty; give another folder as --out{or}", path.display());
        }
        Ok(folder)
    }

    /// This folder, created if it is missing, not locked.
    fn made(path: &Path) -> Result<Self> {
        let made = files::missing(path);
        files::make_folder(path)?;
        Ok(Self { made, ..Self::at(path) })
    }

    /// Locks the folder until it is dropped.
    fn locked(self) -> Result<Self> {
        let lock = lockable(&self.path).map_err(|e| anyhow!("cannot use the folder {}: {}", self.path.display(), files::remedy(&e)))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another run is writing to {}; wait until it ends, or stop it first", self.path.display())
            }
            // Some network file systems have no locks; there, two runs in one folder are not told apart.
            Err(TryLockError::Error(_)) => {}
        }
        Ok(Self { _lock: Some(lock), ..self })
    }

    /// The path `runs/<name>`, for named results. The folder is not created.
    pub fn named(name: &str) -> PathBuf {
        Path::new(RUNS).join(name)
    }

    fn numbered(parent: &Path, name: &str) -> Result<Self> {
        let mut made = files::missing(parent);
        files::make_folder(parent)?;
        for n in 1u32.. {
            let path = parent.join(format!("{name}-{n}"));
            match fs::create_dir(&path) {
                Ok(()) => {
                    made.insert(0, path.clone());
                    return Self { made, ..Self::at(&path) }.locked();
                }
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => bail!("cannot make the folder {}: {}", path.display(), files::remedy(&e)),
            }
        }
        unreachable!("no disk has so many folders")
    }

    /// Opens the folder of an existing run, to write to it. Files that a killed run left unfinished are removed.
    ///
    /// # Errors
    /// A folder without a run to resume, or one that another run is writing to.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = Self::at(path);
        if !path.is_dir() {
            bail!("{} is not a folder; give the folder of a run as --resume", path.display());
        }
        if !folder.resume().is_file() {
            bail!("{} has no resume.safetensors, so there is no run to resume; give the folder of a run", path.display());
        }
        folder.claimed()
    }

    /// Uses this folder to write to, whatever it contains, and creates it if it is missing. Files that a killed run left
    /// unfinished are removed.
    ///
    /// # Errors
    /// A folder that cannot be created, or one that another run is writing to.
    pub fn claim(path: &Path) -> Result<Self> {
        Self::made(path)?.claimed()
    }

    fn claimed(self) -> Result<Self> {
        let folder = self.locked()?;
        files::remove_stale(&folder.path);
        Ok(folder)
    }

    /// The names of the files of a run in this folder, to read them. Touches no file.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), made: Vec::new(), _lock: None }
    }

    /// The checkpoint that is the result of the run: its best weights.
    ///
    /// # Errors
    /// A folder that has none, with what it has instead.
    pub fn checkpoint(&self) -> Result<PathBuf> {
        let (best, last, folder) = (self.best(), self.last(), self.path.display());
        if best.is_file() {
            return Ok(best);
        }
        if last.is_file() {
            bail!("{folder} has no {BEST} yet; give {} instead", last.display());
        }
        bail!(
            "{folder} is a folder without a checkpoint: it has no {BEST} (a run) and no {} with config.json; give a checkpoint, or such a folder",
            hh::hugging_face::WEIGHTS
        )
    }

    /// Removes the files of a run that failed before its first checkpoint, so that the next run can use the same folder; a run
    /// with a checkpoint is kept.
    pub fn abandon(&self) {
        if [self.best(), self.last(), self.resume()].iter().any(|checkpoint| checkpoint.exists()) {
            return;
        }
        // Errors are ignored, in favour of the original error.
        for file in [self.config(), self.metrics(), self.csv(), self.curve(), self.path.join(LOCK)] {
            let _ = fs::remove_file(file);
        }
        let _ = fs::remove_dir_all(self.tensorboard());
        for folder in &self.made {
            let _ = fs::remove_dir(folder);
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The recipe.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// The metrics: one line of JSON per logged step and validation.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// The same as a table; see [`Tracker`](crate::train::Tracker).
    pub fn csv(&self) -> PathBuf {
        self.path.join("metrics.csv")
    }

    /// The folder of the same as event files of TensorBoard.
    pub fn tensorboard(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// The loss curve.
    pub fn curve(&self) -> PathBuf {
        self.path.join("curve.svg")
    }

    /// The weights with the best validation loss.
    pub fn best(&self) -> PathBuf {
        self.path.join(BEST)
    }

    /// The newest weights.
    pub fn last(&self) -> PathBuf {
        self.path.join("last.safetensors")
    }

    /// The state to resume from.
    pub fn resume(&self) -> PathBuf {
        self.path.join("resume.safetensors")
    }
}

/// What is locked: the folder itself, which leaves nothing behind; on systems that do not open folders, a file in it.
fn lockable(folder: &Path) -> io::Result<File> {
    if cfg!(unix) { File::open(folder) } else { File::options().create(true).append(true).open(folder.join(LOCK)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_run_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run");
        let first = RunFolder::create(Some(&path), "").unwrap();
        fs::write(first.resume(), "").unwrap();
        for second in [RunFolder::create(Some(&path), ""), RunFolder::open(&path), RunFolder::claim(&path)] {
            let error = second.unwrap_err().to_string();
            assert!(error.contains("another run is writing to"), "{error}");
        }
        assert_eq!(RunFolder::at(&path).resume(), first.resume(), "looking at it takes no lock");
        drop(first);
        RunFolder::open(&path).unwrap();
    }

    #[test]
    fn a_run_that_goes_on_removes_what_a_killed_one_left_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run");
        let folder = RunFolder::create(Some(&path), "").unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            fs::write(&path, "x").unwrap();
            path
        };
        let kept = [folder.resume(), write("my.unfinished"), write(".hh-notes")];
        fs::write(folder.resume(), "x").unwrap();
        let stale = [write(".hh-aB3dE5.unfinished"), write(".hh-zzzzzz.unfinished")];
        let busy = files::unfinished_in(folder.path()).unwrap();
        drop(folder);
        RunFolder::open(&path).unwrap();
        assert!(kept.iter().all(|path| path.exists()) && stale.iter().all(|path| !path.exists()));
        assert!(busy.path().exists(), "a file that is still being written stays");
    }
}
