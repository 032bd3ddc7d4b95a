//! Why a request has no answer, in the form that clients of OpenAI expect.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// An error of a request.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    message: String,
    /// The field that is to blame.
    param: Option<&'static str>,
    code: Option<&'static str>,
}

impl Failure {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), param: None, code: None }
    }

    /// A field that cannot be followed.
    pub(super) fn field(param: &'static str, message: impl Into<String>) -> Self {
        Self { param: Some(param), ..Self::new(StatusCode::BAD_REQUEST, message) }
    }

    /// A text that is too long.
    pub(super) fn too_long(param: &'static str, message: impl Into<String>) -> Self {
        Self { code: Some("context_length_exceeded"), ..Self::field(param, message) }
    }

    /// A session that another request continues.
    pub(super) fn in_use(name: &str) -> Self {
        let message = format!("session \"{name}\" is being continued by another request: wait for its answer");
        Self { param: Some("session"), code: Some("session_in_use"), ..Self::new(StatusCode::CONFLICT, message) }
    }

    /// A session whose file is damaged or belongs to other weights.
    pub(super) fn unusable_session(error: impl std::fmt::Display) -> Self {
        let message = format!("the session cannot go on: {error}; begin one of another name");
        Self { param: Some("session"), code: Some("session_unusable"), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, message) }
    }

    /// An error of the server, not of the client.
    pub(super) fn ours(error: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }

    pub(super) fn no_model(asked: &str, names: &[String]) -> Self {
        let message = format!(
            "there is no model \"{asked}\"; this server has \"{}\": name it, or start the server with --alias",
            names.join("\", \"")
        );
        Self { param: Some("model"), code: Some("model_not_found"), ..Self::new(StatusCode::NOT_FOUND, message) }
    }

    pub(super) fn no_key() -> Self {
        let message = "the request has no valid key: send the header `Authorization: Bearer KEY`";
        Self { code: Some("invalid_api_key"), ..Self::new(StatusCode::UNAUTHORIZED, message) }
    }

    pub(super) fn busy(requests: usize) -> Self {
        let message = format!("{requests} requests are being answered: try again later, or start the server with a larger --max-requests");
        Self { code: Some("rate_limit_exceeded"), ..Self::new(StatusCode::TOO_MANY_REQUESTS, message) }
    }

    pub(super) fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there are /v1/embeddings, /v1/completions, /v1/models, /health and /metrics")
    }

    pub(super) fn no_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "embeddings and completions take POST, all else takes GET")
    }

    /// As JSON.
    pub(super) fn body(&self) -> Value {
        let kind = if self.status.is_server_error() { "server_error" } else { "invalid_request_error" };
        json!({"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}})
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let header = match self.status {
            StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, "Bearer")),
            StatusCode::TOO_MANY_REQUESTS => Some((header::RETRY_AFTER, "1")),
            // The rest of the body is not read.
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT => Some((header::CONNECTION, "close")),
            _ => None,
        };
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value.parse().expect("ASCII"));
        }
        response
    }
}
