//! What can go wrong in this crate.

use alloc::string::String;

/// An error of this library. Each message says what was wrong, where, and what to do.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Error {
    /// A configuration that cannot be.
    Config(String),
    /// A checkpoint that cannot be read, or does not fit its configuration.
    Checkpoint(String),
    /// A saved session state that cannot be read, or belongs to another model.
    State(String),
    /// Text that a tokenizer cannot encode, or a tokenizer description that cannot be read.
    Tokenizer(String),
    /// Input to a session or a training step that cannot be processed: a token outside of the vocabulary, a chunk too long.
    Input(String),
    /// The machine failed: out of memory, device lost.
    Device(String),
}

impl Error {
    /// Wraps a backend's error.
    pub fn device(e: impl core::fmt::Display) -> Self {
        Self::Device(alloc::format!("{e}"))
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (Self::Config(m) | Self::Checkpoint(m) | Self::State(m) | Self::Tokenizer(m) | Self::Input(m) | Self::Device(m)) = self;
        f.write_str(m)
    }
}

impl core::error::Error for Error {}
