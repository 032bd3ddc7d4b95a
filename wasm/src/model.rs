use crate::{embed::Embedder, js, loaded::Loaded, session::Session, threads};
use hh::{Error, LoadedModel};
use hh_core::{checkpoint::Checkpoint, embed::Pooling, model, tokenizer};
use hh_cpu::{Cpu, Level, Threads};
use std::rc::Rc;
use wasm_bindgen::prelude::*;

/// Collects a checkpoint that comes piece by piece, where it will be read: a download needs no second copy.
#[wasm_bindgen]
pub struct Loader {
    bytes: Vec<u8>,
}

#[wasm_bindgen]
impl Loader {
    /// Reserves memory for a file of `size` bytes, which may turn out to be longer; 0 if the size is unknown.
    #[wasm_bindgen(constructor)]
    pub fn new(size: usize) -> Result<Loader, JsError> {
        let mut loader = Loader { bytes: Vec::new() };
        loader.reserve(size)?;
        Ok(loader)
    }

    /// The next piece.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), JsError> {
        if self.bytes.capacity() - self.bytes.len() < piece.len() {
            self.reserve(piece.len().max(self.bytes.len() / 2))?;
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// The model, once all pieces are there.
    pub fn finish(self) -> Result<Model, JsError> {
        Model::parse(&self.bytes).map_err(js)
    }

    fn reserve(&mut self, more: usize) -> Result<(), JsError> {
        let full = (self.bytes.len() + more) as f64 / 1e6;
        self.bytes.try_reserve_exact(more).map_err(|_| JsError::new(&format!("out of memory for a file of {full:.1} MB")))
    }
}

/// A model that is ready to run.
#[wasm_bindgen]
pub struct Model {
    loaded: Loaded,
    threads: Threads,
}

impl Model {
    fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let threads = threads::hired();
        let loaded = LoadedModel::load(&mut Cpu::<f32>::new(threads.clone()), &Checkpoint::parse(bytes)?)?;
        Ok(Self { loaded: Rc::new(loaded), threads })
    }

    fn backend(&self) -> Cpu<f32> {
        Cpu::new(self.threads.clone())
    }
}

#[wasm_bindgen]
impl Model {
    /// A session that remembers nothing yet. What is not given is the checkpoint's.
    pub fn session(&self, context: Option<usize>, segments: Option<usize>) -> Result<Session, JsError> {
        Session::new(self.backend(), self.loaded.clone(), context, segments).map_err(js)
    }

    /// Computes embeddings of texts: pooling `mean`, `last` or `weighted`, the checkpoint's if not given; the first `dimensions`
    /// of a vector, all if not given.
    pub fn embedder(&self, pooling: Option<String>, dimensions: Option<usize>) -> Result<Embedder, JsError> {
        let pooling = match pooling.as_deref() {
            None => None,
            Some("mean") => Some(Pooling::Mean),
            Some("last") => Some(Pooling::Last),
            Some("weighted") => Some(Pooling::Weighted),
            Some(pooling) => return Err(JsError::new(&format!("{pooling:?} is no pooling; there are mean, last and weighted"))),
        };
        Embedder::new(self.backend(), self.loaded.clone(), pooling, dimensions).map_err(js)
    }

    /// Ids of a text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, JsError> {
        self.loaded.tokenizer.encode(text).map_err(|e| js(e.into()))
    }

    /// The text of ids; what is not valid UTF-8 becomes U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        tokenizer::decode(&*self.loaded.tokenizer, ids)
    }

    /// The configuration, as the JSON that the checkpoint holds.
    #[wasm_bindgen(getter)]
    pub fn config(&self) -> String {
        self.loaded.model.config.to_json()
    }

    /// The tokenizer, as the JSON that the checkpoint holds.
    #[wasm_bindgen(getter)]
    pub fn tokenizer(&self) -> String {
        self.loaded.tokenizer.to_json()
    }

    /// Number of weights.
    #[wasm_bindgen(getter)]
    pub fn parameters(&self) -> usize {
        model::shapes(&self.loaded.model.config).iter().map(|(_, shape)| shape.count()).sum()
    }

    /// Positions of the sequences that it was trained on.
    #[wasm_bindgen(getter)]
    pub fn context(&self) -> usize {
        self.loaded.context.min(hh::context_limit(&self.loaded.model.config))
    }

    /// Training steps taken; 0 if the checkpoint does not say.
    #[wasm_bindgen(getter)]
    pub fn step(&self) -> f64 {
        self.loaded.step as f64
    }

    /// Threads that share its work.
    #[wasm_bindgen(getter)]
    pub fn threads(&self) -> usize {
        self.threads.count()
    }

    /// Its vector instructions.
    #[wasm_bindgen(getter)]
    pub fn instructions(&self) -> String {
        Level::detect().name().into()
    }
}
