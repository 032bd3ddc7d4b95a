//! `/v1/embeddings`.

use super::request::{Body, Place, Texts};
use super::{Failure, Server};
use axum::Json;
use axum::extract::State;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::{StreamExt, TryStreamExt, stream};
use hh::tokenizer::is_blank;
use hh::{EmbedOptions, Error, Prompt};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;

/// Texts of a request at most.
const MOST: usize = 2048;
/// Bytes of text that one turn embeds, unless a single text is longer: about 1,000 tokens, 50 ms of the English model.
const TURN: usize = 4096;

#[derive(Deserialize)]
pub(super) struct Asked {
    model: Option<String>,
    input: Texts,
    encoding_format: Option<Encoding>,
    dimensions: Option<usize>,
    /// Not OpenAI's, but known from other servers: what the texts are for.
    input_type: Option<String>,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Float,
    /// The bytes of little-endian f32.
    Base64,
}

impl Asked {
    /// The texts, none of them blank.
    pub(super) fn texts(self) -> Result<Vec<String>, Failure> {
        let texts = self.input.list("input", MOST)?;
        match texts.iter().position(|text| is_blank(text)) {
            Some(i) => Err(Failure::field("input", format!("text {i} of input is empty"))),
            None => Ok(texts),
        }
    }
}

/// The embeddings of one turn, row by row, and their tokens.
struct Part {
    values: Vec<f32>,
    tokens: usize,
}

pub(super) async fn answer(State(server): State<Arc<Server>>, place: Place, Body(asked): Body<Asked>) -> Result<Json<Answer>, Failure> {
    server.require(asked.model.as_deref())?;
    let (input_type, dimensions, encoding) =
        (prompt(asked.input_type.as_deref())?, asked.dimensions, asked.encoding_format.unwrap_or_default());
    let texts = asked.texts()?;
    let most = server.embedder.dim();
    if let Some(dim) = dimensions.filter(|&dim| dim == 0 || dim > most) {
        return Err(Failure::field("dimensions", format!("dimensions is {dim}; this model has embeddings of 1 to {most}")));
    }
    let options = EmbedOptions { prompt: input_type, truncate_dim: dimensions, ..EmbedOptions::default() };
    let (spans, texts) = (spans(&texts), Arc::new(texts));
    let parts = spans.into_iter().map(|span| part(server.clone(), texts.clone(), span, options.clone()));
    // Each request asks for as many turns at a time as there are threads.
    let parts: Vec<Part> = stream::iter(parts).buffered(server.options.threads).try_collect().await?;
    drop(place);
    let dim = dimensions.unwrap_or(most);
    let rows = parts.iter().flat_map(|part| part.values.chunks(dim)).enumerate();
    let data = rows.map(|(index, values)| Datum { object: "embedding", index, embedding: encoding.of(values) }).collect();
    let tokens = parts.iter().map(|part| part.tokens).sum();
    let usage = Usage { prompt_tokens: tokens, total_tokens: tokens };
    Ok(Json(Answer { object: "list", data, model: server.names[0].clone(), usage }))
}

/// The prompt that goes with a use, in the words of Cohere, Voyage, NVIDIA, Google and Jina.
fn prompt(input_type: Option<&str>) -> Result<Prompt, Failure> {
    Ok(match input_type.map(|kind| kind.to_ascii_lowercase().replace('-', "_")).as_deref() {
        None | Some("" | "plain" | "text" | "classification" | "clustering" | "similarity" | "semantic_similarity" | "text_matching") => {
            Prompt::Plain
        }
        Some("query" | "search_query" | "retrieval_query" | "retrieval.query" | "question_answering") => Prompt::Query,
        Some("document" | "passage" | "search_document" | "search_passage" | "retrieval_document" | "retrieval.passage") => {
            Prompt::Document
        }
        Some(kind) => {
            let message = format!(
                "input_type is {kind:?}; known are query, search_query, document, passage, search_document, classification, clustering"
            );
            return Err(Failure::field("input_type", message));
        }
    })
}

/// The texts of each turn.
fn spans(texts: &[String]) -> Vec<Range<usize>> {
    let (mut spans, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (i, text) in texts.iter().enumerate() {
        if bytes > 0 && bytes + text.len() > TURN {
            spans.push(start..i);
            (start, bytes) = (i, 0);
        }
        bytes += text.len().max(1);
    }
    spans.push(start..texts.len());
    spans
}

async fn part(server: Arc<Server>, texts: Arc<Vec<String>>, span: Range<usize>, options: EmbedOptions) -> Result<Part, Failure> {
    let working = server.clone();
    let work = move || {
        let (texts, most) = (&texts[span.clone()], working.options.tokens);
        let mut tokens = 0;
        for (i, text) in texts.iter().enumerate() {
            // What cannot be encoded is refused below.
            let count = working.embedder.tokenizer().encode(text).map_or(0, |ids| ids.len());
            if count > most {
                let i = span.start + i;
                let message = format!(
                    "text {i} of input has {count} tokens, and {most} are allowed: cut it, or start the server with a larger --max-tokens"
                );
                return Err(Failure::too_long("input", message));
            }
            tokens += count;
        }
        match working.embedder.embed(texts, &options) {
            Ok(made) => {
                working.metrics.embedded(texts.len(), tokens);
                Ok(Part { values: made.as_f32().unwrap_or_default().to_vec(), tokens })
            }
            Err(Error::Empty { text }) => Err(Failure::field("input", format!("text {} of input is empty", span.start + text))),
            Err(Error::Text { text, source }) => Err(Failure::field("input", format!("text {} of input: {source}", span.start + text))),
            Err(e) => Err(Failure::ours(e)),
        }
    };
    server.turns.run(work).await.map_err(Failure::ours)?
}

impl Encoding {
    fn of(self, values: &[f32]) -> Numbers {
        match self {
            Self::Float => Numbers::Float(values.to_vec()),
            Self::Base64 => Numbers::Base64(BASE64_STANDARD.encode(values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Answer {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_has_a_bounded_part_of_the_texts() {
        let texts = |lengths: &[usize]| lengths.iter().map(|&n| "x".repeat(n)).collect::<Vec<_>>();
        assert_eq!(spans(&texts(&[10])).first(), Some(&(0..1)));
        assert_eq!(spans(&texts(&[2000, 2000, 2000])), [0..2, 2..3]);
        assert_eq!(spans(&texts(&[9000, 1, 1])), [0..1, 1..3], "a longer text has a turn of its own");
        assert_eq!(spans(&texts(&[1, 9000, 1])), [0..1, 1..2, 2..3]);
    }

    #[test]
    fn uses_are_known_by_their_usual_names() {
        for (name, wanted) in [("search_query", Prompt::Query), ("RETRIEVAL_DOCUMENT", Prompt::Document), ("passage", Prompt::Document)] {
            assert_eq!(prompt(Some(name)).unwrap(), wanted, "{name}");
        }
        assert_eq!((prompt(None).unwrap(), prompt(Some("clustering")).unwrap()), (Prompt::Plain, Prompt::Plain));
        assert!(prompt(Some("poem")).is_err());
    }
}
