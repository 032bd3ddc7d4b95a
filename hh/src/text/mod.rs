//! Text generation.

mod batch;
mod decoder;
mod generation;
mod memory;
mod model;
mod prefix;
mod rows;
mod session;
mod stops;
#[cfg(test)]
mod tests;

pub use batch::{Drawn, TextBatch};
pub use decoder::{Decoder, Piece};
pub use generation::{Continuation, GenerateOptions, Generation};
pub use hh_core::state::{RECENT, TextState};
pub use memory::{BEFORE, KeyFormat, Memory, Passage};
pub use model::{TextModel, Weights};
pub use prefix::{CacheStats, PrefixCache};
pub use session::TextSession;
pub use stops::StopStrings;
