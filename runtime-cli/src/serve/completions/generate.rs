//! Runs the model for one request.

use super::request::Work;
use crate::serve::request::Place;
use crate::serve::turns::LongWork;
use crate::serve::{Failure, Server};
use hh::{Decoder, Error, LoadedModel, TextSession};
use hh_core::sample::Sampler;
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
pub(super) fn begin(server: Arc<Server>, model: Arc<LoadedModel<Tensor<f32>>>, work: Work, place: Place) -> Receiver<Piece> {
    let (sender, receiver) = mpsc::channel(WAITING);
    server.clone().turns.begin(move |turn| {
        let mut client = Client { sender, turn };
        for (index, (prompt, seed)) in
            work.prompts.iter().flat_map(|prompt| (0..work.choices as u64).map(move |seed| (prompt, seed))).enumerate()
        {
            match text(&model, &work, prompt, seed, index, &mut client) {
                Ok(Ok(tokens)) => server.metrics.generated(prompt.1.len(), tokens),
                Ok(Err(Gone)) => break,
                Err(e) => {
                    let _ = client.send(Piece::Failed(Failure::ours(e)));
                    break;
                }
            }
        }
        drop(place);
    });
    receiver
}

/// One text; its tokens.
fn text(
    model: &Arc<LoadedModel<Tensor<f32>>>,
    work: &Work,
    (echo, prompt): &(Option<String>, Vec<u32>),
    seed: u64,
    index: usize,
    client: &mut Client<'_>,
) -> Result<Result<usize, Gone>, Error> {
    let mut session = TextSession::new(Cpu::<f32>::new(Threads::one()), model.clone(), None, None)?;
    let config = hh::SamplerConfig { seed: work.sampler.seed.wrapping_add(seed), ..work.sampler };
    let mut sampler = Sampler::new(config, session.tokenizer().vocab_size())?;
    prompt.iter().for_each(|&id| sampler.observe(id));
    let mut decoder = Decoder::new(sampler, work.stops.clone(), session.tokenizer());
    for part in prompt.chunks(READ) {
        if client.is_gone() {
            return Ok(Err(Gone));
        }
        session.prefill_tokens(part)?;
        client.turn.pass();
    }
    if let Some(text) = echo
        && client.send(Piece::Text { index, text: text.clone() }).is_err()
    {
        return Ok(Err(Gone));
    }
    let (mut tokens, mut stopped) = (0, false);
    while tokens < work.tokens && !stopped {
        let piece = session.draw(&mut decoder)?;
        tokens += 1;
        stopped = piece.stopped;
        let rest = if stopped || tokens == work.tokens { decoder.rest() } else { String::new() };
        let text = piece.text + &rest;
        if (!text.is_empty() && client.send(Piece::Text { index, text }).is_err()) || client.is_gone() {
            return Ok(Err(Gone));
        }
        if tokens.is_multiple_of(DRAW) {
            client.turn.pass();
        }
    }
    let reason = if stopped { "stop" } else { "length" };
    Ok(client.send(Piece::End { index, reason, tokens }).map(|()| tokens))
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
