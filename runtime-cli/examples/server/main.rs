//! A server in the shape of OpenAI's: `/v1/embeddings`, `/v1/completions` (also as a stream of events) and `/v1/models`.
//!
//! ```sh
//! cargo run --release -p hh-runtime --example server -- model.safetensors 127.0.0.1:8080
//! curl localhost:8080/v1/embeddings -H 'content-type: application/json' -d '{"model": "model", "input": "A cat sits on the mat."}'
//! ```
//!
//! One model answers both, under the name of its file. A text whose client goes away is written no further. Ctrl-C lets
//! answers that were begun come to their end; once more ends at once.

mod completions;
mod embeddings;
mod openai;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use hh::{Embedder, LoadedModel};
use hh_cpu::{Cpu, Tensor, Threads};
use hh_runtime::loading::Source;
use openai::Failure;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use tokio::net::TcpListener;
use tokio::signal;
use tokio::sync::Semaphore;

/// What every request shares.
struct Shared {
    name: String,
    loaded: Arc<LoadedModel<Tensor<f32>>>,
    embedder: Embedder,
    /// Answers that are worked on at a time; others wait.
    seats: Arc<Semaphore>,
}

impl Shared {
    fn load(path: PathBuf) -> Result<Self> {
        let source = Source::open(&path)?;
        let loaded = source.load(&mut Cpu::new(Threads::one()), None)?;
        Ok(Self {
            name: source.path().file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            loaded: Arc::new(loaded),
            embedder: Embedder::from_file(source.path())?,
            seats: Arc::new(Semaphore::new(available_parallelism().map_or(1, usize::from))),
        })
    }

    /// Refuses a request for another model.
    fn require(&self, model: Option<&str>) -> Result<(), Failure> {
        match model {
            Some(other) if other != self.name => Err(Failure::no_model(other, &self.name)),
            _ => Ok(()),
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let (model, address) = match &args[..] {
        [model] => (model, "127.0.0.1:8080"),
        [model, address] => (model, address.to_str().context("the address is not text")?),
        _ => bail!("usage: server MODEL [ADDRESS:PORT]"),
    };
    let shared = Arc::new(Shared::load(model.into())?);
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    println!("{} on http://{}/v1", shared.name, listener.local_addr()?);
    axum::serve(listener, router(shared)).with_graceful_shutdown(interrupted()).await?;
    Ok(())
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/embeddings", post(embeddings::answer))
        .route("/v1/completions", post(completions::answer))
        .route("/v1/models", get(models))
        .fallback(|| async { Failure::no_route() })
        .method_not_allowed_fallback(|| async { Failure::no_method() })
        .with_state(shared)
}

async fn models(State(shared): State<Arc<Shared>>) -> axum::Json<Value> {
    axum::Json(json!({"object": "list", "data": [{"id": shared.name, "object": "model", "created": 0, "owned_by": "hh"}]}))
}

/// Comes to its end at Ctrl-C, after which another one ends the program.
async fn interrupted() {
    // Where it cannot be listened to, it ends the program as it does any other.
    if signal::ctrl_c().await.is_err() {
        return std::future::pending().await;
    }
    tokio::spawn(async {
        if signal::ctrl_c().await.is_ok() {
            std::process::exit(130);
        }
    });
}
