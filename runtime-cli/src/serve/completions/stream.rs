//! A text that is being drawn, and where its pieces go.

use super::generate::Piece;
use crate::serve::metrics::Metrics;
use hh::{Decoder, Error, TextSession};
use std::time::Instant;
use tokio::sync::mpsc::{Sender, error::TrySendError};

/// Tokens that are drawn in one turn where a text has the turn for itself.
const DRAW: usize = 16;

/// A text that is being drawn.
pub(super) struct Stream {
    pub(super) session: TextSession,
    /// Absent while a batch has it.
    pub(super) decoder: Option<Decoder>,
    pub(super) client: Sender<Piece>,
    pub(super) index: usize,
    /// When it was asked for, until its first token is drawn.
    pub(super) asked: Option<Instant>,
    pub(super) drawn: usize,
    pub(super) left: usize,
    /// Why it has ended.
    pub(super) reason: Option<&'static str>,
}

/// Why a text is not drawn on.
pub(super) enum Pause {
    /// It has ended.
    End,
    /// Its client is slow: this piece waits.
    Full(Piece),
    /// Others have waited for long.
    Turn,
    /// Its client has left.
    Gone,
}

impl Stream {
    /// Sends what was drawn, with the text that was held back if it is the last; whether that is a reason to pause.
    pub(super) fn send(&mut self, piece: hh::Piece, rest: impl FnOnce() -> String, metrics: &Metrics) -> Option<Pause> {
        if let Some(asked) = self.asked.take() {
            metrics.first_token(asked.elapsed());
        }
        metrics.generated(1);
        self.drawn += 1;
        self.left -= 1;
        let mut text = piece.text;
        if piece.stopped || self.left == 0 {
            self.reason = Some(if piece.stopped { "stop" } else { "length" });
            text.push_str(&rest());
        }
        if !text.is_empty()
            && let Err(e) = self.client.try_send(Piece::Text { index: self.index, text })
        {
            return Some(match e {
                TrySendError::Full(piece) => Pause::Full(piece),
                TrySendError::Closed(_) => Pause::Gone,
            });
        }
        match self.reason {
            Some(_) => Some(Pause::End),
            None => self.client.is_closed().then_some(Pause::Gone),
        }
    }

    /// Draws a turn's tokens alone.
    pub(super) fn draw(&mut self, metrics: &Metrics) -> Result<Pause, Error> {
        let Some(mut decoder) = self.decoder.take() else { return Ok(Pause::Gone) };
        let mut pause = None;
        for _ in 0..DRAW {
            let piece = self.session.draw(&mut decoder)?;
            pause = self.send(piece, || decoder.rest(), metrics);
            if pause.is_some() {
                break;
            }
        }
        self.decoder = Some(decoder);
        Ok(pause.unwrap_or(Pause::Turn))
    }
}
