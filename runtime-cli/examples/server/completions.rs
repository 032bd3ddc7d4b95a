//! `/v1/completions`.

use crate::Shared;
use crate::openai::{Body, Failure, Texts, now};
use anyhow::Result;
use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use hh::{Decoder, StopStrings, TextSession};
use hh_core::config::Positions;
use hh_core::sample::{Sampler, SamplerConfig};
use hh_cpu::{Cpu, Threads};
use hh_runtime::generate::write;
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::error::SendError;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

/// Prompts of a request at most.
const MOST: usize = 128;
/// Tokens of a text unless asked otherwise, as OpenAI has it.
const TOKENS: usize = 16;
/// Pieces of a text that wait for a slow client before the model does.
const WAITING: usize = 64;

#[derive(Deserialize)]
pub(crate) struct Asked {
    model: Option<String>,
    prompt: Texts,
    max_tokens: Option<usize>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    seed: Option<i64>,
    stop: Option<Texts>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    n: Option<u32>,
    best_of: Option<u32>,
    echo: Option<bool>,
    logprobs: Option<Value>,
    suffix: Option<String>,
}

#[derive(Deserialize, Default)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// A request that can be followed.
struct Work {
    /// Each prompt as ids.
    prompts: Vec<Vec<u32>>,
    tokens: usize,
    sampler: SamplerConfig,
    stops: StopStrings,
}

/// What comes from the thread that runs the model.
enum Piece {
    Text { index: usize, text: String },
    End { index: usize, reason: &'static str, tokens: usize },
    Failed(Failure),
}

pub(crate) async fn answer(State(shared): State<Arc<Shared>>, Body(asked): Body<Asked>) -> Result<Response, Failure> {
    shared.require(asked.model.as_deref())?;
    let stream = asked.stream.unwrap_or(false);
    let usage = asked.stream_options.as_ref().is_some_and(|options| options.include_usage);
    let work = work(&shared, asked)?;
    let read = work.prompts.iter().map(Vec::len).sum();
    let told = Told { id: id(), created: now(), model: shared.name.clone(), read };
    let pieces = begin(shared, work);
    if stream { Ok(told.stream(pieces, usage)) } else { told.whole(pieces).await.map(IntoResponse::into_response) }
}

fn work(shared: &Shared, asked: Asked) -> Result<Work, Failure> {
    let unknown = [
        ("n", asked.n.is_some_and(|n| n != 1)),
        ("best_of", asked.best_of.is_some_and(|n| n != 1)),
        ("echo", asked.echo == Some(true)),
        ("logprobs", asked.logprobs.is_some_and(|n| !n.is_null())),
        ("suffix", asked.suffix.is_some_and(|suffix| !suffix.is_empty())),
    ];
    if let Some((field, _)) = unknown.into_iter().find(|(_, asked)| *asked) {
        return Err(Failure::field(field, format!("{field} is not supported here: leave it out")));
    }
    let tokens = asked.max_tokens.unwrap_or(TOKENS);
    if tokens == 0 {
        return Err(Failure::field("max_tokens", "max_tokens is 0; give 1 or more"));
    }
    let prompts = asked.prompt.list("prompt", MOST)?;
    let ids = |prompt: &String| shared.loaded.tokenizer.encode(prompt).map_err(|e| Failure::field("prompt", e.to_string()));
    let prompts = prompts.iter().map(ids).collect::<Result<Vec<_>, _>>()?;
    let config = &shared.loaded.model.config;
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0).saturating_add(tokens) - 1;
    if config.positions == Positions::Learned && longest > config.max_len {
        return Err(Failure::too_long(format!("the text would have {longest} tokens; this model has {} positions", config.max_len)));
    }
    let stops = match asked.stop {
        None | Some(Texts::Other(Value::Null)) => Vec::new(),
        Some(stops) => stops.list("stop", 4)?,
    };
    let seed = asked.seed.map_or_else(chance, |seed| seed as u64);
    let sampler =
        SamplerConfig { temperature: asked.temperature.unwrap_or(1.0), top_p: asked.top_p.unwrap_or(1.0), seed, ..Default::default() };
    if let Err(e) = sampler.validate() {
        let field = if sampler.top_p > 0.0 && sampler.top_p <= 1.0 { "temperature" } else { "top_p" };
        return Err(Failure::field(field, e.to_string()));
    }
    Ok(Work { prompts, tokens, sampler, stops: StopStrings::new(stops) })
}

