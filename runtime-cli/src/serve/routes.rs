//! The routes.

use super::{Failure, Server, completions, embeddings, guard};
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router, middleware};
use serde_json::{Value, json};
use std::sync::Arc;

/// All routes, with and without `/v1`, with and without a slash at the end.
pub(super) fn router(server: Arc<Server>) -> Router {
    let routes: [(&str, MethodRouter<Arc<Server>>); 6] = [
        ("/embeddings", post(embeddings::answer)),
        ("/completions", post(completions::answer)),
        ("/models", get(models)),
        ("/models/{*id}", get(model)),
        ("/health", get(health)),
        ("/metrics", get(metrics)),
    ];
    let mut router = Router::new();
    for (path, method) in routes {
        for prefix in ["", "/v1"] {
            router = router.route(&format!("{prefix}{path}"), method.clone());
            if !path.contains('{') {
                router = router.route(&format!("{prefix}{path}/"), method.clone());
            }
        }
    }
    let router = router
        .fallback(|| async { Failure::no_route() })
        .method_not_allowed_fallback(|| async { Failure::no_method() })
        .layer(middleware::from_fn_with_state(server.clone(), guard::key));
    // Outside of the key: a browser sends its preflight request without one.
    let router = match &server.options.origins {
        Some(origins) => router.layer(origins.layer()),
        None => router,
    };
    router.layer(middleware::from_fn_with_state(server.clone(), guard::count)).with_state(server)
}

fn description(server: &Server, name: &str) -> Value {
    json!({"id": name, "object": "model", "created": server.created, "owned_by": "hh"})
}

async fn models(State(server): State<Arc<Server>>) -> Json<Value> {
    let all: Vec<_> = server.names.iter().map(|name| description(&server, name)).collect();
    Json(json!({"object": "list", "data": all}))
}

async fn model(State(server): State<Arc<Server>>, Path(id): Path<String>) -> Result<Json<Value>, Failure> {
    let id = id.trim_end_matches('/');
    server.require(Some(id))?;
    Ok(Json(description(&server, id)))
}

async fn health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

async fn metrics(State(server): State<Arc<Server>>) -> impl IntoResponse {
    let in_flight = server.options.requests - server.places.available_permits();
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        server.metrics.text(in_flight, server.prefixes.stats(), server.sessions.stats()),
    )
}
