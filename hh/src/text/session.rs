use super::{Decoder, GenerateOptions, Generation, Piece, TextState, Weights};
use crate::{Error, LoadedModel};
use hh_core::{
    backend::Forward,
    inspect::Inspector,
    session::{Options, Session},
    tokenizer::{Tokenizer, Utf8Stream},
};
use hh_cpu::{Cpu, Tensor};
use std::{collections::VecDeque, ops::Deref, sync::Arc};

/// The most tokens that a session keeps for the repetition penalty of a later generation.
const RECENT: usize = 4096;

/// A text that a model reads and continues. Its recurrent state can be copied, saved, restored and forked.
///
/// `B` is the backend, `P` points to the loaded model (`Arc`, `Rc` or a reference).
pub struct TextSession<B: Forward = Cpu<f32>, P = Arc<LoadedModel<Tensor<f32>>>> {
    session: Session<B, Weights<P>>,
    /// Logits `[V]` of the newest position that was run; empty before the first.
    logits: Vec<f32>,
    /// Tokens of the text that the model has not run yet.
    pending: Vec<u32>,
    /// The newest tokens that were run, oldest first; the repetition penalty of [`decoder`](Self::decoder) applies to them.
    recent: VecDeque<u32>,
    /// The beginning of a character whose other bytes are not drawn yet.
    stream: Utf8Stream,
    inspector: Option<Inspector>,
    /// Whether the inspector saw the newest position.
    inspected: bool,
}

impl<B: Forward, P: Deref<Target = LoadedModel<B::Tensor>>> TextSession<B, P> {
    /// A session without any text. `context` is the number of positions that its memories hold, `segments` the number of
    /// passes over the blocks; the model's own where absent.
    ///
    /// # Errors
    /// [`Error::Context`] for a context that the model cannot hold; [`Error::Core`] for 0, and where memory is short.
    pub fn new(backend: B, model: P, context: Option<usize>, segments: Option<usize>) -> Result<Self, Error> {
        let context = model.session_context(context)?;
        let session = Session::new(backend, Weights(model), Options { context, segments, ..Options::default() })?;
        let (recent, stream, inspector) = (VecDeque::new(), Utf8Stream::default(), None);
        Ok(Self { session, logits: Vec::new(), pending: Vec::new(), recent, stream, inspector, inspected: false })
    }

