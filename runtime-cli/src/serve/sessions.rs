//! Texts that requests go on with by name, in memory and in a folder.

use crate::files;
use anyhow::Result;
use hh::{Error, TextState};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Longest name, in characters.
const LONGEST: usize = 64;
/// Ends the names of files.
const EXTENSION: &str = "hhstate";

/// All sessions. A name is continued by one request at a time.
pub(super) struct Sessions {
    folder: Option<PathBuf>,
    budget: usize,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// States as bytes, which are compact, with the time of their last use.
    kept: HashMap<String, (u64, Vec<u8>)>,
    bytes: usize,
    clock: u64,
    claimed: HashSet<String>,
}

/// The right to continue a session, given back when it is dropped.
pub(super) struct Claim {
    name: String,
    inner: Arc<Mutex<Inner>>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.inner).claimed.remove(&self.name);
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says what is wrong with a name, which may become that of a file.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match !name.is_empty() && name.len() <= LONGEST && name.chars().all(plain) {
        true => Ok(()),
        false => Err(format!("session must be a name of 1 to {LONGEST} letters, digits, - and _")),
    }
}

impl Sessions {
    /// Sessions with `budget` bytes of memory; those in `folder` are found when they are asked for.
    pub(super) fn open(folder: Option<&Path>, budget: usize) -> Result<Self> {
        if let Some(folder) = folder {
            files::make_folder(folder)?;
            files::remove_stale(folder);
        }
        Ok(Self { folder: folder.map(Path::to_path_buf), budget, inner: Arc::default() })
    }

    /// Claims a session; `None` while another request has it.
    pub(super) fn claim(&self, name: &str) -> Option<Claim> {
        let free = lock(&self.inner).claimed.insert(name.to_owned());
        free.then(|| Claim { name: name.to_owned(), inner: self.inner.clone() })
    }

    /// The state of a session; none if it is new.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub(super) fn state(&self, claim: &Claim) -> Result<Option<TextState>, Error> {
        let bytes = {
            let inner = &mut *lock(&self.inner);
            inner.clock += 1;
            inner.kept.get_mut(&claim.name).map(|(used, bytes)| {
                *used = inner.clock;
                bytes.clone()
            })
        };
        if let Some(bytes) = bytes {
            return Ok(Some(TextState::from_bytes(&bytes)?));
        }
        let Some(path) = self.path(&claim.name) else { return Ok(None) };
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(TextState::from_bytes(&bytes)?)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::File { path, source }),
        }
    }

    /// Keeps the state of a session: in the folder, if there is one, before this returns.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn keep(&self, claim: &Claim, state: &TextState) -> Result<(), Error> {
        let bytes = state.to_bytes();
        if let Some(path) = self.path(&claim.name) {
            files::write_atomically(&path, |w| w.write_all(&bytes)).map_err(|e| Error::State(e.to_string()))?;
        }
        lock(&self.inner).put(&claim.name, bytes, self.budget);
        Ok(())
    }

    /// Sessions in memory, and their bytes.
    pub(super) fn stats(&self) -> (usize, usize) {
        let inner = lock(&self.inner);
        (inner.kept.len(), inner.bytes)
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(name).with_extension(EXTENSION))
    }
}

impl Inner {
    fn put(&mut self, name: &str, bytes: Vec<u8>, budget: usize) {
        self.clock += 1;
        self.bytes += bytes.len();
        if let Some((_, before)) = self.kept.insert(name.to_owned(), (self.clock, bytes)) {
            self.bytes -= before.len();
        }
        while self.bytes > budget {
            let oldest = self.kept.iter().min_by_key(|(_, (used, _))| *used).map(|(name, _)| name.clone());
            let Some((_, bytes)) = oldest.and_then(|name| self.kept.remove(&name)) else { break };
            self.bytes -= bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_folder() {
        for name in ["a", "chat-7_B", &"x".repeat(64)] {
            assert_eq!(check_name(name), Ok(()));
        }
        for name in ["", ".", "..", "a/b", "a.b", "a b", "\u{e9}", &"x".repeat(65)] {
            assert!(check_name(name).unwrap_err().contains("letters"), "{name}");
        }
    }

    #[test]
    fn a_session_is_claimed_once_at_a_time() {
        let sessions = Sessions::open(None, 100).unwrap();
        let claim = sessions.claim("a").unwrap();
        assert!(sessions.claim("a").is_none() && sessions.claim("b").is_some());
        drop(claim);
        assert!(sessions.claim("a").is_some());
    }

    #[test]
    fn sessions_in_memory_stay_within_their_budget() {
        let mut inner = Inner::default();
        for name in ["a", "b", "c", "b", "d"] {
            inner.put(name, vec![0; 30], 100);
        }
        let mut names: Vec<_> = inner.kept.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!((names, inner.bytes), (vec!["b", "c", "d"], 90));
        inner.put("e", vec![0; 101], 100);
        assert_eq!((inner.kept.len(), inner.bytes), (0, 0), "one that is too large is not kept either");
    }
}
