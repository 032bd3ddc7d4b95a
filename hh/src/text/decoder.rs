//! From logits to text: the part of the token loop that every caller shares.

use super::StopStrings;
use crate::{Error, tokenizer};
use hh_core::{
    error::Error as Core,
    sample::Sampler,
    tokenizer::{Tokenizer, Utf8Stream},
};

/// One generated token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Its id.
    pub token: u32,
    /// The text that it completes; empty while a character or a stop string may be incomplete.
    pub text: String,
    /// Whether a stop string or the end-of-text token ended the text.
    pub stopped: bool,
}

/// Draws tokens from logits and turns them into text.
#[derive(Clone)]
pub struct Decoder {
    sampler: Sampler,
    stops: StopStrings,
    end_of_text: Option<u32>,
}

impl Decoder {
    /// A decoder that stops at `stops` and at the end-of-text token of the tokenizer, if it has one.
    pub fn new(sampler: Sampler, stops: StopStrings, tokenizer: &dyn Tokenizer) -> Self {
        Self { sampler, stops, end_of_text: tokenizer::end_of_text(tokenizer) }
    }

    /// The same, continuing past the end-of-text token.
    #[must_use]
    pub fn ignoring_end_of_text(self) -> Self {
        Self { end_of_text: None, ..self }
    }

    /// The sampler.
    pub fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    /// The sampler, to restore its state or to show it tokens of a prompt.
    pub fn sampler_mut(&mut self) -> &mut Sampler {
        &mut self.sampler
    }

    /// Draws the next token from the logits `[V]` of the newest position. `stream` holds the bytes of a character that is
    /// incomplete so far.
    ///
    /// # Errors
    /// [`Error::Core`] for logits that are not finite or fewer than the tokenizer has ids.
    pub fn next(&mut self, logits: &[f32], tokenizer: &dyn Tokenizer, stream: &mut Utf8Stream) -> Result<Piece, Error> {
        // An id beyond the tokenizer's stands for no text and must not be drawn.
        let Some(logits) = logits.get(..tokenizer.vocab_size()) else {
            return Err(Error::Core(Core::Input("there are no logits to draw from: prefill at least one token first".into())));
        };
        let token = self.sampler.next(logits)?;
        let mut text = String::new();
        if self.end_of_text == Some(token) {
            return Ok(Piece { token, text: self.stops.rest(), stopped: true });
        }
        stream.push(tokenizer.token_bytes(token).unwrap_or_default(), &mut text);
        let stopped = self.stops.filter(&mut text);
        Ok(Piece { token, text, stopped })
    }

    /// The text that was held back because it might have become a stop string.
    pub fn rest(&mut self) -> String {
        self.stops.rest()
    }
}
