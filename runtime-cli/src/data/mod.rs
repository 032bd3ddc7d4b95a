//! Text data: files of any size, shards of token ids, and the windows for training and validation.

mod dataset;
#[cfg(feature = "download")]
pub mod get;
pub mod sets;
pub mod shard;
pub(crate) mod source;
pub(crate) mod spool;
mod stream;
mod text;
pub(crate) mod zstd;

pub use dataset::{Dataset, MicroBatch, Windows};
pub use stream::TokenStream;
pub use text::{Text, ids, texts};
