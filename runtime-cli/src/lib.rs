//! The program `hh-runtime` and the library behind it.

pub mod corpus;
pub mod data;
pub mod files;
pub mod tokenizers;
