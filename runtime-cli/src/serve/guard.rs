//! What every request passes: the key, the counters, and the log.

use super::{Failure, Server};
use crate::stderr::say;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::time::Instant;

/// Refuses requests without the key, if there is one. `/health` needs none.
pub(super) async fn key(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let Some(key) = &server.options.key else { return next.run(request).await };
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    if given.is_some_and(|given| is_same(given, key.as_bytes())) || request.uri().path().trim_end_matches('/') == "/health" {
        return next.run(request).await;
    }
    Failure::no_key().into_response()
}

/// Compares without telling by the time how many bytes agree.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}

/// Counts the request; prints method, route, status and time if that was asked for.
pub(super) async fn count(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    // A path that is no route may hold anything.
    let line = server.options.log.then(|| {
        let route = request.extensions().get::<axum::extract::MatchedPath>().map_or("(no route)", |path| path.as_str());
        format!("{} {route}", request.method())
    });
    let response = next.run(request).await;
    let (status, time) = (response.status(), begun.elapsed());
    server.metrics.answered(status.as_u16(), time);
    if let Some(line) = line {
        say(format_args!("{line} {} {:.1} ms", status.as_u16(), 1e3 * time.as_secs_f64()));
    }
    response
}
