//! The program `hh-runtime` and the library behind it.

pub mod ablate;
pub mod budget;
pub mod bulk;
pub mod commands;
pub mod conversation;
pub mod corpus;
pub mod counting;
pub mod data;
pub mod embedder;
pub mod evaluate;
pub mod export;
pub mod files;
pub mod generate;
pub mod interrupt;
pub mod judge;
pub mod libtorch;
pub mod loading;
pub mod machine;
pub mod measure;
pub mod moments;
mod picture;
pub mod probe;
pub mod program;
pub mod progress;
pub mod report;
pub mod speak;
pub mod table;
pub mod task;
pub mod tokenizers;
pub mod train;

pub use embedder::Embedder;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
