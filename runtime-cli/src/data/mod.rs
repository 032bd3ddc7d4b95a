//! Text in, batches of ids out: reading files of any size, shards of ids, and the windows that training and validation see.

mod dataset;
pub mod get;
pub mod shard;
mod stream;
mod text;
mod zstd;

pub use dataset::{Dataset, Windows};
pub use stream::TokenStream;
pub use text::{Text, texts};
