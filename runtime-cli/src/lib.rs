//! The program `hh-runtime` as a library: training, evaluation, data, and the commands.

pub mod ablate;
pub mod budget;
pub mod bulk;
pub mod commands;
pub mod conversation;
pub mod corpus;
pub mod costs;
pub mod data;
pub mod embedder;
pub mod embedding_eval;
pub mod evaluate;
pub mod export;
pub mod files;
pub mod generate;
pub mod libtorch;
pub mod loading;
pub mod machine;
pub mod measure;
mod picture;
pub mod probe;
pub mod program;
pub mod report;
pub mod stats;
pub mod stderr;
pub mod table;
pub mod task;
pub mod tokenizers;
pub mod train;

pub use embedder::Embedder;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
