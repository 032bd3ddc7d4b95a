//! `hh-runtime serve`: a server with the interface of OpenAI's.

use crate::interrupt::{Ending, Interrupt};
use crate::serve::{self, Options, Origins};
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

/// The long description.
pub(super) const ABOUT: &str = "\
Answer embeddings and completions over HTTP, with the interface of OpenAI's

Routes: POST /v1/embeddings and /v1/completions (also streamed), GET /v1/models, /v1/models/ID, /health and /metrics (Prometheus). \
Without a checkpoint the English embedding model answers. A checkpoint that was trained for embeddings gives embeddings; a language \
model gives completions, and the mean of its hidden states as embeddings.";

const EXAMPLES: &str = "\
Examples:
  hh-runtime serve
      the English embedding model on http://127.0.0.1:8080/v1
  hh-runtime serve runs/char-4.5m-1 --listen 0.0.0.0:80 --alias gpt-3.5-turbo-instruct
      a language model on all interfaces, also under another name
  curl localhost:8080/v1/embeddings -H 'content-type: application/json' -d '{\"input\": \"A cat sits on the mat.\"}'

The server has no TLS: put a proxy before it where others can listen. Nothing that a client sends is printed or stored. Ctrl-C and \
SIGTERM let answers come to their end; a second Ctrl-C ends at once.";

/// Environment variable of the key.
const KEY: &str = "HH_API_KEY";

/// Arguments of `serve`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A checkpoint, a run folder (its best.safetensors is used), a Hugging Face folder, or hf://owner/name of the Hub [default: the English embedding model]
    model: Option<PathBuf>,
    /// Address and port; port 0 takes a free one, which is printed
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: String,
    /// Another name of the model; can be repeated
    #[arg(long = "alias", value_name = "NAME")]
    aliases: Vec<String>,
    /// Key that requests must carry as `Authorization: Bearer KEY`; the environment variable HH_API_KEY hides it from other users
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// Web pages that may send requests: * or a list of origins
    #[arg(long, value_name = "ORIGINS")]
    cors: Option<Origins>,
    /// Threads that compute [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Requests that are answered at a time; others get status 429
    #[arg(long, value_name = "N", default_value_t = 256)]
    max_requests: usize,
    /// Texts that are continued together, a token of each at a time; others wait for a place
    #[arg(long, value_name = "N", default_value_t = 32)]
    max_batch: usize,
    /// Open connections; others wait
    #[arg(long, value_name = "N", default_value_t = 4096)]
    max_connections: usize,
    /// Largest body of a request in MiB; others get status 413
    #[arg(long, value_name = "MIB", default_value_t = 16)]
    max_body: usize,
    /// Most tokens of a text to embed, or of a prompt; others get status 400
    #[arg(long, value_name = "N", default_value_t = 32_768)]
    max_tokens: usize,
    /// Memory in MiB for the states of prompts that were read and of sessions; 0 keeps none
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    cache: usize,
    /// Folder that keeps sessions across restarts; it is made if it does not exist
    #[arg(long, value_name = "DIR")]
    sessions: Option<PathBuf>,
    /// Seconds for a client to send a request, or to take the next piece of a stream
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    /// Print method, route, status and time of each request to the standard error
    #[arg(long)]
    log: bool,
}

/// Serves until it is interrupted.
///
/// # Errors
/// A limit of 0, a model that cannot be loaded, or an address that cannot be listened on.
pub fn run(args: Args, interrupt: Interrupt) -> Result<Ending> {
    let limits = [
        ("--threads", args.threads.unwrap_or(1)),
        ("--max-requests", args.max_requests),
        ("--max-batch", args.max_batch),
        ("--max-connections", args.max_connections),
        ("--max-body", args.max_body),
        ("--max-tokens", args.max_tokens),
        ("--timeout", args.timeout as usize),
    ];
    if let Some((flag, value)) = limits.into_iter().find(|(_, value)| !(1..=1 << 20).contains(value)) {
        bail!("{flag} is {value}: give 1 to {}", 1 << 20);
    }
    if args.cache > 1 << 20 {
        bail!("--cache is {}: give 0 to {} MiB", args.cache, 1 << 20);
    }
    let key = args.api_key.or_else(|| std::env::var(KEY).ok());
    if key.as_ref().is_some_and(|key| key.trim().is_empty()) {
        bail!("the key of --api-key or {KEY} is empty: give one, or neither");
    }
    let options = Options {
        model: args.model,
        listen: args.listen,
        aliases: args.aliases,
        key,
        origins: args.cors,
        threads: args.threads.unwrap_or_else(|| available_parallelism().map_or(1, usize::from)),
        requests: args.max_requests,
        batch: args.max_batch,
        connections: args.max_connections,
        body: args.max_body << 20,
        tokens: args.max_tokens,
        cache: args.cache << 20,
        sessions: args.sessions,
        patience: Duration::from_secs(args.timeout),
        log: args.log,
    };
    serve::run(options, interrupt.listen_quietly()?)?;
    Ok(Ending::Done)
}