    /// The loaded model.
    pub fn model(&self) -> &LoadedModel<B::Tensor> {
        &self.session.model().0
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &dyn Tokenizer {
        &*self.model().tokenizer
    }

    /// The session below, over ids.
    pub fn session(&self) -> &Session<B, Weights<P>> {
        &self.session
    }

    /// Tokens read and drawn since the beginning.
    pub fn position(&self) -> u64 {
        self.session.position() + self.pending.len() as u64
    }

    /// Logits `[V]` of the newest position that was run; empty before the first.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// Appends text and runs it.
    ///
    /// # Errors
    /// [`Error::Core`] for text that the vocabulary cannot express, more positions than the model learned, and where the
    /// device fails.
    pub fn prefill(&mut self, text: &str) -> Result<(), Error> {
        let ids = self.tokenizer().encode(text)?;
        self.prefill_tokens(&ids)
    }

    /// Appends tokens and runs them.
    ///
    /// # Errors
    /// Those of [`Session::prefill`]; the session is unchanged then.
    pub fn prefill_tokens(&mut self, ids: &[u32]) -> Result<(), Error> {
        let (queued, stream) = (self.pending.len(), self.stream.clone());
        self.queue(ids);
        let done = self.catch_up();
        if done.is_err() {
            self.pending.truncate(queued);
            self.stream = stream;
        }
        done
    }

    /// Appends tokens, to be run when the next token is drawn.
    pub fn queue(&mut self, ids: &[u32]) {
        if !ids.is_empty() {
            self.stream = Utf8Stream::default();
        }
        self.pending.extend_from_slice(ids);
    }

    /// Tokens of the text that the model has not run yet; after a draw, the token that was drawn.
    pub fn pending(&self) -> &[u32] {
        &self.pending
    }

    /// Runs the pending tokens.
    ///
    /// # Errors
    /// Those of [`Session::prefill`].
    pub fn catch_up(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let logits = match (&mut self.inspector, &self.pending[..]) {
            (Some(inspector), token @ &[_]) => self.session.watch(token, inspector)?,
            (_, tokens) => self.session.prefill(tokens)?,
        };
        logits.clone_into(&mut self.logits);
        self.inspected = self.inspector.is_some() && self.pending.len() == 1;
        self.recent.extend(self.pending.drain(..));
        self.recent.drain(..self.recent.len().saturating_sub(RECENT));
        Ok(())
    }

    /// Draws the next token.
    ///
    /// # Errors
    /// Those of [`Decoder::next`] and of [`Session::prefill`].
    pub fn draw(&mut self, decoder: &mut Decoder) -> Result<Piece, Error> {
        self.catch_up()?;
        let tokenizer = &*self.session.model().0.tokenizer;
        let piece = decoder.next(&self.logits, tokenizer, &mut self.stream)?;
        self.pending.push(piece.token);
        Ok(piece)
    }

    /// A decoder for [`draw`](Self::draw). Its repetition penalty also applies to the newest tokens of the text so far, of
    /// which a session and its saved state keep 4096.
    ///
    /// # Errors
    /// [`Error::Core`] for sampler settings that are out of range.
    pub fn decoder(&self, options: &GenerateOptions) -> Result<Decoder, Error> {
        let mut decoder = options.decoder(self.tokenizer())?;
        self.recent.iter().chain(&self.pending).for_each(|&token| decoder.sampler_mut().observe(token));
        Ok(decoder)
    }

    /// Continues the text: an iterator over pieces of valid UTF-8. Dropping it leaves the session where it stands.
    ///
    /// # Errors
    /// Those of [`decoder`](Self::decoder).
    pub fn generate(&mut self, options: &GenerateOptions) -> Result<Generation<&mut Self>, Error> {
        let decoder = self.decoder(options)?;
        Ok(Generation::new(self, decoder, options.max_tokens))
    }

    /// Records what each layer does at every single token from now on, the `most` largest shares of recalled items; 0 stops.
    pub fn inspect(&mut self, most: usize) {
        self.inspector = (most > 0).then(|| Inspector::new(most));
        self.inspected = false;
    }

    /// What each layer did at the newest position, if it was [inspected](Self::inspect).
    pub fn inspection(&self) -> Option<&Inspector> {
        self.inspector.as_ref().filter(|_| self.inspected)
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// [`Error::Core`] where the device fails.
    pub fn reset(&mut self) -> Result<(), Error> {
        self.session.reset()?;
        self.logits.clear();
        self.pending.clear();
        self.recent.clear();
        (self.stream, self.inspected) = (Utf8Stream::default(), false);
        Ok(())
    }

    /// A copy of everything that the session remembers.
    ///
    /// # Errors
    /// [`Error::Core`] where the device fails.
    pub fn snapshot(&mut self) -> Result<TextState, Error> {
        self.catch_up()?;
        let (logits, recent, stream) = (self.logits.clone(), self.recent.iter().copied().collect(), self.stream.clone());
        Ok(TextState { state: self.session.snapshot()?, logits, recent, stream })
    }

    /// Returns to a snapshot, of this session or of another one of the same model and layout.
    ///
    /// # Errors
    /// [`Error::Core`] where the snapshot belongs to another model or layout; the session is unchanged then.
    pub fn restore(&mut self, state: &TextState) -> Result<(), Error> {
        if ![0, self.session.config().vocab_size].contains(&state.logits.len()) {
            return Err(Error::State("the saved session belongs to a model with another vocabulary: load that model".into()));
        }
        self.session.restore(&state.state)?;
        self.logits.clone_from(&state.logits);
        self.pending.clear();
        self.recent = state.recent.iter().copied().collect();
        (self.stream, self.inspected) = (state.stream.clone(), false);
        Ok(())
    }

    /// Returns to a state in parts: the recurrent state, the tokens not run yet, and the bytes of an incomplete character.
    ///
    /// # Errors
    /// As [`restore`](Self::restore).
    pub fn restore_parts(&mut self, state: &hh_core::state::Snapshot, pending: &[u32], held: &[u8]) -> Result<(), Error> {
        self.session.restore(state)?;
        self.logits.clear();
        self.recent.clear();
        self.pending = pending.to_vec();
        (self.stream, self.inspected) = (Utf8Stream::default(), false);
        self.stream.push(held, &mut String::new());
        Ok(())
    }

    /// The recurrent state without the pending tokens, these tokens, and the bytes of an incomplete character: what
    /// [`restore_parts`](Self::restore_parts) takes.
    ///
    /// # Errors
    /// [`Error::Core`] where the device fails.
    pub fn into_parts(mut self) -> Result<(hh_core::state::Snapshot, Vec<u32>, Vec<u8>), Error> {
        let state = self.session.snapshot()?;
        Ok((state, self.pending, self.stream.held().to_vec()))
    }
}

impl TextSession {
    /// An independent copy, which continues from the same text.
    ///
    /// # Errors
    /// [`Error::Core`] where memory is short.
    pub fn fork(&mut self) -> Result<Self, Error> {
        let state = self.snapshot()?;
        let (context, segments) = (self.session.options().context, self.session.options().segments);
        let backend = Cpu::new(self.session.backend_mut().threads().clone());
        let mut fork = Self::new(backend, self.session.model().0.clone(), Some(context), segments)?;
        fork.restore(&state)?;
        Ok(fork)
    }
}
