//! Reads prompts and draws texts for one request.

use super::batch::Place;
use super::request::Work;
use super::stream::{Pause, Stream};
use crate::serve::request;
use crate::serve::sessions::Claim;
use crate::serve::{Failure, Server};
use hh::{Error, GenerateOptions, LoadedModel, SamplerConfig, TextSession};
use hh_cpu::Tensor;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc::{self, Receiver, Sender};

/// Pieces of a text that wait for a slow client before its text does.
const WAITING: usize = 64;
/// Tokens of a prompt that are read in one turn.
const READ: usize = 128;

/// A part of an answer.
pub(super) enum Piece {
    Text { index: usize, text: String },
    End { index: usize, reason: &'static str, tokens: usize },
    Failed(Failure),
}

/// Why a request ends early.
enum Stop {
    /// The client has left.
    Gone,
    Failed(Failure),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(Failure::ours(error))
    }
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(Failure::ours(error))
    }
}

/// Answers a request in a task of its own, which ends when the receiver is dropped.
pub(super) fn begin(
    server: Arc<Server>,
    model: Arc<LoadedModel<Tensor<f32>>>,
    work: Work,
    claim: Option<Claim>,
    place: request::Place,
) -> Receiver<Piece> {
    let (client, receiver) = mpsc::channel(WAITING);
    let answer = Answer { server, model, work: Arc::new(work), claim: claim.map(Arc::new), client, asked: Instant::now() };
    tokio::spawn(async move {
        for prompt in 0..answer.work.prompts.len() {
            match answer.texts(prompt).await {
                Ok(()) => {}
                Err(Stop::Gone) => break,
                Err(Stop::Failed(failure)) => {
                    let _ = answer.client.send(Piece::Failed(failure)).await;
                    break;
                }
            }
        }
        drop((answer, place));
    });
    receiver
}

/// What all texts of a request share.
struct Answer {
    server: Arc<Server>,
    model: Arc<LoadedModel<Tensor<f32>>>,
    work: Arc<Work>,
    claim: Option<Arc<Claim>>,
    client: Sender<Piece>,
    asked: Instant,
}

impl Answer {
    /// The texts that continue one prompt, which is read once.
    async fn texts(&self, prompt: usize) -> Result<(), Stop> {
        let mut place = self.place().await?;
        let mut session = self.read(prompt).await?;
        let choices = self.work.choices;
        let start = match choices {
            1 => None,
            _ => {
                let (back, start) = self.server.turns.run(move || session.snapshot().map(|start| (session, Arc::new(start)))).await??;
                session = back;
                Some(start)
            }
        };
        for choice in 0..choices {
            let options = &self.work.options;
            let seed = options.sampler.seed.wrapping_add(choice as u64);
            let options = GenerateOptions { sampler: SamplerConfig { seed, ..options.sampler }, ..options.clone() };
            if let (Some(start), 1..) = (start.clone(), choice) {
                session = self.server.turns.run(move || session.restore(&start).map(|()| session)).await??;
            }
            let (index, left) = (prompt * choices + choice, options.max_tokens);
            if let Some(echo) = &self.work.prompts[prompt].0 {
                self.send(Piece::Text { index, text: echo.clone() }).await?;
            }
            let (decoder, client) = (Some(session.decoder(&options)?), self.client.clone());
            // Only the first text of a request is waited for from the beginning.
            let asked = (index == 0).then_some(self.asked);
            let stream = Stream { session, decoder, client, index, asked, drawn: 0, left, reason: None };
            let stream = self.draw(stream, &mut place).await?;
            let (reason, tokens) = (stream.reason.unwrap_or("length"), stream.drawn);
            session = stream.session;
            // A session is acknowledged by the end of its text, so it is kept before.
            if let Some(claim) = self.claim.clone() {
                let server = self.server.clone();
                session = self.server.turns.run(move || server.sessions.keep(&claim, &session.snapshot()?).map(|()| session)).await??;
            }
            self.send(Piece::End { index, reason, tokens }).await?;
        }
        self.server.give_back(session);
        Ok(())
    }

    /// A session that has read a prompt, after the text of the request's session if there is one.
    async fn read(&self, prompt: usize) -> Result<TextSession, Stop> {
        let (server, model, work, claim) = (self.server.clone(), self.model.clone(), self.work.clone(), self.claim.clone());
        let begin = move || -> Result<_, Stop> {
            let mut session = server.session(&model)?;
            let unusable = |e: Error| Stop::Failed(Failure::unusable_session(e));
            let state = claim.map(|claim| server.sessions.state(&claim)).transpose().map_err(unusable)?.flatten();
            let known = match &state {
                Some(state) => session.restore(state).map(|()| 0).map_err(unusable)?,
                None => server.prefixes.start(&mut session, &work.prompts[prompt].1)?,
            };
            Ok((session, known, state.is_some()))
        };
        let (mut session, known, continued) = self.server.turns.run(begin).await??;
        let (mut done, all) = (known, self.work.prompts[prompt].1.len());
        while done < all {
            if self.client.is_closed() {
                return Err(Stop::Gone);
            }
            let (server, work) = (self.server.clone(), self.work.clone());
            let read = move || -> Result<_, Error> {
                let ids = &work.prompts[prompt].1;
                if !continued {
                    let done = server.prefixes.read(&mut session, ids, done)?;
                    return Ok((session, done));
                }
                let end = ids.len().min(done + READ);
                session.prefill_tokens(&ids[done..end])?;
                Ok((session, end))
            };
            (session, done) = self.server.turns.run(read).await??;
        }
        self.server.metrics.read(all - known);
        Ok(session)
    }

    /// Draws a text to its end: with those of other requests, or in turns where the model cannot. While its client is slow, its
    /// place is another's.
    async fn draw(&self, mut stream: Stream, place: &mut Option<Place>) -> Result<Stream, Stop> {
        loop {
            let (drawn, pause) = match &self.server.batch {
                Some(batch) => batch.draw(stream).await?,
                None => {
                    let metrics = self.server.metrics.clone();
                    let draw = move || {
                        let pause = stream.draw(&metrics);
                        (stream, pause)
                    };
                    self.server.turns.run(draw).await?
                }
            };
            stream = drawn;
            match pause? {
                Pause::End => return Ok(stream),
                Pause::Gone => return Err(Stop::Gone),
                Pause::Turn => *place = None,
                Pause::Full(piece) => {
                    *place = None;
                    self.send(piece).await?;
                    if stream.reason.is_some() {
                        return Ok(stream);
                    }
                }
            }
            *place = self.place().await?;
        }
    }

    /// A place among the texts that are read and drawn.
    async fn place(&self) -> Result<Option<Place>, Stop> {
        let Some(batch) = &self.server.batch else { return Ok(None) };
        tokio::select! {
            place = batch.place() => Ok(Some(place?)),
            () = self.client.closed() => Err(Stop::Gone),
        }
    }

    async fn send(&self, piece: Piece) -> Result<(), Stop> {
        self.client.send(piece).await.map_err(|_| Stop::Gone)
    }
}
