//! Runs the model for one request.

use super::request::Work;
use crate::serve::request::Place;
use crate::serve::sessions::Claim;
use crate::serve::turns::LongWork;
use crate::serve::{Failure, Server};
use hh::{Error, GenerateOptions, LoadedModel, SamplerConfig, TextSession};
use hh_cpu::{Cpu, Tensor, Threads};
use std::sync::Arc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, Receiver, Sender};

/// Pieces of a text that wait for a slow client before the model does.
const WAITING: usize = 64;
/// Tokens of a prompt that are read in one turn.
const READ: usize = 128;
/// Tokens that are drawn in one turn.
const DRAW: usize = 16;

/// What comes from the thread that runs the model.
pub(super) enum Piece {
    Text { index: usize, text: String },
    End { index: usize, reason: &'static str, tokens: usize },
    Failed(Failure),
}

/// The client has left.
struct Gone;

/// Runs the model on a thread of its own, which ends when the receiver is dropped.
pub(super) fn begin(
    server: Arc<Server>,
    model: Arc<LoadedModel<Tensor<f32>>>,
    work: Work,
    claim: Option<Claim>,
    place: Place,
) -> Receiver<Piece> {
    let (sender, receiver) = mpsc::channel(WAITING);
    server.clone().turns.begin(move |turn| {
        let mut client = Client { sender, turn };
        for (i, prompt) in work.prompts.iter().enumerate() {
            match texts(&server, &model, &work, claim.as_ref(), prompt, i * work.choices, &mut client) {
                Ok(Ok(())) => {}
                Ok(Err(Gone)) => break,
                Err(e) => {
                    let _ = client.send(Piece::Failed(Failure::ours(e)));
                    break;
                }
            }
        }
        drop((claim, place));
    });
    receiver
}

/// The texts that continue one prompt, which is read once; `first` is the index of the first of them.
fn texts(
    server: &Server,
    model: &Arc<LoadedModel<Tensor<f32>>>,
    work: &Work,
    claim: Option<&Claim>,
    (echo, prompt): &(Option<String>, Vec<u32>),
    first: usize,
    client: &mut Client<'_>,
) -> Result<Result<(), Gone>, Error> {
    let mut session = TextSession::new(Cpu::<f32>::new(Threads::one()), model.clone(), None, None)?;
    let mut done = 0;
    match claim.map(|claim| server.sessions.state(claim)).transpose()?.flatten() {
        Some(state) => session.restore(&state)?,
        None => done = server.prefixes.start(&mut session, prompt)?,
    }
    let known = done;
    let continued = session.position() > known as u64;
    while done < prompt.len() {
        if client.is_gone() {
            return Ok(Err(Gone));
        }
        if continued {
            let end = prompt.len().min(done + READ);
            session.prefill_tokens(&prompt[done..end])?;
            done = end;
        } else {
            done = server.prefixes.read(&mut session, prompt, done)?;
        }
        client.turn.pass();
    }
    server.metrics.read(prompt.len() - known);
    let start = if work.choices > 1 { Some(session.snapshot()?) } else { None };
    for choice in 0..work.choices {
        if let (Some(start), 1..) = (&start, choice) {
            session.restore(start)?;
        }
        let seed = work.options.sampler.seed.wrapping_add(choice as u64);
        let options = GenerateOptions { sampler: SamplerConfig { seed, ..work.options.sampler }, ..work.options.clone() };
        let (tokens, end) = match text(&mut session, &options, echo.as_deref(), first + choice, client)? {
            Ok(written) => written,
            Err(Gone) => return Ok(Err(Gone)),
        };
        server.metrics.generated(tokens);
        // A session is acknowledged by the end of its text, so it is kept before.
        if let Some(claim) = claim {
            server.sessions.keep(claim, &session.snapshot()?)?;
        }
        if client.send(end).is_err() {
            return Ok(Err(Gone));
        }
    }
    Ok(Ok(()))
}

/// One text, without its end: its tokens and what ends it.
fn text(
    session: &mut TextSession,
    options: &GenerateOptions,
    echo: Option<&str>,
    index: usize,
    client: &mut Client<'_>,
) -> Result<Result<(usize, Piece), Gone>, Error> {
    let mut decoder = session.decoder(options)?;
    if let Some(text) = echo
        && client.send(Piece::Text { index, text: text.to_owned() }).is_err()
    {
        return Ok(Err(Gone));
    }
    let (mut tokens, mut stopped) = (0, false);
    while tokens < options.max_tokens && !stopped {
        let piece = session.draw(&mut decoder)?;
        tokens += 1;
        stopped = piece.stopped;
        let rest = if stopped || tokens == options.max_tokens { decoder.rest() } else { String::new() };
        let text = piece.text + &rest;
        if (!text.is_empty() && client.send(Piece::Text { index, text }).is_err()) || client.is_gone() {
            return Ok(Err(Gone));
        }
        if tokens.is_multiple_of(DRAW) {
            client.turn.pass();
        }
    }
    let reason = if stopped { "stop" } else { "length" };
    Ok(Ok((tokens, Piece::End { index, reason, tokens })))
}

/// Who reads the text.
struct Client<'a> {
    sender: Sender<Piece>,
    turn: &'a mut LongWork,
}

impl Client<'_> {
    /// Sends a piece; while the client is slow, others have the turn.
    fn send(&mut self, piece: Piece) -> Result<(), Gone> {
        match self.sender.try_send(piece) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(Gone),
            Err(TrySendError::Full(piece)) => {
                let sender = &self.sender;
                self.turn.pause(|| sender.blocking_send(piece)).map_err(|_| Gone)
            }
        }
    }

    fn is_gone(&self) -> bool {
        self.sender.is_closed()
    }
}
