//! The program `hh-runtime` as a library: training, evaluation, data, and the commands.

pub mod ablate;
pub mod budget;
#[cfg(feature = "tables")]
pub mod bulk;
pub mod commands;
pub mod corpus;
pub mod costs;
pub mod data;
pub mod embedding_eval;
pub mod evaluate;
pub mod export;
pub mod features;
pub mod files;
pub mod generate;
pub mod hub;
pub mod hugging_face;
pub mod interrupt;
pub mod libtorch;
pub mod loading;
pub mod machine;
pub mod measure;
#[cfg(feature = "plots")]
mod picture;
pub mod probe;
pub mod program;
pub mod progress;
pub mod ranks;
#[cfg(feature = "plots")]
pub mod report;
pub mod run_folder;
#[cfg(feature = "serve")]
pub mod serve;
pub mod state_file;
pub mod stats;
pub mod stderr;
pub mod stdout;
#[cfg(feature = "tables")]
pub mod table;
#[cfg(not(feature = "tables"))]
#[path = "table/absent.rs"]
mod table;
pub mod task;
pub mod tokenizers;
pub mod train;
