//! Text embeddings: hidden states pooled over the text, through `pooled.weight` if the model has one, shortened if asked, made
//! unit vectors.

mod convention;
mod pooling;

pub use convention::{CONVENTION, Convention};
pub use pooling::{Pooler, Pooling};
