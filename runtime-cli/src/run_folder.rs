//! The folder of a run, and the names of what lies in it.

use crate::files;
use crate::loading::BEST;
use anyhow::{Result, anyhow, bail};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where runs go unless asked otherwise.
const RUNS: &str = "runs";

/// Where a run keeps what it writes.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// The folders that were made for it, innermost first.
    made: Vec<PathBuf>,
}

impl RunFolder {
    /// A new folder: the one asked for, which must be empty or absent, or the next free `runs/<name>-<n>`.
    ///
    /// # Errors
    /// One sentence where a run is there already, or the place cannot be written to.
    pub fn create(out: Option<&Path>, name: &str) -> Result<Self> {
        match out {
            None => Self::numbered(Path::new(RUNS), name),
            Some(path) => Self::empty(path, &format!(", or go on with the run in it by --resume {}", path.display())),
        }
    }

    /// This folder, for results that no run can go on from; it must be empty or absent.
    ///
    /// # Errors
    /// One sentence where something is in it, or the place cannot be written to.
    pub fn for_results(path: &Path) -> Result<Self> {
        Self::empty(path, "")
    }

    /// `or` is what can be done beside giving another folder.
    fn empty(path: &Path, or: &str) -> Result<Self> {
        if path.exists() && !path.is_dir() {
            bail!("{} is a file; give --out the name of a folder", path.display());
        }
        let made = files::missing(path);
        files::make_folder(path)?;
        let mut content = fs::read_dir(path).map_err(|e| anyhow!("cannot read the folder {}: {e}", path.display()))?;
        if content.next().is_some() {
            bail!("{} is not empty; give another folder to --out{or}", path.display());
        }
        Ok(Self { path: path.to_owned(), made })
    }

    /// The folder of results that go by a name alone: `runs/<name>`. It is not made yet.
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

    /// The folder of a run that is there.
    ///
    /// # Errors
    /// One sentence where there is nothing to go on from.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = Self { path: path.to_owned(), made: Vec::new() };
        if !path.is_dir() {
            bail!("{} is no folder; give --resume the folder of a run", path.display());
        }
        if !folder.resume().is_file() {
            bail!("{} has no resume.safetensors, so there is no run in it to go on with; give the folder of a run", path.display());
        }
        Ok(folder)
    }

    /// This folder, made where it is missing, whatever a run has left in it.
    ///
    /// # Errors
    /// One sentence where it cannot be made.
    pub fn at(path: &Path) -> Result<Self> {
        let made = files::missing(path);
        files::make_folder(path)?;
        Ok(Self { path: path.to_owned(), made })
    }

    /// Leaves nothing of a run that failed before its first checkpoint, so that the next can have the same folder; a run with
    /// a checkpoint stays as it is.
    pub fn abandon(&self) {
        if [self.best(), self.last(), self.resume()].iter().any(|checkpoint| checkpoint.exists()) {
            return;
        }
        // What cannot be removed stays: the failure that led here is what the user should hear of.
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

    /// A line of JSON for every logged step and every evaluation.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// The picture of them.
    pub fn curve(&self) -> PathBuf {
        self.path.join("curve.svg")
    }

    /// The weights that validated best.
    pub fn best(&self) -> PathBuf {
        self.path.join(BEST)
    }

    /// The newest weights.
    pub fn last(&self) -> PathBuf {
        self.path.join("last.safetensors")
    }

    /// Everything that going on needs.
    pub fn resume(&self) -> PathBuf {
        self.path.join("resume.safetensors")
    }
}
