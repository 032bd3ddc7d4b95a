use super::{Decoder, StopStrings, TextSession};
use crate::{Error, LoadedModel};
use hh_core::{
    backend::Forward,
    sample::{Sampler, SamplerConfig},
    tokenizer::Tokenizer,
};
use std::ops::{Deref, DerefMut};

/// How a text is continued.
#[derive(Clone, PartialEq, Debug)]
pub struct GenerateOptions {
    /// Tokens to draw at most.
    pub max_tokens: usize,
    /// Temperature, top-k, top-p, repetition penalty and seed. The default draws greedily if `temperature` is 0.
    pub sampler: SamplerConfig,
    /// Strings that end the text; they are not part of it.
    pub stop: Vec<String>,
    /// Continues past the end-of-text token of the tokenizer.
    pub ignore_end_of_text: bool,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self { max_tokens: 256, sampler: SamplerConfig::default(), stop: Vec::new(), ignore_end_of_text: false }
    }
}

impl GenerateOptions {
    pub(super) fn decoder(&self, tokenizer: &dyn Tokenizer) -> Result<Decoder, Error> {
        let sampler = Sampler::new(self.sampler, tokenizer.vocab_size())?;
        let decoder = Decoder::new(sampler, StopStrings::new(self.stop.iter().cloned()), tokenizer);
        Ok(if self.ignore_end_of_text { decoder.ignoring_end_of_text() } else { decoder })
    }
}

/// A text that is being generated, apart from its session: for callers that hold a session behind a lock or a handle.
/// [`Generation`] holds both.
pub struct Continuation {
    decoder: Decoder,
    left: usize,
    done: bool,
}

impl Continuation {
    pub(super) fn new(decoder: Decoder, max_tokens: usize) -> Self {
        Self { decoder, left: max_tokens, done: false }
    }

    /// Draws until a piece of valid UTF-8 is there; `None` at the end. Nothing is drawn after an error.
    ///
    /// # Errors
    /// Those of [`TextSession::draw`].
    pub fn next<B: Forward, P: Deref<Target = LoadedModel<B::Tensor>>>(
        &mut self,
        session: &mut TextSession<B, P>,
    ) -> Result<Option<String>, Error> {
        while !self.done && self.left > 0 {
            self.left -= 1;
            let drawn = session.draw(&mut self.decoder);
            self.done = drawn.as_ref().map_or(true, |piece| piece.stopped);
            let text = drawn?.text;
            if !text.is_empty() {
                return Ok(Some(text));
            }
        }
        Ok(Some(self.decoder.rest()).filter(|rest| !rest.is_empty()))
    }
}

/// An iterator over the pieces of a text that is being generated. `S` is a session or a mutable reference to one.
pub struct Generation<S> {
    session: S,
    continuation: Continuation,
}

impl<S> Generation<S> {
    pub(super) fn new(session: S, continuation: Continuation) -> Self {
        Self { session, continuation }
    }

    /// The session, to continue with.
    pub fn into_session(self) -> S {
        self.session
    }
}

impl<S, B, P> Iterator for Generation<S>
where
    S: DerefMut<Target = TextSession<B, P>>,
    B: Forward,
    P: Deref<Target = LoadedModel<B::Tensor>>,
{
    type Item = Result<String, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.continuation.next(&mut self.session).transpose()
    }
}