/// Runs the model on a thread of its own, which ends when nobody listens any more.
fn begin(shared: Arc<Shared>, work: Work) -> Receiver<Piece> {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let seat = tokio::select! {
            seat = shared.seats.clone().acquire_owned() => seat,
            () = sender.closed() => return,
        };
        tokio::task::spawn_blocking(move || {
            if let Err(e) = run(&shared, &work, &sender) {
                // Nobody may be there to hear it, which is no failure.
                let _ = sender.blocking_send(Piece::Failed(Failure::ours(e)));
            }
            drop(seat);
        });
    });
    receiver
}

fn run(shared: &Shared, work: &Work, sender: &Sender<Piece>) -> Result<()> {
    for (index, prompt) in work.prompts.iter().enumerate() {
        let mut session = TextSession::new(Cpu::<f32>::new(Threads::one()), shared.loaded.clone(), None, None)?;
        let mut sampler = Sampler::new(work.sampler, session.tokenizer().vocab_size())?;
        prompt.iter().for_each(|&id| sampler.observe(id));
        let mut decoder = Decoder::new(sampler, work.stops.clone(), session.tokenizer());
        session.queue(prompt);
        let written = write(&mut session, &mut decoder, work.tokens, &mut Pieces { index, sender }, &|| !sender.is_closed())?;
        let reason = if written.stopped { "stop" } else { "length" };
        sender.blocking_send(Piece::End { index, reason, tokens: written.tokens })?;
    }
    Ok(())
}

/// Sends what is written.
struct Pieces<'a> {
    index: usize,
    sender: &'a Sender<Piece>,
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let sent = self.sender.blocking_send(Piece::Text { index: self.index, text });
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What all parts of an answer repeat.
struct Told {
    id: String,
    created: u64,
    model: String,
    /// Tokens of the prompts.
    read: usize,
}

impl Told {
    fn body(&self, choices: Vec<Value>) -> Value {
        json!({"id": self.id, "object": "text_completion", "created": self.created, "model": self.model, "choices": choices})
    }

    fn usage(&self, written: usize) -> Value {
        json!({"prompt_tokens": self.read, "completion_tokens": written, "total_tokens": self.read + written})
    }

    /// The whole answer, when it is there.
    async fn whole(self, mut pieces: Receiver<Piece>) -> Result<Json<Value>, Failure> {
        let (mut texts, mut choices, mut written) = (String::new(), Vec::new(), 0);
        while let Some(piece) = pieces.recv().await {
            match piece {
                Piece::Text { text, .. } => texts.push_str(&text),
                Piece::End { index, reason, tokens } => {
                    choices.push(choice(index, &std::mem::take(&mut texts), Some(reason)));
                    written += tokens;
                }
                Piece::Failed(failure) => return Err(failure),
            }
        }
        let mut body = self.body(choices);
        body["usage"] = self.usage(written);
        Ok(Json(body))
    }

    /// An event for each piece of text, as it comes.
    fn stream(self, pieces: Receiver<Piece>, usage: bool) -> Response {
        let (sender, events) = mpsc::channel(1);
        tokio::spawn(self.tell(pieces, usage, sender));
        Sse::new(ReceiverStream::new(events).map(|data: String| Ok::<_, Infallible>(Event::default().data(data)))).into_response()
    }

    /// Sends the data of the events until all are sent or nobody listens; the model stops with it.
    async fn tell(self, mut pieces: Receiver<Piece>, usage: bool, sender: Sender<String>) -> Result<(), SendError<String>> {
        let mut written = 0;
        loop {
            let piece = tokio::select! {
                piece = pieces.recv() => piece,
                () = sender.closed() => return Ok(()),
            };
            let data = match piece {
                Some(Piece::Text { index, text }) => self.body(vec![choice(index, &text, None)]),
                Some(Piece::End { index, reason, tokens }) => {
                    written += tokens;
                    self.body(vec![choice(index, "", Some(reason))])
                }
                Some(Piece::Failed(failure)) => return sender.send(failure.body().to_string()).await,
                None => break,
            };
            sender.send(data.to_string()).await?;
        }
        if usage {
            let mut last = self.body(Vec::new());
            last["usage"] = self.usage(written);
            sender.send(last.to_string()).await?;
        }
        sender.send("[DONE]".into()).await
    }
}

fn choice(index: usize, text: &str, reason: Option<&str>) -> Value {
    json!({"index": index, "text": text, "logprobs": null, "finish_reason": reason})
}

/// A name that no other answer of this server has.
fn id() -> String {
    static ANSWERS: AtomicU64 = AtomicU64::new(0);
    format!("cmpl-{:x}-{}", now(), ANSWERS.fetch_add(1, Ordering::Relaxed))
}

/// A seed that nobody chose.
fn chance() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
