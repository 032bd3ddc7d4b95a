//! One page that shows what a folder of runs, ablations, probes and tasks came to: one file, that needs nothing beside it.

mod find;
mod page;
mod sample;
mod tables;
mod tasks;

pub use find::{Found, Kind, find};
pub use page::page;
pub use sample::{LayerGates, Sample};
