//! Text embeddings: hidden states pooled over the text, through `pooled.weight` if the model has one, shortened if asked, made
//! unit vectors if asked.

mod convention;
mod encoder;
mod plan;
mod pooling;

pub use convention::{CONVENTION, Convention};
pub use encoder::{Encoder, Form, Options, check};
pub use plan::Plan;
pub use pooling::{Pooler, Pooling, normalise};
