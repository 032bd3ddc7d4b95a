use crate::{js, model::Loaded};
use hh_core::{
    embed::{self, Encoder, Form, Pooling},
    error::Error,
    model::Model,
    session::{self, Options},
};
use hh_cpu::{Cpu, Tensor};
use std::{ops::Deref, rc::Rc};
use wasm_bindgen::prelude::*;

/// What leads a running model to its weights.
pub(crate) struct Weights(pub(crate) Rc<Loaded>);

impl Deref for Weights {
    type Target = Model<Tensor<f32>>;
    fn deref(&self) -> &Self::Target {
        &self.0.model
    }
}

/// A running model.
pub(crate) type Running = session::Session<Cpu<f32>, Weights>;

/// Starts a model that remembers nothing.
pub(crate) fn start(loaded: &Rc<Loaded>, context: usize, segments: Option<usize>) -> Result<Running, Error> {
    let options = Options { context, segments, ..Options::default() };
    session::Session::new(Cpu::new(loaded.threads.clone()), Weights(loaded.clone()), options)
}

/// Makes vectors of texts.
#[wasm_bindgen]
pub struct Embedder {
    encoder: Encoder<Cpu<f32>, Weights>,
    form: Form,
}

impl Embedder {
    /// What is not given is the model's own.
    pub(crate) fn new(loaded: Rc<Loaded>, pooling: Option<Pooling>, dimensions: Option<usize>) -> Result<Self, Error> {
        let form = Form {
            pooling: pooling.unwrap_or(loaded.convention.pooling),
            dim: dimensions.unwrap_or(loaded.model.config.vector_dim()),
            normalise: true,
        };
        form.check(&loaded.model.config)?;
        let options = embed::Options { context: loaded.context, ..embed::Options::default() };
        Ok(Self { encoder: Encoder::new(Cpu::new(loaded.threads.clone()), Weights(loaded), options)?, form })
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
    /// The vector of a text, of length 1.
    pub fn embed(&mut self, text: &str) -> Result<Vec<f32>, JsError> {
        self.vector(text).map_err(js)
    }
}
