//! `embed(text)` and `cosine(a, b)` as functions of Apache DataFusion, and so of all that is built on it, Ballista among them.
//!
//! ```no_run
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! use datafusion::prelude::SessionContext;
//!
//! let context = SessionContext::new();
//! hh_datafusion::register(&context, hh::Embedder::english()?);
//! context.sql("SELECT cosine(embed('A cat sits.'), embed('Where is the cat?', 'query'))").await?.show().await?;
//! # Ok(())
//! # }
//! ```

mod cosine;
mod embed;

pub use cosine::Cosine;
pub use embed::Embed;

use datafusion::{
    arrow::datatypes::{DataType, Field},
    logical_expr::ScalarUDF,
    prelude::SessionContext,
};
use hh::Embedder;
use std::sync::Arc;

/// Registers both functions. Each partition of a query embeds on a thread of its own, so the embedder uses one thread for a call.
pub fn register(context: &SessionContext, embedder: Embedder) {
    context.register_udf(ScalarUDF::new_from_impl(Embed::new(embedder.with_threads(1))));
    context.register_udf(ScalarUDF::new_from_impl(Cosine::default()));
}

/// The type of embeddings of `dim` dimensions: a list of that many floats, none of them null.
fn vectors(dim: i32) -> DataType {
    DataType::FixedSizeList(Arc::new(item()), dim)
}

fn item() -> Field {
    Field::new_list_field(DataType::Float32, false)
}
