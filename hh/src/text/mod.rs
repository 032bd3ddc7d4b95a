//! Text generation.

mod decoder;
mod generation;
mod memory;
mod model;
mod session;
mod state;
mod stops;
#[cfg(test)]
mod tests;

pub use decoder::{Decoder, Piece};
pub use generation::{GenerateOptions, Generation};
pub use memory::{BEFORE, KeyFormat, Memory, Passage};
pub use model::{TextModel, Weights};
pub use session::TextSession;
pub use state::TextState;
pub use stops::StopStrings;
