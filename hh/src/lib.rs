//! Text embeddings and text generation in a Rust program, from one checkpoint file.
//!
//! # Embeddings
//!
#![cfg_attr(feature = "english", doc = "```")]
#![cfg_attr(not(feature = "english"), doc = "```ignore")]
//! use hh::{EmbedOptions, Embedder};
//!
//! # fn main() -> Result<(), hh::Error> {
//! let embedder = Embedder::english()?; // feature `english`; or Embedder::from_file("model.safetensors")
//! let passages = embedder.embed(&["A cat sits on the mat.", "Shares fell on Monday."], &EmbedOptions::document())?;
//! let query = embedder.embed(&["Where is the cat?"], &EmbedOptions::query())?;
//! assert_eq!(passages.top_k(query.vector(0), 1)?[0].index, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Generation
//!
//! ```no_run
//! use hh::{GenerateOptions, TextModel};
//!
//! # fn main() -> Result<(), hh::Error> {
//! let model = TextModel::from_file("runs/char-0.8m-1")?;
//! let mut session = model.session()?;
//! session.prefill("Anna ")?;
//! let here = session.snapshot()?; // the whole recurrent state; `to_bytes` stores it
//! for piece in session.generate(&GenerateOptions { max_tokens: 200, ..Default::default() })? {
//!     print!("{}", piece?);
//! }
//! session.restore(&here)?; // back to "Anna "
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! - `english`: an embedding model of English inside the program, 8.8 MB.
//! - `tokenizers`: tokenizer files of other programs (`tokenizer.json`, `vocab.bpe`, `merges.txt`).
#![forbid(unsafe_code)]

mod checkpoint;
mod embedder;
mod error;
mod files;
pub mod hugging_face;
mod text;
pub mod tokenizer;

pub use checkpoint::{CONTEXT, LoadedModel, MAX_CONTEXT, context_limit, trained_context};
pub use embedder::{Blank, EmbedOptions, Embedder, Embeddings, Hit, Output, Prompt, Values, Vector};
pub use error::Error;
pub use hh_core::embed::{Convention, Pooling};
pub use hh_core::sample::SamplerConfig;
pub use text::{
    BEFORE, CacheStats, Continuation, Decoder, Drawn, GenerateOptions, Generation, KeyFormat, Memory, Passage, Piece, PrefixCache, RECENT,
    StopStrings, TextBatch, TextModel, TextSession, TextState, Weights,
};

/// The examples of README.md and docs/embeddings.md compile and run.
#[cfg(all(doctest, feature = "english"))]
mod pages {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/embeddings.md")]
    struct Embeddings;
    #[doc = include_str!("../../docs/episodic.md")]
    struct Episodic;
    #[doc = include_str!("../../docs/state.md")]
    struct State;
}
