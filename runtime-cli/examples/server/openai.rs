//! What both kinds of answers have in common: how a request is read, and how one is refused.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    message: String,
    /// The field that is to blame.
    param: Option<&'static str>,
    code: Option<&'static str>,
}

impl Failure {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), param: None, code: None }
    }

    /// A field that cannot be followed.
    pub(crate) fn field(param: &'static str, message: impl Into<String>) -> Self {
        Self { param: Some(param), ..Self::new(StatusCode::BAD_REQUEST, message) }
    }

    /// A text that is too long for the model.
    pub(crate) fn too_long(message: impl Into<String>) -> Self {
        Self { code: Some("context_length_exceeded"), ..Self::new(StatusCode::BAD_REQUEST, message) }
    }

    /// The machine failed, not the client.
    pub(crate) fn ours(error: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }

    pub(crate) fn no_model(asked: &str, there: &str) -> Self {
        let message = format!("there is no model \"{asked}\" here; there is \"{there}\"");
        Self { param: Some("model"), code: Some("model_not_found"), ..Self::new(StatusCode::NOT_FOUND, message) }
    }

    pub(crate) fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there are /v1/embeddings, /v1/completions and /v1/models")
    }

    pub(crate) fn no_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "/v1/models is asked by GET, all else by POST")
    }

    /// As clients of OpenAI's expect it.
    pub(crate) fn body(&self) -> Value {
        let kind = if self.status.is_server_error() { "server_error" } else { "invalid_request_error" };
        json!({"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}})
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(self.body())).into_response()
    }
}

/// The body of a request.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        match Json::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            // A field of the wrong type is a bad request to OpenAI's clients.
            Err(JsonRejection::JsonDataError(e)) => Err(Failure::new(StatusCode::BAD_REQUEST, e.body_text())),
            Err(e) => Err(Failure::new(e.status(), e.body_text())),
        }
    }
}

/// One text or several. Lists of token ids are texts to OpenAI too; here they are refused.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Texts {
    One(String),
    Several(Vec<String>),
    Other(Value),
}

impl Texts {
    /// The texts of a field.
    pub(crate) fn list(self, field: &'static str, most: usize) -> Result<Vec<String>, Failure> {
        let texts = match self {
            Self::One(text) => vec![text],
            Self::Several(texts) => texts,
            Self::Other(_) => return Err(Failure::field(field, format!("{field} must be a text or a list of texts"))),
        };
        if texts.is_empty() || texts.len() > most {
            return Err(Failure::field(field, format!("{field} has {} texts; give 1 to {most}", texts.len())));
        }
        if let Some(i) = texts.iter().position(|text| text.trim().is_empty()) {
            return Err(Failure::field(field, format!("text {i} of {field} is empty")));
        }
        Ok(texts)
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
