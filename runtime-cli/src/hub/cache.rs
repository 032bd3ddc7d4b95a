//! The cache that all Hugging Face libraries share, and the endpoints of the Hub that fill it.
//!
//! ```text
//! models--OWNER--NAME/refs/REVISION                 a commit
//! models--OWNER--NAME/blobs/ETAG                    a file
//! models--OWNER--NAME/snapshots/COMMIT/FILE         a link to it
//! ```

use super::Repository;
use crate::data::get::{Client, Failure, Progress};
use crate::files::{self, percent_encoded};
use crate::progress::Bar;
use crate::stderr::say;
use anyhow::{Context, Result, anyhow, bail};
use hh::hugging_face::WEIGHTS;
use serde::Deserialize;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

const ENDPOINT: &str = "https://huggingface.co";

/// The Hub, or a mirror of it.
pub(super) struct Hub {
    pub(super) endpoint: String,
    /// The folder of the cache.
    pub(super) cache: PathBuf,
    /// Whether nothing is asked for.
    pub(super) offline: bool,
    pub(super) client: Client,
}

/// What the Hub says of a revision.
#[derive(Deserialize)]
struct Model {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Hub {
    /// As the variables of the Hugging Face libraries say: `HF_ENDPOINT`, `HF_HUB_CACHE`, `HF_HOME`, `HF_HUB_OFFLINE`, `HF_TOKEN`,
    /// `HF_TOKEN_PATH`.
    ///
    /// # Errors
    /// No folder for the cache, and a certificate file that cannot be read.
    pub(super) fn from_environment() -> Result<Self> {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let below = |name: &str, rest: &str| set(name).map(|home| Path::new(&home).join(rest));
        let home = below("HF_HOME", "")
            .or_else(|| below("XDG_CACHE_HOME", "huggingface"))
            .or_else(|| below("HOME", ".cache/huggingface"))
            .or_else(|| below("USERPROFILE", ".cache/huggingface"))
            .context("there is no folder for models of the Hub: set HF_HOME")?;
        let file = || fs::read_to_string(below("HF_TOKEN_PATH", "").unwrap_or(home.join("token"))).ok();
        let token = set("HF_TOKEN").and_then(|token| token.into_string().ok()).or_else(file).map(|token| token.trim().to_owned());
        let endpoint = set("HF_ENDPOINT").and_then(|value| value.into_string().ok()).unwrap_or_else(|| ENDPOINT.to_owned());
        Ok(Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache: below("HF_HUB_CACHE", "").unwrap_or_else(|| home.join("hub")),
            offline: set("HF_HUB_OFFLINE")
                .is_some_and(|value| ["1", "on", "yes", "true"].contains(&&*value.to_string_lossy().to_lowercase())),
            client: Client::from_environment()?.with_token(token.filter(|token| !token.is_empty())),
        })
    }

    /// See [`Repository::folder`].
    pub(super) fn folder(&self, of: &Repository) -> Result<PathBuf> {
        let Repository { owner, name, revision } = of;
        let home = self.cache.join(format!("models--{owner}--{name}"));
        let cached = || cached(&home, revision);
        if self.offline {
            return cached().with_context(|| format!("{of} is not in the cache {}, and HF_HUB_OFFLINE is set", self.cache.display()));
        }
        // A commit never changes.
        if is_commit(revision)
            && let Some(folder) = cached()
        {
            return Ok(folder);
        }
        let url = format!("{}/api/models/{owner}/{name}/revision/{}", self.endpoint, encoded(revision));
        let text = match self.client.text(&url) {
            Ok(text) => text,
            Err(Failure::Passing(problem)) => {
                let folder = cached().with_context(|| format!("cannot reach {}: {problem}", self.endpoint))?;
                say(format_args!("cannot reach {} ({problem}); using what the cache has of {of}", self.endpoint));
                return Ok(folder);
            }
            Err(Failure::Status(status)) => return Err(refused(of, status)),
            Err(Failure::Final(e)) => return Err(e),
        };
        let model: Model =
            serde_json::from_str(&text).map_err(|e| anyhow!("{} answers about {of} what is not readable: {e}", self.endpoint))?;
        if !is_commit(&model.sha) {
            bail!("{} answers about {of} with the commit {:?}, which is none", self.endpoint, model.sha);
        }
        let wanted: Vec<_> = model.siblings.into_iter().map(|file| file.rfilename).filter(|file| is_read(file)).collect();
        if !wanted.iter().any(|file| file == WEIGHTS) {
            bail!("{of} has no {WEIGHTS}: it is no model that hh reads");
        }
        let folder = home.join("snapshots").join(&model.sha);
        let locks = self.cache.join(".locks").join(format!("models--{owner}--{name}"));
        files::make_folder(&locks)?;
        // One download at a time; on a file system without locks, none is waited for.
        let lock = File::create(locks.join("hh.lock")).ok();
        let _ = lock.as_ref().map(File::lock);
        for file in &wanted {
            self.file(of, &home, &model.sha, file)?;
        }
        let reference = home.join("refs").join(revision);
        if !is_commit(revision) {
            files::make_folder(&files::folder_of(&reference))?;
            files::write_atomically(&reference, |w| w.write_all(model.sha.as_bytes()))?;
        }
        Ok(folder)
    }

