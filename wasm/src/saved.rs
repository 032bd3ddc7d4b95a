use crate::js;
use hh::TextState;
use wasm_bindgen::prelude::*;

/// Everything that a session remembers.
#[wasm_bindgen]
pub struct Snapshot(pub(crate) TextState);

#[wasm_bindgen]
impl Snapshot {
    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    #[wasm_bindgen(constructor)]
    pub fn new(bytes: &[u8]) -> Result<Snapshot, JsError> {
        TextState::from_bytes(bytes).map(Self).map_err(|e| js(e.into()))
    }

    /// Bytes to keep.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    /// Tokens that the session had read and drawn.
    #[wasm_bindgen(getter)]
    pub fn position(&self) -> f64 {
        self.0.position() as f64
    }
}
