//! `/v1/completions`.

mod answer;
mod batch;
mod generate;
mod request;
mod stream;

use super::request::{Body, Place};
use super::{Failure, Model, Server};
use answer::Answer;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
pub(super) use batch::Batch;
pub(super) use request::Asked;
use std::sync::Arc;

pub(super) async fn answer(State(server): State<Arc<Server>>, place: Place, Body(asked): Body<Asked>) -> Result<Response, Failure> {
    let Model::Language(model) = &server.model else {
        return Err(Failure::field(
            "model",
            format!("{} makes embeddings and cannot continue a text: ask /v1/embeddings, or serve a language model", server.names[0]),
        ));
    };
    server.require(asked.model())?;
    let (stream, usage) = asked.stream();
    // A long prompt takes a while to tokenize: other requests go on meanwhile.
    let (reading, tokens) = (model.clone(), server.options.tokens);
    let work = server.turns.run(move || asked.work(&reading, tokens)).await.map_err(Failure::ours)??;
    let session = match &work.session {
        Some(name) => Some(server.sessions.claim(name).ok_or_else(|| Failure::in_use(name))?),
        None => None,
    };
    let answer = Answer::new(&server, &work);
    let pieces = generate::begin(server.clone(), model.clone(), work, session, place);
    if stream {
        Ok(answer.stream(pieces, usage, server.options.patience))
    } else {
        answer.whole(pieces).await.map(IntoResponse::into_response)
    }
}
