//! What JavaScript calls: a checkpoint from its bytes, sessions over it, text embeddings.
//!
//! The package's TypeScript wraps these classes and is what a page uses. They run where they are called; a page calls
//! them in a Web Worker.
#![forbid(unsafe_code)]

mod embed;
mod loaded;
mod model;
mod sampling;
mod saved;
mod session;
mod threads;

pub use embed::Embedder;
pub use model::{Loader, Model};
pub use sampling::Sampling;
pub use saved::Snapshot;
pub use session::Session;
pub use threads::{hire, work};

use hh::Error;
use wasm_bindgen::JsError;

/// The library's sentence as a JavaScript `Error`.
fn js(error: Error) -> JsError {
    JsError::new(&error.to_string())
}
