//! The output folder of a run, and the names of its files.

use crate::files;
use crate::loading::BEST;
use anyhow::{Result, anyhow, bail};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Default parent folder of runs.
const RUNS: &str = "runs";

/// The output folder of a run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// The folders that were created for it, innermost first.
    made: Vec<PathBuf>,
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
        let made = files::missing(path);
        files::make_folder(path)?;
        let mut content = fs::read_dir(path).map_err(|e| anyhow!("cannot read the folder {}: {e}", path.display()))?;
        if content.next().is_some() {
            bail!("{} is not empty; give another folder as --out{or}", path.display());
        }
        Ok(Self { path: path.to_owned(), made })
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
                    return Ok(Self { path, made });
                }
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => bail!("cannot make the folder {}: {}", path.display(), files::remedy(&e)),
            }
        }
        unreachable!("no disk has so many folders")
    }

    /// Opens the folder of an existing run.
    ///
    /// # Errors
    /// A folder without a run to resume.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = Self { path: path.to_owned(), made: Vec::new() };
        if !path.is_dir() {
            bail!("{} is not a folder; give the folder of a run as --resume", path.display());
        }
        if !folder.resume().is_file() {
            bail!("{} has no resume.safetensors, so there is no run to resume; give the folder of a run", path.display());
        }
        Ok(folder)
    }

    /// Uses this folder whatever it contains, and creates it if it is missing.
    ///
    /// # Errors
    /// A folder that cannot be created.
    pub fn at(path: &Path) -> Result<Self> {
        let made = files::missing(path);
        files::make_folder(path)?;
        Ok(Self { path: path.to_owned(), made })
    }

    /// Removes the files of a run that failed before its first checkpoint, so that the next run can use the same folder; a run
    /// with a checkpoint is kept.
    pub fn abandon(&self) {
        if [self.best(), self.last(), self.resume()].iter().any(|checkpoint| checkpoint.exists()) {
            return;
        }
        // Errors are ignored, in favour of the original error.
        for file in [self.config(), self.metrics(), self.curve()] {
            let _ = fs::remove_file(file);
        }
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
