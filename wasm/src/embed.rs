use crate::{js, loaded::Loaded};
use hh::{Error, Weights};
use hh_core::embed::{self, Encoder, Form, Pooling};
use hh_cpu::Cpu;
use wasm_bindgen::prelude::*;

/// Makes embeddings of texts.
#[wasm_bindgen]
pub struct Embedder {
    encoder: Encoder<Cpu<f32>, Weights<Loaded>>,
    form: Form,
}

impl Embedder {
    /// Pooling and dimensions that are not given are the model's own.
    pub(crate) fn new(backend: Cpu<f32>, loaded: Loaded, pooling: Option<Pooling>, dimensions: Option<usize>) -> Result<Self, Error> {
        let c = &loaded.model.config;
        let form =
            Form { pooling: pooling.unwrap_or(loaded.convention.pooling), dim: dimensions.unwrap_or(c.vector_dim()), normalise: true };
        form.check(c)?;
        let options = embed::Options { context: loaded.session_context(None)?, ..embed::Options::default() };
        Ok(Self { encoder: Encoder::new(backend, Weights(loaded), options)?, form })
    }

    fn vector(&mut self, text: &str) -> Result<Vec<f32>, Error> {
        let ids = self.encoder.model().0.tokenizer.encode(text)?;
        let mut vector = vec![0.0; self.form.dim];
        self.encoder.encode(&[ids], self.form, &mut vector)?;
        Ok(vector)
    }
}

#[wasm_bindgen]
impl Embedder {
    /// The embedding of a text, of length 1.
    pub fn embed(&mut self, text: &str) -> Result<Vec<f32>, JsError> {
        self.vector(text).map_err(js)
    }
}
