//! A self-contained HTML page about the runs, ablations, probes and tasks in a folder.

mod find;
mod page;
mod sample;
mod tables;
mod tasks;

pub use find::{Found, Kind, find};
pub use page::page;
pub use sample::{LayerGates, Sample};
