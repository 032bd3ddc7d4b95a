use crate::{
    embed::{Running, start},
    js,
    model::Loaded,
    saved::Snapshot,
};
use hh_core::{
    error::Error,
    inspect::{Inspector, Item},
    sample::{Sampler, SamplerConfig},
    tokenizer::Utf8Stream,
};
use std::rc::Rc;
use wasm_bindgen::prelude::*;

/// A text that a model is in the middle of.
#[wasm_bindgen]
pub struct Session {
    loaded: Rc<Loaded>,
    running: Running,
    /// Of the newest position; empty at the beginning.
    logits: Vec<f32>,
    /// The newest token, if it was drawn and not run yet.
    pending: Option<u32>,
    /// The beginning of a character whose rest is not drawn yet.
    stream: Utf8Stream,
    /// Text of the newest token.
    text: String,
    sampler: Option<Sampler>,
    inspector: Option<Inspector>,
    /// The inspector has seen the newest position.
    seen: bool,
}

impl Session {
    pub(crate) fn new(loaded: Rc<Loaded>, context: usize, segments: Option<usize>) -> Result<Self, Error> {
        let running = start(&loaded, context, segments)?;
        let (stream, text) = (Utf8Stream::default(), String::new());
        Ok(Self { loaded, running, logits: Vec::new(), pending: None, stream, text, sampler: None, inspector: None, seen: false })
    }

    /// Runs tokens that follow what was run.
    fn run(&mut self, tokens: &[u32]) -> Result<(), Error> {
        let logits = match (&mut self.inspector, tokens) {
            (Some(inspector), &[token]) => self.running.watch(&[token], inspector)?,
            _ => self.running.prefill(tokens)?,
        };
        logits.clone_into(&mut self.logits);
        self.seen = self.inspector.is_some() && tokens.len() == 1;
        Ok(())
    }

    /// Runs the token that was drawn last.
    fn catch_up(&mut self) -> Result<(), Error> {
        if let Some(token) = self.pending {
            self.run(&[token])?;
            self.pending = None;
        }
        Ok(())
    }

    fn draw(&mut self) -> Result<u32, Error> {
        self.catch_up()?;
        let Some(sampler) = &mut self.sampler else {
            return Err(Error::Input("nothing says how to draw: begin first".into()));
        };
        // An id that stands for no text cannot be drawn.
        let Some(logits) = self.logits.get(..self.loaded.tokenizer.vocab_size()) else {
            return Err(Error::Input("there is nothing to go on from: prefill a text of at least one token first".into()));
        };
        let token = sampler.next(logits)?;
        self.pending = Some(token);
        self.text.clear();
        self.stream.push(self.loaded.tokenizer.token_bytes(token).unwrap_or_default(), &mut self.text);
        Ok(token)
    }
}

#[wasm_bindgen]
impl Session {
    /// Reads tokens; an inspector sees them only if they come one by one.
    pub fn read(&mut self, tokens: &[u32]) -> Result<(), JsError> {
        self.stream = Utf8Stream::default();
        let pending = self.pending.iter().copied();
        let all: Vec<u32> = pending.chain(tokens.iter().copied()).collect();
        if all.is_empty() {
            return Ok(());
        }
        self.run(&all).map_err(js)?;
        self.pending = None;
        Ok(())
    }

    /// From now on the largest `most` shares of what is recalled are kept of every single token; 0 stops that.
    pub fn inspect(&mut self, most: usize) {
        self.inspector = (most > 0).then(|| Inspector::new(most));
        self.seen = false;
    }

    /// Says how the next tokens are drawn, which begins the random numbers of a seed anew.
    pub fn begin(&mut self, temperature: f32, top_k: usize, top_p: f32, min_p: f32, seed: u64) -> Result<(), JsError> {
        let config = SamplerConfig { temperature, top_k, top_p, min_p, seed, ..SamplerConfig::default() };
        self.sampler = Some(Sampler::new(config, self.loaded.tokenizer.vocab_size()).map_err(js)?);
        Ok(())
    }

    /// Draws a token.
    #[wasm_bindgen(js_name = draw)]
    pub fn draw_token(&mut self) -> Result<u32, JsError> {
        self.draw().map_err(js)
    }

    /// What the newest token that was drawn adds to the text; a character that tokens share comes with the last of them.
    #[wasm_bindgen(getter)]
    pub fn text(&self) -> String {
        self.text.clone()
    }

    /// What each layer did at the newest position that was run: three gates, then pairs of an item and its share, as many
    /// as [`inspect`](Self::inspect) asked for. An item is its position, or −1 − its number for a learned one; NaN
    /// stands for what there is none of. Empty where nobody watched.
    pub fn seen(&self, most: usize) -> Vec<f64> {
        let mut all = Vec::new();
        let Some(inspector) = self.inspector.as_ref().filter(|_| self.seen) else { return all };
        for layer in inspector.layers(0) {
            all.extend(layer.gates.map(|gate| gate.map_or(f64::NAN, f64::from)));
            let pairs = layer.recalled.iter().flat_map(|recalled| {
                let item = match recalled.item {
                    Item::Slot(slot) => -1.0 - slot as f64,
                    Item::Position(position) => position as f64,
                };
                [item, f64::from(recalled.weight)]
            });
            all.extend(pairs.chain(std::iter::repeat(f64::NAN)).take(2 * most));
        }
        all
    }

    /// Tokens read and drawn since the beginning.
    #[wasm_bindgen(getter)]
    pub fn position(&self) -> f64 {
        (self.running.position() + u64::from(self.pending.is_some())) as f64
    }

    /// Forgets everything.
    pub fn reset(&mut self) -> Result<(), JsError> {
        self.running.reset().map_err(js)?;
        (self.pending, self.seen, self.stream) = (None, false, Utf8Stream::default());
        self.logits.clear();
        Ok(())
    }

    /// A copy of everything that the session remembers.
    pub fn snapshot(&mut self) -> Result<Snapshot, JsError> {
        self.catch_up().map_err(js)?;
        let state = self.running.snapshot().map_err(js)?;
        Ok(Snapshot { state, logits: self.logits.clone(), stream: self.stream.clone() })
    }

    /// Goes back to a snapshot, of this session or of another one of the same model and layout.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), JsError> {
        self.running.restore(&snapshot.state).map_err(js)?;
        self.logits.clone_from(&snapshot.logits);
        (self.pending, self.seen, self.stream) = (None, false, snapshot.stream.clone());
        Ok(())
    }
}
