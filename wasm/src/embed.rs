use crate::{js, model::Loaded};
use hh_core::{
    embed::{Pooler, Pooling},
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
    running: Running,
    pooling: Pooling,
    dimensions: usize,
}

impl Embedder {
    pub(crate) fn new(loaded: Rc<Loaded>, pooling: Pooling, dimensions: Option<usize>) -> Result<Self, Error> {
        let dimensions = dimensions.unwrap_or(loaded.model.config.width);
        Ok(Self { running: start(&loaded, loaded.context, None)?, pooling, dimensions })
    }

    fn vector(&mut self, text: &str) -> Result<Vec<f32>, Error> {
        let ids = self.running.model().0.tokenizer.encode(text)?;
        let mut pooler = Pooler::new(self.pooling, self.running.config().width);
        if !ids.is_empty() {
            self.running.reset()?;
            self.running.hidden(&ids, |hidden| pooler.push(hidden))?;
        }
        pooler.finish(self.dimensions)
    }
}

#[wasm_bindgen]
impl Embedder {
    /// The vector of a text, of length 1.
    pub fn embed(&mut self, text: &str) -> Result<Vec<f32>, JsError> {
        self.vector(text).map_err(js)
    }
}
