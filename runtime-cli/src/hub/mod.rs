//! Models of the Hugging Face Hub, by their address: `hf://owner/name` or `hf://owner/name@revision`.

#[cfg(feature = "download")]
mod cache;
#[cfg(all(test, feature = "download"))]
mod tests;

#[cfg(not(feature = "download"))]
use crate::features::{Absent, Feature};
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// What an address begins with.
const SCHEME: &str = "hf://";

/// A model of the Hub.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repository {
    owner: String,
    name: String,
    /// A branch, a tag or a commit.
    revision: String,
}

/// Whether a path is an address of the Hub.
pub fn is_address(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.starts_with(SCHEME))
}

impl Repository {
    /// Reads an address.
    ///
    /// # Errors
    /// An address that is not of this form.
    pub fn parse(address: &str) -> Result<Self> {
        let rest = address.strip_prefix(SCHEME).unwrap_or(address);
        let (repository, revision) = rest.split_once('@').unwrap_or((rest, "main"));
        let plain = |text: &str, more: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
            !text.is_empty() && text.len() < 200 && text.chars().all(known) && !text.contains("..") && !text.starts_with(['.', '/'])
        };
        match repository.split_once('/') {
            Some((owner, name)) if plain(owner, "-_.") && plain(name, "-_.") && plain(revision, "-_./") => {
                Ok(Self { owner: owner.into(), name: name.into(), revision: revision.into() })
            }
            _ => bail!("{address} is no address of the Hub; write hf://owner/name, or hf://owner/name@revision"),
        }
    }

    /// The folder with the model's files, downloaded where they are not in the cache of the Hugging Face libraries already.
    ///
    /// # Errors
    /// A model that does not exist, is private, or has no weights in safetensors; a server that cannot be reached while the cache has
    /// no such model; a cache that cannot be written; a build without the feature `download`.
    #[cfg(feature = "download")]
    pub fn folder(&self) -> Result<PathBuf> {
        cache::Hub::from_environment()?.folder(self)
    }

    /// As above.
    #[cfg(not(feature = "download"))]
    pub fn folder(&self) -> Result<PathBuf> {
        Err(anyhow::Error::from(Absent(Feature::Download)).context(format!("{self} is on the Hugging Face Hub")))
    }
}

impl std::fmt::Display for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{SCHEME}{}/{}@{}", self.owner, self.name, self.revision)
    }
}
