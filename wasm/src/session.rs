use crate::{js, loaded::Loaded, sampling::Sampling, saved::Snapshot};
use hh::{Decoder, Error, TextSession};
use hh_core::inspect::Item;
use hh_cpu::Cpu;
use wasm_bindgen::prelude::*;

/// A text that a model reads and continues.
#[wasm_bindgen]
pub struct Session {
    session: TextSession<Cpu<f32>, Loaded>,
    decoder: Option<Decoder>,
    /// Text of the newest token.
    text: String,
    /// Whether the newest token ended the text.
    stopped: bool,
}

impl Session {
    pub(crate) fn new(backend: Cpu<f32>, loaded: Loaded, context: Option<usize>, segments: Option<usize>) -> Result<Self, Error> {
        Ok(Self { session: TextSession::new(backend, loaded, context, segments)?, decoder: None, text: String::new(), stopped: false })
    }

    fn draw(&mut self, last: bool) -> Result<u32, Error> {
        let Some(decoder) = &mut self.decoder else {
            return Err(Error::Options("no sampling options are set: call begin first".into()));
        };
        let piece = self.session.draw(decoder)?;
        (self.text, self.stopped) = (piece.text, piece.stopped);
        if last {
            self.text += &decoder.rest();
        }
        Ok(piece.token)
    }
}

#[wasm_bindgen]
impl Session {
    /// Reads tokens; an inspector sees them only if they come one by one.
    pub fn read(&mut self, tokens: &[u32]) -> Result<(), JsError> {
        self.session.prefill_tokens(tokens).map_err(js)
    }

    /// Records the `most` largest shares of recalled items of every single token from now on; 0 stops.
    pub fn inspect(&mut self, most: usize) {
        self.session.inspect(most);
    }

    /// Sets how the next tokens are drawn; the random numbers of the seed go on after the tokens that were drawn.
    pub fn begin(&mut self, sampling: &Sampling) -> Result<(), JsError> {
        self.decoder = Some(self.session.decoder(&sampling.0).map_err(js)?);
        Ok(())
    }

    /// Draws a token. The text of the `last` one includes what was held back because a stop string could begin there.
    #[wasm_bindgen(js_name = draw)]
    pub fn draw_token(&mut self, last: bool) -> Result<u32, JsError> {
        self.draw(last).map_err(js)
    }

    /// Whether a stop string or the end-of-text token ended the text at the newest token.
    #[wasm_bindgen(getter)]
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// The text that the newest token completes; a character or a possible stop string that tokens share comes with the last
    /// of them.
    #[wasm_bindgen(getter)]
    pub fn text(&self) -> String {
        self.text.clone()
    }

    /// What each layer did at the newest position: three gates, then `most` pairs of a recalled item and its share. An item is
    /// its position, or −1 − its index for a learned slot; absent values are NaN. Empty where it was not inspected.
    pub fn seen(&self, most: usize) -> Vec<f64> {
        let mut all = Vec::new();
        let Some(inspector) = self.session.inspection() else { return all };
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
        self.session.position() as f64
    }

    /// Forgets everything.
    pub fn reset(&mut self) -> Result<(), JsError> {
        self.session.reset().map_err(js)
    }

    /// A copy of everything that the session remembers.
    pub fn snapshot(&mut self) -> Result<Snapshot, JsError> {
        self.session.snapshot().map(Snapshot).map_err(js)
    }

    /// Returns to a snapshot, of this session or of another one of the same model and layout.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), JsError> {
        self.session.restore(&snapshot.0).map_err(js)
    }
}
