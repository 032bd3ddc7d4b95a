use crate::{embed::Embedder, js, session::Session, threads};
use hh_core::{
    checkpoint::{Checkpoint, Metadata},
    config::Positions,
    embed::{Convention, Pooling},
    error::Error,
    model,
    tokenizer::{self, Tokenizer},
};
use hh_cpu::{Cpu, Level, Tensor, Threads};
use std::rc::Rc;
use wasm_bindgen::prelude::*;

/// Key of a checkpoint's metadata: positions of the sequences that it was trained on.
const CONTEXT: &str = "context";
/// Positions of a session where the checkpoint does not say.
const FALLBACK_CONTEXT: usize = 1024;
/// Longest context that can be asked for.
const MAX_CONTEXT: usize = 1 << 24;

/// Collects a checkpoint that comes piece by piece, where it will be read: a download needs no second copy.
#[wasm_bindgen]
pub struct Loader {
    bytes: Vec<u8>,
}

#[wasm_bindgen]
impl Loader {
    /// Room for a file of `size` bytes, which may turn out to be longer; 0 if nobody knows.
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
        self.bytes.try_reserve_exact(more).map_err(|_| JsError::new(&format!("out of memory: no room for a file of {full:.1} MB")))
    }
}

/// Weights, tokenizer, and how the model was trained.
pub(crate) struct Loaded {
    pub(crate) model: model::Model<Tensor<f32>>,
    pub(crate) tokenizer: Box<dyn Tokenizer>,
    /// Positions of the sequences that it was trained on.
    pub(crate) context: usize,
    pub(crate) threads: Threads,
    /// How it was trained to make vectors.
    pub(crate) convention: Convention,
    step: u64,
}

/// A model that is ready to run.
#[wasm_bindgen]
pub struct Model(Rc<Loaded>);

impl Model {
    fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let checkpoint = Checkpoint::parse(bytes)?;
        let c = checkpoint.config();
        let json = checkpoint.tokenizer_json().ok_or_else(|| {
            Error::Checkpoint("the checkpoint has no tokenizer inside: train or export it with one, so that text can become ids".into())
        })?;
        let tokenizer = tokenizer::from_json(json)?;
        if tokenizer.vocab_size() > c.vocab_size {
            return Err(Error::Checkpoint(
                format!("the tokenizer has {} ids and the model only {}: it is not the model's", tokenizer.vocab_size(), c.vocab_size)
                    .into(),
            ));
        }
        let threads = threads::hired();
        let model = model::Model::from_checkpoint(&mut Cpu::<f32>::new(threads.clone()), &checkpoint)?;
        let most = if c.positions == Positions::Learned { c.max_len } else { MAX_CONTEXT };
        let context = trained_context(checkpoint.metadata()).min(most);
        let convention = Convention::of(checkpoint.metadata())?;
        Ok(Self(Rc::new(Loaded { model, tokenizer, context, threads, convention, step: checkpoint.step() })))
    }
}

/// What a checkpoint says that it was trained on.
fn trained_context(metadata: &Metadata) -> usize {
    let said = metadata.get(CONTEXT).and_then(|n| n.parse().ok());
    said.filter(|n| (1..=MAX_CONTEXT).contains(n)).unwrap_or(FALLBACK_CONTEXT)
}

#[wasm_bindgen]
impl Model {
    /// A session that remembers nothing yet. What is not given is the checkpoint's.
    pub fn session(&self, context: Option<usize>, segments: Option<usize>) -> Result<Session, JsError> {
        let c = &self.0.model.config;
        let most = if c.positions == Positions::Learned { c.max_len } else { MAX_CONTEXT };
        let context = context.unwrap_or(self.0.context);
        if context > most {
            return Err(JsError::new(&format!("a context of {context} is more than the {most} positions that this model can hold")));
        }
        Session::new(self.0.clone(), context, segments).map_err(js)
    }

    /// What makes vectors of texts: pooling `mean`, `last` or `weighted`, the checkpoint's if not given; the first `dimensions`
    /// of a vector, all if not given.
    pub fn embedder(&self, pooling: Option<String>, dimensions: Option<usize>) -> Result<Embedder, JsError> {
        let pooling = match pooling.as_deref() {
            None => None,
            Some("mean") => Some(Pooling::Mean),
            Some("last") => Some(Pooling::Last),
            Some("weighted") => Some(Pooling::Weighted),
            Some(pooling) => return Err(JsError::new(&format!("{pooling:?} is no pooling; there are mean, last and weighted"))),
        };
        Embedder::new(self.0.clone(), pooling, dimensions).map_err(js)
    }

    /// Ids of a text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, JsError> {
        self.0.tokenizer.encode(text).map_err(js)
    }

    /// The text of ids; what is not valid UTF-8 becomes U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        tokenizer::decode(&*self.0.tokenizer, ids)
    }

    /// The configuration, as the JSON that the checkpoint holds.
    #[wasm_bindgen(getter)]
    pub fn config(&self) -> String {
        self.0.model.config.to_json()
    }

    /// The tokenizer, as the JSON that the checkpoint holds.
    #[wasm_bindgen(getter)]
    pub fn tokenizer(&self) -> String {
        self.0.tokenizer.to_json()
    }

    /// Number of weights.
    #[wasm_bindgen(getter)]
    pub fn parameters(&self) -> usize {
        model::shapes(&self.0.model.config).iter().map(|(_, shape)| shape.count()).sum()
    }

    /// Positions of the sequences that it was trained on.
    #[wasm_bindgen(getter)]
    pub fn context(&self) -> usize {
        self.0.context
    }

    /// Training steps taken; 0 if the checkpoint does not say.
    #[wasm_bindgen(getter)]
    pub fn step(&self) -> f64 {
        self.0.step as f64
    }

    /// Threads that share its work.
    #[wasm_bindgen(getter)]
    pub fn threads(&self) -> usize {
        self.0.threads.count()
    }

    /// Its vector instructions.
    #[wasm_bindgen(getter)]
    pub fn instructions(&self) -> String {
        Level::detect().name().into()
    }
}
