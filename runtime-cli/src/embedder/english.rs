//! The model that comes with the library.

use super::{Embedder, Error};

static MODEL: &[u8] = include_bytes!("../../models/english.safetensors");

impl Embedder {
    /// A small embedder of English text, inside of the program: no file, no network. See `models/` for what it is and what it
    /// was trained on.
    ///
    /// # Errors
    /// [`Error::Device`] where memory is short.
    pub fn english() -> Result<Self, Error> {
        Self::from_static(MODEL)
    }
}