    /// Makes a file of a snapshot.
    fn file(&self, of: &Repository, home: &Path, commit: &str, file: &str) -> Result<()> {
        let to = home.join("snapshots").join(commit).join(file);
        if to.is_file() {
            return Ok(());
        }
        let url = format!("{}/{}/{}/resolve/{commit}/{}", self.endpoint, of.owner, of.name, percent_encoded(file));
        let etag = self.client.etag(&url).map_err(|failure| match failure {
            Failure::Passing(problem) => anyhow!("cannot reach {}: {problem}", self.endpoint),
            Failure::Status(status) => refused(of, status),
            Failure::Final(e) => e,
        })?;
        let name = etag.trim_start_matches("W/").trim_matches('"');
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            bail!("{url} has the etag {etag:?}, which is no name of a file");
        }
        let blob = home.join("blobs").join(name);
        if !blob.is_file() {
            files::make_folder(&home.join("blobs"))?;
            let bar = Bar::new("{msg} {bar:30} {bytes} of {total_bytes}  {bytes_per_sec}  {eta}", 0, 0);
            bar.set_message(file.to_owned());
            let mut show = |progress: Progress| {
                bar.set_length(progress.total.unwrap_or(progress.done));
                bar.set(progress.done);
            };
            // Of large files the etag is the checksum.
            let sha256 = Some(name).filter(|name| name.len() == 64);
            let done = self.client.download(&url, &blob, sha256, &mut show);
            bar.finish();
            done?;
        }
        files::make_folder(&files::folder_of(&to))?;
        link(&blob, &to, file.split('/').count() + 1).map_err(|e| anyhow!("cannot write {}: {}", to.display(), files::remedy(&e)))
    }
}

/// A snapshot of the cache that has weights.
fn cached(home: &Path, revision: &str) -> Option<PathBuf> {
    let commit = fs::read_to_string(home.join("refs").join(revision)).map_or_else(|_| revision.to_owned(), |text| text.trim().to_owned());
    let folder = home.join("snapshots").join(commit);
    (is_commit(folder.file_name()?.to_str()?) && folder.join(WEIGHTS).is_file()).then_some(folder)
}

/// A relative link `up` folders above, as the other libraries make them; a copy where there are no links.
fn link(blob: &Path, to: &Path, up: usize) -> std::io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::symlink(
        ["../"].repeat(up).concat() + "blobs/" + &blob.file_name().unwrap_or_default().to_string_lossy(),
        to,
    );
    #[cfg(not(unix))]
    {
        let _ = up;
        fs::copy(blob, to).map(drop)
    }
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a file of a model is one that hh reads: those of its folder, and of the modules in it.
fn is_read(file: &str) -> bool {
    let plain = |name: &str| !name.starts_with('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let name = match file.split_once('/') {
        None => file,
        Some((folder, name)) if plain(folder) && ["config.json", WEIGHTS].contains(&name) => name,
        Some(_) => return false,
    };
    use hh::hugging_face::{CONFIG_JSON, MODULES_JSON, PROMPTS_JSON, TOKENIZER_JSON};
    [CONFIG_JSON, WEIGHTS, TOKENIZER_JSON, MODULES_JSON, PROMPTS_JSON].contains(&name)
}

/// A revision as one part of an address.
fn encoded(revision: &str) -> String {
    percent_encoded(revision).replace('/', "%2F")
}

fn refused(of: &Repository, status: u16) -> anyhow::Error {
    match status {
        401 | 403 => {
            anyhow!("{of} does not exist, or is private or gated (the Hub answers {status}): set HF_TOKEN to a token that may read it")
        }
        404 => anyhow!("{of} does not exist (the Hub answers 404); check its name and revision"),
        status => anyhow!("the Hub answers {status} about {of}; try again later"),
    }
}
