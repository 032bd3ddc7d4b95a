//! Text in, batches of ids out: reading files of any size, shards of ids, and the windows that training and validation see.

mod dataset;
#[cfg(feature = "download")]
pub mod get;
pub mod sets;
pub mod shard;
pub(crate) mod source;
mod stream;
mod text;
pub(crate) mod zstd;

pub use dataset::{Dataset, MicroBatch, Windows};
pub use stream::TokenStream;
pub use text::{Text, texts};
