//! Answers, whole or as a stream of server-sent events.

use super::generate::Piece;
use super::request::Work;
use crate::serve::{Failure, Server, seconds};
use axum::Json;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

/// What all parts of an answer repeat.
pub(super) struct Answer {
    id: String,
    created: u64,
    model: String,
    /// Tokens of the prompts.
    prompt_tokens: usize,
    /// The session that goes on.
    session: Option<String>,
}

/// The client has left, or does not take its answer.
struct Gone;

impl Answer {
    pub(super) fn new(server: &Server, work: &Work) -> Self {
        static ANSWERS: AtomicU64 = AtomicU64::new(0);
        let created = seconds(SystemTime::now());
        Self {
            id: format!("cmpl-{created:x}-{}", ANSWERS.fetch_add(1, Ordering::Relaxed)),
            created,
            model: server.names[0].clone(),
            session: work.session.clone(),
            prompt_tokens: work.prompts.iter().map(|(_, ids)| ids.len()).sum(),
        }
    }

    fn body(&self, choices: Vec<Value>) -> Value {
        json!({"id": self.id, "object": "text_completion", "created": self.created, "model": self.model, "choices": choices})
    }

    fn usage(&self, written: usize) -> Value {
        json!({"prompt_tokens": self.prompt_tokens, "completion_tokens": written, "total_tokens": self.prompt_tokens + written})
    }

    /// The whole answer, when it is complete.
    pub(super) async fn whole(self, mut pieces: Receiver<Piece>) -> Result<Json<Value>, Failure> {
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
        if let Some(name) = &self.session {
            body["session"] = json!(name);
        }
        Ok(Json(body))
    }

    /// An event for each piece of text. A client that takes none for as long as `patience` loses its stream, and the model stops.
    pub(super) fn stream(self, pieces: Receiver<Piece>, usage: bool, patience: Duration) -> Response {
        let (sender, events) = mpsc::channel(1);
        tokio::spawn(async move {
            // Without a client there is nothing left to do.
            let _ = self.send(pieces, usage, &Events { sender, patience }).await;
        });
        Sse::new(ReceiverStream::new(events).map(|data: String| Ok::<_, Infallible>(Event::default().data(data)))).into_response()
    }

    async fn send(self, mut pieces: Receiver<Piece>, usage: bool, events: &Events) -> Result<(), Gone> {
        let mut written = 0;
        loop {
            let piece = tokio::select! {
                piece = pieces.recv() => piece,
                () = events.sender.closed() => return Err(Gone),
            };
            let data = match piece {
                Some(Piece::Text { index, text }) => self.body(vec![choice(index, &text, None)]),
                Some(Piece::End { index, reason, tokens }) => {
                    written += tokens;
                    let mut end = self.body(vec![choice(index, "", Some(reason))]);
                    if let Some(name) = &self.session {
                        end["session"] = json!(name);
                    }
                    end
                }
                Some(Piece::Failed(failure)) => return events.send(failure.body().to_string()).await,
                None => break,
            };
            events.send(data.to_string()).await?;
        }
        if usage {
            let mut last = self.body(Vec::new());
            last["usage"] = self.usage(written);
            events.send(last.to_string()).await?;
        }
        events.send("[DONE]".into()).await
    }
}

/// Where the events go.
struct Events {
    sender: Sender<String>,
    patience: Duration,
}

impl Events {
    async fn send(&self, data: String) -> Result<(), Gone> {
        timeout(self.patience, self.sender.send(data)).await.map_err(|_| Gone)?.map_err(|_| Gone)
    }
}

fn choice(index: usize, text: &str, reason: Option<&str>) -> Value {
    json!({"index": index, "text": text, "logprobs": null, "finish_reason": reason})
}
