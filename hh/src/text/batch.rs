//! Continuous batching: texts that are continued together, and that join and leave between any two steps.

use super::{Decoder, Piece, TextModel, TextSession, TextState, rows::Rows};
use crate::Error;
use hh_core::{
    config::Positions,
    error::{Error as Core, InputError},
    tokenizer::Utf8Stream,
};
use std::collections::VecDeque;

/// Texts that one model continues together: a step draws a token of each and reads the weights once for all of them.
///
/// The text of each is the one that its session would have continued with alone, whatever joins or leaves meanwhile.
pub struct TextBatch {
    model: TextModel,
    rows: Rows,
    /// Row by row; the first `active` draw tokens, the others have ended.
    texts: Vec<Text>,
    active: usize,
    most: usize,
    next: u64,
}

/// A text of the batch.
struct Text {
    id: u64,
    decoder: Decoder,
    stream: Utf8Stream,
    recent: VecDeque<u32>,
    logits: Vec<f32>,
    /// The token that was drawn and is not run yet.
    pending: Option<u32>,
    left: usize,
}

/// What a step did for one text.
#[derive(Debug)]
pub struct Drawn {
    /// What [`TextBatch::join`] returned.
    pub id: u64,
    /// The token.
    ///
    /// # Errors
    /// [`Error::Core`] for logits that are not finite.
    pub piece: Result<Piece, Error>,
    /// Whether the text has ended, by a stop string, the end-of-text token, its number of tokens or an error.
    pub ended: bool,
}

impl TextBatch {
    /// A batch of up to `most` texts, whose sessions have the model's own context and segments.
    ///
    /// # Errors
    /// [`Error::Options`] for 0 texts, and for a model with an episodic memory; [`Error::Core`] where memory is short.
    pub fn new(model: &TextModel, most: usize) -> Result<Self, Error> {
        if most == 0 {
            return Err(Error::Options("a batch of 0 texts: give 1 or more".into()));
        }
        if model.config().episodic_width > 0 {
            let message = "a model with an episodic memory cannot continue texts in a batch: use a session for each";
            return Err(Error::Options(message.into()));
        }
        let mut session = model.session()?;
        let template = session.recurrent()?;
        let (context, segments) = (session.session().options().context, model.config().segments);
        let rows = Rows::new(model.backend(), model.loaded().clone(), most, [context, segments], template)?;
        Ok(Self { model: model.clone(), rows, texts: Vec::new(), active: 0, most, next: 0 })
    }

    /// Texts in the batch, those that have ended and not [left](Self::leave) included.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether no text is in the batch.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether another text can join.
    pub fn has_room(&self) -> bool {
        self.texts.len() < self.most
    }

    /// Texts that the next step draws a token of.
    pub fn active(&self) -> usize {
        self.active
    }

    /// Continues the text of a session of this model by up to `tokens` tokens. The session itself is unchanged.
    ///
    /// # Errors
    /// [`Error::Options`] for a batch that is full, 0 tokens, and a session of another layout; [`Error::Core`] for a session
    /// without any text, for more positions than the model learned, and where memory is short.
    pub fn join(&mut self, session: &mut TextSession, decoder: Decoder, tokens: usize) -> Result<u64, Error> {
        if !self.has_room() {
            return Err(Error::Options(format!("the batch is full with {} texts: let one leave first", self.most)));
        }
        if tokens == 0 {
            return Err(Error::Options("a text of 0 tokens: give 1 or more".into()));
        }
        let config = self.model.config();
        let all = (session.position() as usize).saturating_add(tokens - 1);
        if config.positions == Positions::Learned && all > config.max_len {
            return Err(Core::from(InputError::PositionOutOfRange { position: all as u64, max_len: config.max_len }).into());
        }
        session.catch_up()?;
        let state = session.snapshot()?;
        if state.logits.is_empty() {
            return Err(Error::Core(Core::Input("there are no logits to draw from: prefill at least one token first".into())));
        }
        if !self.rows.fits(&state.state) {
            return Err(Error::Options(
                "the session has another context or number of segments than the batch: make it with session()".into(),
            ));
        }
        self.rows.put(self.texts.len(), &state.state);
        let id = self.next;
        self.next += 1;
        let text =
            Text { id, decoder, stream: state.stream, recent: state.recent.into(), logits: state.logits, pending: None, left: tokens };
        self.texts.push(text);
        self.exchange(self.texts.len() - 1, self.active);
        self.active += 1;
        Ok(id)
    }

    /// Draws a token of each text that has not ended.
    ///
    /// # Errors
    /// [`Error::Core`] where memory is short.
    pub fn step(&mut self) -> Result<Vec<Drawn>, Error> {
        if self.texts[..self.active].iter().any(|text| text.pending.is_some()) {
            self.run()?;
        }
        let mut drawn = Vec::with_capacity(self.active);
        for text in &mut self.texts[..self.active] {
            let piece = text.decoder.next(&text.logits, self.model.tokenizer(), &mut text.stream);
            text.pending = piece.as_ref().ok().map(|piece| piece.token);
            text.left -= 1;
            drawn.push(Drawn { id: text.id, ended: piece.as_ref().map_or(true, |piece| piece.stopped) || text.left == 0, piece });
        }
        for row in (0..drawn.len()).rev().filter(|&row| drawn[row].ended) {
            self.active -= 1;
            self.exchange(row, self.active);
        }
        Ok(drawn)
    }

    /// Runs the pending tokens. A text that has just joined has none, and waits behind the others.
    fn run(&mut self) -> Result<(), Error> {
        let mut waiting = 0;
        for row in 0..self.active {
            if self.texts[row].pending.is_some() {
                self.exchange(row, waiting);
                waiting += 1;
            }
        }
        let tokens: Vec<u32> = self.texts[..waiting].iter().filter_map(|text| text.pending).collect();
        let logits = self.rows.step(&tokens)?;
        for (text, logits) in self.texts.iter_mut().zip(logits.chunks_exact(logits.len() / waiting)) {
            logits.clone_into(&mut text.logits);
            super::session::push_recent(&mut text.recent, text.pending.take());
        }
        Ok(())
    }

    /// Text that was held back because it might have become a stop string; at the end of a text it belongs to it.
    pub fn rest(&mut self, id: u64) -> String {
        self.row(id).map_or_else(String::new, |row| self.texts[row].decoder.rest())
    }

    /// Takes a text out of the batch, whether it has ended or not, and returns its decoder. A session of the model that is given
    /// continues from there.
    ///
    /// # Errors
    /// [`Error::Core`] for a session of another layout; the text has left nevertheless.
    pub fn leave(&mut self, id: u64, into: Option<&mut TextSession>) -> Result<Option<Decoder>, Error> {
        let Some(mut row) = self.row(id) else { return Ok(None) };
        if row < self.active {
            self.active -= 1;
            self.exchange(row, self.active);
            row = self.active;
        }
        self.exchange(row, self.texts.len() - 1);
        let Some(Text { decoder, stream, recent, logits, pending, .. }) = self.texts.pop() else { return Ok(None) };
        if let Some(session) = into {
            session.adopt(TextState {
                logits,
                recent: recent.into(),
                pending: pending.into_iter().collect(),
                stream,
                draws: decoder.sampler().draws(),
                ..TextState::of(self.rows.take(self.texts.len()))
            })?;
        }
        Ok(Some(decoder))
    }

    fn row(&self, id: u64) -> Option<usize> {
        self.texts.iter().position(|text| text.id == id)
    }

    fn exchange(&mut self, a: usize, b: usize) {
        self.rows.swap(a, b);
        self.texts.swap(a, b);
    }
}
