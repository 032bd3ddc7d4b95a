//! Text data: files of any size, shards of token ids, and the windows for training and validation.

#[cfg(feature = "tables")]
pub(crate) mod compress;
mod dataset;
#[cfg(feature = "download")]
pub mod get;
mod gzip;
mod order;
pub mod sets;
pub mod shard;
pub(crate) mod source;
pub(crate) mod spool;
mod stream;
pub(crate) mod surrogates;
mod text;
pub(crate) mod zstd;

pub use dataset::{Dataset, MicroBatch, RowOrder, Windows};
pub use order::WindowOrder;
pub use stream::TokenStream;
pub use text::{Text, ids, texts};
