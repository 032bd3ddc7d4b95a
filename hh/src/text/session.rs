use super::{Continuation, Decoder, GenerateOptions, Generation, Memory, Piece, TextState, Weights};
use crate::{Error, LoadedModel};
use hh_core::{
    backend::Forward,
    inspect::Inspector,
    sample::SamplerState,
    session::{Episode, Options, Session},
    state::RECENT,
    tokenizer::{Tokenizer, Utf8Stream},
};
use hh_cpu::{Cpu, Tensor};
use std::{collections::VecDeque, ops::Deref, sync::Arc};

/// Adds tokens to the newest ones.
pub(super) fn push_recent(recent: &mut VecDeque<u32>, tokens: impl IntoIterator<Item = u32>) {
    recent.extend(tokens);
    recent.drain(..recent.len().saturating_sub(RECENT));
}

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
    /// Tokens drawn so far: where the random numbers of [`decoder`](Self::decoder) begin.
    draws: u64,
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
        Self::with_episodes(backend, model, context, segments, None)
    }

    /// As [`new`](Self::new), with an episodic memory of which a position sees `episodes` items; ignored for a model without one.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_episodes(
        backend: B,
        model: P,
        context: Option<usize>,
        segments: Option<usize>,
        episodes: Option<usize>,
    ) -> Result<Self, Error> {
        let context = model.session_context(context)?;
        let session = Session::new(backend, Weights(model), Options { context, segments, episodes, ..Options::default() })?;
        let (recent, stream, inspector) = (VecDeque::new(), Utf8Stream::default(), None);
        Ok(Self { session, logits: Vec::new(), pending: Vec::new(), recent, stream, draws: 0, inspector, inspected: false })
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
        push_recent(&mut self.recent, self.pending.drain(..));
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
        self.draws = decoder.sampler().draws();
        Ok(piece)
    }

    /// A decoder for [`draw`](Self::draw). Its random numbers go on after the tokens that were drawn so far, and its repetition
    /// penalty also applies to the newest tokens of the text, of which a session and its saved state keep 4096.
    ///
    /// # Errors
    /// [`Error::Core`] for sampler settings that are out of range.
    pub fn decoder(&self, options: &GenerateOptions) -> Result<Decoder, Error> {
        let mut decoder = options.decoder(self.tokenizer())?;
        let recent = self.recent.iter().chain(&self.pending).copied().collect();
        decoder.sampler_mut().restore(&SamplerState { draws: self.draws, recent });
        Ok(decoder)
    }

    /// Continues the text: an iterator over pieces of valid UTF-8. Dropping it leaves the session where it stands.
    ///
    /// # Errors
    /// Those of [`decoder`](Self::decoder).
    pub fn generate(&mut self, options: &GenerateOptions) -> Result<Generation<&mut Self>, Error> {
        let continuation = self.continuation(options)?;
        Ok(Generation::new(self, continuation))
    }

    /// What [`generate`](Self::generate) does, apart from the session, which each of its steps takes.
    ///
    /// # Errors
    /// Those of [`decoder`](Self::decoder).
    pub fn continuation(&self, options: &GenerateOptions) -> Result<Continuation, Error> {
        Ok(Continuation::new(self.decoder(options)?, options.max_tokens))
    }

    /// Gives the session the items of a memory, as if it had read its documents before everything else; forgets all that it had read.
    ///
    /// # Errors
    /// Those of [`Memory::check`]; [`Error::Core`] for more items than the session [has room for](Self::with_episodes), and where the
    /// device fails.
    pub fn remember(&mut self, memory: &Memory) -> Result<(), Error> {
        memory.check(self)?;
        self.reset()?;
        let (keys, tokens) = memory.stored();
        Ok(self.session.load_episodes(&keys, tokens)?)
    }

    /// The `most` items of the episodic memory with the largest weights in the newest prediction, largest first. The items of a
    /// [memory](Self::remember) come first, then those of the session's own text.
    ///
    /// # Errors
    /// [`Error::Core`] where the device fails.
    pub fn votes(&mut self, most: usize) -> Result<Vec<Episode>, Error> {
        Ok(self.session.votes(most)?)
    }

    /// Keys and tokens of all items of the episodic memory.
    pub(super) fn episodes(&mut self) -> Result<(Vec<f32>, Vec<u32>), Error> {
        let held = self.session.episodes()?;
        Ok((self.session.episode_keys(held)?, self.session.episode_tokens()?))
    }

    /// Takes items out of the episodic memory; see [`Session::forget`]. What the layers remember stays.
    ///
    /// # Errors
    /// Those of [`Session::forget`].
    pub fn forget(&mut self, items: std::ops::Range<u64>) -> Result<(), Error> {
        Ok(self.session.forget(items)?)
    }

    /// Keys of all positions of a document but the last; forgets what the session had read.
    pub(super) fn keys_of(&mut self, ids: &[u32]) -> Result<Vec<f32>, Error> {
        self.reset()?;
        let (mut keys, mut done) = (Vec::new(), 0);
        for piece in ids.chunks(self.session.options().chunk) {
            self.session.prefill(piece)?;
            let known = self.session.episodes()?.end;
            keys.extend(self.session.episode_keys(done..known)?);
            done = known;
        }
        self.reset()?;
        Ok(keys)
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
        (self.stream, self.draws, self.inspected) = (Utf8Stream::default(), 0, false);
        Ok(())
    }

    /// A copy of everything that the session remembers. Tokens that are [pending](Self::pending) stay so.
    ///
    /// # Errors
    /// [`Error::Core`] where the device fails.
    pub fn snapshot(&mut self) -> Result<TextState, Error> {
        let logits = if self.pending.is_empty() { self.logits.clone() } else { Vec::new() };
        Ok(TextState {
            identity: self.identity()?,
            logits,
            recent: self.recent.iter().copied().collect(),
            pending: self.pending.clone(),
            stream: self.stream.clone(),
            draws: self.draws,
            ..TextState::of(self.session.snapshot()?)
        })
    }

    /// Hash of weights and tokenizer, see [`LoadedModel::identity`].
    ///
    /// # Errors
    /// [`Error::Core`] where the device fails.
    pub fn identity(&mut self) -> Result<u64, Error> {
        if let Some(&known) = self.model().identity.get() {
            return Ok(known);
        }
        let (backend, model) = self.session.parts();
        model.0.identity(backend)
    }

    /// Returns to a snapshot, of this session or of another one of the same model and layout.
    ///
    /// # Errors
    /// [`Error::State`] for a snapshot of other weights or another tokenizer, [`Error::Core`] where it belongs to another
    /// configuration or layout; the session is unchanged then.
    pub fn restore(&mut self, state: &TextState) -> Result<(), Error> {
        if ![0, self.session.config().vocab_size].contains(&state.logits.len()) {
            return Err(Error::State("the saved session belongs to a model with another vocabulary: load that model".into()));
        }
        if state.identity != 0 && state.identity != self.identity()? {
            return Err(Error::State(
                "the saved session was made with other weights or another tokenizer: load the model that made it".into(),
            ));
        }
        self.adopt(state.clone())
    }

    /// [`restore`](Self::restore) for a state that is known to be of this model.
    pub(super) fn adopt(&mut self, state: TextState) -> Result<(), Error> {
        self.session.restore(&state.state)?;
        (self.logits, self.pending, self.recent) = (state.logits, state.pending, state.recent.into());
        push_recent(&mut self.recent, []);
        (self.stream, self.draws, self.inspected) = (state.stream, state.draws, false);
        Ok(())
    }
}

impl TextSession {
    /// The recurrent state, without the pending tokens.
    pub(super) fn recurrent(&mut self) -> Result<hh_core::state::Snapshot, Error> {
        Ok(self.session.snapshot()?)
    }

    /// An independent copy, which continues from the same text.
    ///
    /// # Errors
    /// [`Error::Core`] where memory is short.
    pub fn fork(&mut self) -> Result<Self, Error> {
        let state = self.snapshot()?;
        let Options { context, segments, episodes, .. } = *self.session.options();
        let backend = self.session.backend_mut();
        let backend = Cpu::with_level(backend.threads().clone(), backend.level());
        let mut fork = Self::with_episodes(backend, self.session.model().0.clone(), Some(context), segments, episodes)?;
        fork.restore(&state)?;
        Ok(fork)
    }
}
