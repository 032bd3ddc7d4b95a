//! `/v1/embeddings`.

use crate::Shared;
use crate::openai::{Body, Failure, Texts};
use axum::Json;
use axum::extract::State;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hh::{EmbedOptions, Error, Prompt};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Texts of a request at most.
const MOST: usize = 2048;

#[derive(Deserialize)]
pub(crate) struct Asked {
    model: Option<String>,
    input: Texts,
    #[serde(default)]
    encoding_format: Encoding,
    dimensions: Option<usize>,
    /// Not OpenAI's, but known from other servers: what the texts are for.
    #[serde(default)]
    input_type: Type,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Float,
    /// The bytes of little-endian f32.
    Base64,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Type {
    #[default]
    Plain,
    Query,
    Document,
}

pub(crate) async fn answer(State(shared): State<Arc<Shared>>, Body(asked): Body<Asked>) -> Result<Json<Answer>, Failure> {
    shared.require(asked.model.as_deref())?;
    let texts = asked.input.list("input", MOST)?;
    let prompt = match asked.input_type {
        Type::Plain => Prompt::Plain,
        Type::Query => Prompt::Query,
        Type::Document => Prompt::Document,
    };
    if let Some(dim) = asked.dimensions.filter(|&dim| dim == 0 || dim > shared.embedder.dim()) {
        return Err(Failure::field(
            "dimensions",
            format!("dimensions is {dim}; this model has vectors of 1 to {} numbers", shared.embedder.dim()),
        ));
    }
    let options = EmbedOptions { prompt, truncate_dim: asked.dimensions, ..EmbedOptions::default() };
    let seat = shared.seats.clone().acquire_owned().await.map_err(Failure::ours)?;
    let working = shared.clone();
    let made = tokio::task::spawn_blocking(move || -> Result<_, Error> {
        let vectors = working.embedder.embed(&texts, &options)?;
        let tokens: usize = texts.iter().map(|text| working.embedder.tokenizer().encode(text).map_or(0, |ids| ids.len())).sum();
        drop(seat);
        Ok((vectors, tokens))
    });
    let (vectors, tokens) = made.await.map_err(Failure::ours)?.map_err(|e| match e {
        e @ Error::Core(_) => Failure::ours(e),
        e => Failure::field("input", e.to_string()),
    })?;
    let numbers = vectors.as_f32().unwrap_or_default().chunks(vectors.dim()).enumerate();
    let data = numbers.map(|(index, vector)| Datum { object: "embedding", index, embedding: asked.encoding_format.of(vector) }).collect();
    let usage = Usage { prompt_tokens: tokens, total_tokens: tokens };
    Ok(Json(Answer { object: "list", data, model: shared.name.clone(), usage }))
}

impl Encoding {
    fn of(self, vector: &[f32]) -> Numbers {
        match self {
            Self::Float => Numbers::Float(vector.to_vec()),
            Self::Base64 => Numbers::Base64(BASE64_STANDARD.encode(vector.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Answer {
    object: &'static str,
    data: Vec<Datum>,
    model: String,
    usage: Usage,
}

#[derive(Serialize)]
struct Datum {
    object: &'static str,
    index: usize,
    embedding: Numbers,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Numbers {
    Float(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}
