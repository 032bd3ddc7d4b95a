//! Text embeddings: hidden states pooled over the text, through `pooled.weight` if the model has one, shortened if asked, made
//! unit vectors if asked.

mod convention;
mod encoder;
pub(crate) mod plan;
mod pooling;
pub(crate) mod text_batch;

pub use convention::{CONVENTION, Convention};
pub use encoder::{Encoder, Form, Options, check};
pub use plan::{Batch, Buckets, Plan};
pub use pooling::{Pooler, Pooling, normalise};
