//! How a request is admitted and read.

use super::{Failure, Server};
use axum::body::Body as HttpBody;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use futures_util::StreamExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// The place of a request among those that are answered at a time; it is taken before the body is read.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl FromRequestParts<Arc<Server>> for Place {
    type Rejection = Failure;

    async fn from_request_parts(_: &mut Parts, server: &Arc<Server>) -> Result<Self, Failure> {
        let permit = server.places.clone().try_acquire_owned();
        permit.map(|permit| Self { _permit: permit }).map_err(|_| Failure::busy(server.options.requests))
    }
}

/// The body of a request, from JSON.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Server>> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, server: &Arc<Server>) -> Result<Self, Failure> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.trim_start().to_ascii_lowercase().starts_with("application/json") {
            let message = "the body must be JSON: send the header `content-type: application/json`";
            return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
        let (limit, patience) = (server.options.body, server.options.patience);
        let late = |_| Failure::new(StatusCode::REQUEST_TIMEOUT, format!("the body did not arrive within {} s", patience.as_secs()));
        let bytes = timeout(patience, read(request.into_body(), limit)).await.map_err(late)??;
        serde_json::from_slice(&bytes).map(Self).map_err(|e| Failure::new(StatusCode::BAD_REQUEST, format!("the body cannot be read: {e}")))
    }
}

async fn read(body: HttpBody, limit: usize) -> Result<Vec<u8>, Failure> {
    let (mut body, mut bytes) = (body.into_data_stream(), Vec::new());
    while let Some(part) = body.next().await {
        let part = part.map_err(|e| Failure::new(StatusCode::BAD_REQUEST, format!("the body cannot be received: {e}")))?;
        if bytes.len() + part.len() > limit {
            let limit = limit as f64 / f64::from(1 << 20);
            let message =
                format!("the body has more than {limit} MiB: send fewer texts at a time, or start the server with a larger --max-body");
            return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// One text or several.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Texts {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
    /// Anything else: lists of token ids are texts to OpenAI.
    Other(Value),
}

impl Texts {
    /// The texts of a field, none of them blank.
    pub(super) fn list(self, field: &'static str, most: usize) -> Result<Vec<String>, Failure> {
        let texts = match self {
            Self::One(text) => vec![text],
            Self::Several(texts) => texts,
            Self::Other(value) if is_ids(&value) => {
                let message = format!(
                    "{field} has token ids, which are not those of this model: send texts; in LangChain, \
                     OpenAIEmbeddings(check_embedding_ctx_length=False)"
                );
                return Err(Failure::field(field, message));
            }
            Self::Other(_) => return Err(Failure::field(field, format!("{field} must be a text or a list of texts"))),
        };
        if texts.is_empty() || texts.len() > most {
            return Err(Failure::field(field, format!("{field} has {} texts; give 1 to {most}", texts.len())));
        }
        Ok(texts)
    }
}

/// Whether a value is a list of numbers, or a list of such lists.
fn is_ids(value: &Value) -> bool {
    value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(|item| item.is_number() || is_ids(item)))
}
