//! `hh-runtime serve`: an HTTP server with the interface of OpenAI's.
//!
//! One model answers. The computation is divided into turns, short pieces of work; there are as many turns at a time as threads, given
//! out in the order in which they were asked for. So a short request waits for a few turns of the long ones before it, not for their
//! end, and what a client that has left asked for is not begun. Texts of all requests are drawn together, a token of each in a turn.

mod completions;
mod cross_origin;
mod embeddings;
mod failure;
mod guard;
mod listen;
mod metrics;
mod patient;
mod request;
mod routes;
mod sessions;
mod turns;

pub use cross_origin::Origins;

#[cfg(not(feature = "english"))]
use crate::features::{Absent, Feature};
use crate::loading::Source;
use crate::stdout;
use anyhow::{Context, Result};
use completions::Batch;
use failure::Failure;
use hh::{Embedder, Error, LoadedModel, PrefixCache, TextModel, TextSession};
use hh_core::embed::CONVENTION;
use hh_cpu::{Cpu, Tensor, Threads};
use metrics::Metrics;
use sessions::Sessions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use turns::Turns;

/// What the server is asked to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// A checkpoint or the folder of a run; the English embedding model if absent.
    pub model: Option<PathBuf>,
    /// Address and port.
    pub listen: String,
    /// Further names of the model.
    pub aliases: Vec<String>,
    /// The key that requests must carry.
    pub key: Option<String>,
    /// Pages of these origins may send requests.
    pub origins: Option<Origins>,
    /// Threads that compute.
    pub threads: usize,
    /// Requests that are answered at a time.
    pub requests: usize,
    /// Texts that are continued together.
    pub batch: usize,
    /// Open connections.
    pub connections: usize,
    /// Largest body of a request, in bytes.
    pub body: usize,
    /// Most tokens of a text to embed, or of a prompt with its continuation.
    pub tokens: usize,
    /// Bytes of states of prompts, and as many of states of sessions.
    pub cache: usize,
    /// Where sessions are kept across restarts.
    pub sessions: Option<PathBuf>,
    /// Longest time to receive a request, and to wait for a client that takes nothing of its answer.
    pub patience: Duration,
    /// Prints a line for each request, without anything that the client wrote.
    pub log: bool,
}

/// What all requests share.
struct Server {
    options: Options,
    /// Its own name, then the aliases.
    names: Vec<String>,
    created: u64,
    model: Model,
    embedder: Embedder,
    turns: Arc<Turns>,
    /// Of a language model, unless it has an episodic memory.
    batch: Option<Batch>,
    /// Sessions of the library that no text needs, to be used again: a new one takes megabytes.
    idle: Mutex<Vec<TextSession>>,
    /// States of prompts.
    prefixes: PrefixCache,
    sessions: Sessions,
    /// Requests that may begin.
    places: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// What the model is for.
enum Model {
    /// Embeddings alone.
    Embedding,
    /// A language model, whose hidden states are embeddings as well.
    Language(Arc<LoadedModel<Tensor<f32>>>),
}

/// Answers requests until `stop` is set, then those that were begun.
///
/// # Errors
/// A model that cannot be loaded, an address that cannot be listened on.
pub fn run(options: Options, stop: Arc<AtomicBool>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        // Each turn is computed on one; the name of an address may be looked up on another.
        .max_blocking_threads(options.threads + 1)
        .enable_all()
        .build()
        .context("cannot start the threads of the server")?;
    let server = Arc::new(Server::load(options, runtime.handle().clone())?);
    runtime.block_on(async {
        let listener = TcpListener::bind(&server.options.listen).await;
        let listener = listener.with_context(|| format!("cannot listen on {}: give another --listen", server.options.listen))?;
        let mut out = stdout::lock();
        writeln!(out, "{} on http://{}/v1", server.names[0], listener.local_addr()?)?;
        out.flush()?;
        drop(out);
        listen::serve(listener, server, stop).await;
        Ok(())
    })
}

impl Server {
    fn load(options: Options, runtime: Handle) -> Result<Self> {
        let (name, created, model, embedder) = match &options.model {
            Some(path) => open(path)?,
            None => ("english".to_owned(), 0, Model::Embedding, english()?),
        };
        let (turns, metrics) = (Arc::new(Turns::new(options.threads)), Arc::new(Metrics::default()));
        let batch = match &model {
            Model::Language(loaded) if loaded.model.config.episodic_width == 0 => {
                let model = TextModel::from_loaded(loaded.clone());
                Some(Batch::start(model, options.batch, options.threads, turns.clone(), metrics.clone(), runtime)?)
            }
            _ => None,
        };
        Ok(Self {
            names: [name].into_iter().chain(options.aliases.iter().cloned()).collect(),
            created,
            model,
            embedder: embedder.with_threads(1),
            turns,
            batch,
            idle: Mutex::default(),
            prefixes: PrefixCache::new(options.cache),
            sessions: Sessions::open(options.sessions.as_deref(), options.cache)?,
            places: Arc::new(Semaphore::new(options.requests)),
            metrics,
            options,
        })
    }

    /// A session, whatever it has read.
    fn session(&self, model: &Arc<LoadedModel<Tensor<f32>>>) -> Result<TextSession, Error> {
        match self.idle().pop() {
            Some(session) => Ok(session),
            None => TextSession::new(Cpu::new(Threads::one()), model.clone(), None, None),
        }
    }

    /// Keeps a session for another text, if not more are kept than texts are drawn at a time.
    fn give_back(&self, session: TextSession) {
        let mut idle = self.idle();
        if idle.len() < self.options.batch {
            idle.push(session);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<TextSession>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses a request for another model.
    fn require(&self, model: Option<&str>) -> Result<(), Failure> {
        match model {
            Some(asked) if !self.names.iter().any(|name| name == asked) => Err(Failure::no_model(asked, &self.names)),
            _ => Ok(()),
        }
    }
}

fn open(path: &Path) -> Result<(String, u64, Model, Embedder)> {
    let source = Source::open(path)?;
    let model = match source.checkpoint()?.metadata().contains_key(CONVENTION) {
        true => Model::Embedding,
        false => Model::Language(Arc::new(source.load(&mut Cpu::new(Threads::one()), None)?)),
    };
    let name = source.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let changed = source.path().metadata().and_then(|file| file.modified()).map_or(0, seconds);
    Ok((name, changed, model, Embedder::from_file(source.path())?))
}

#[cfg(feature = "english")]
fn english() -> Result<Embedder> {
    Ok(Embedder::english()?)
}

#[cfg(not(feature = "english"))]
fn english() -> Result<Embedder> {
    Err(anyhow::Error::from(Absent(Feature::English)).context("no model is given"))
}

/// Whether bytes are the body of a request for embeddings or completions; for fuzzing.
pub fn is_request(body: &[u8]) -> bool {
    serde_json::from_slice::<embeddings::Asked>(body).is_ok_and(|asked| asked.texts().is_ok())
        || serde_json::from_slice::<completions::Asked>(body).is_ok()
}

/// Seconds since 1970.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
