//! What can go wrong in this crate.

mod checkpoint;
mod config;
mod input;
mod state;
mod tokenizer;

pub use checkpoint::CheckpointError;
pub use config::ConfigError;
pub use input::InputError;
pub use state::StateError;
pub use tokenizer::TokenizerError;

use alloc::{
    string::{String, ToString},
    sync::Arc,
};
use core::{error, fmt};

/// An error of this library. Each message says what was wrong, where, and what to do; the payloads can be matched on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// An invalid configuration.
    Config(ConfigError),
    /// A checkpoint that cannot be read, or does not fit its configuration.
    Checkpoint(CheckpointError),
    /// A saved session state that cannot be read, or belongs to another model.
    State(StateError),
    /// Text that a tokenizer cannot encode, or a tokenizer description that cannot be read.
    Tokenizer(TokenizerError),
    /// Input to a session or a training step that cannot be processed: a token outside of the vocabulary, a chunk too long.
    Input(InputError),
    /// The machine failed: out of memory, device lost. This is the backend's own error.
    Device(Arc<dyn error::Error + Send + Sync>),
    /// A process that trains the same model cannot be reached. This is the error of what carries bytes between them.
    Collective(Arc<dyn error::Error + Send + Sync>),
}

impl Error {
    /// Wraps a backend's error.
    pub fn device(e: impl error::Error + Send + Sync + 'static) -> Self {
        Self::Device(Arc::new(e))
    }

    /// Wraps the error of what carries bytes between processes.
    pub fn collective(e: impl error::Error + Send + Sync + 'static) -> Self {
        Self::Collective(Arc::new(e))
    }

    /// What is wrapped.
    fn inner(&self) -> &(dyn error::Error + 'static) {
        match self {
            Self::Config(e) => e,
            Self::Checkpoint(e) => e,
            Self::State(e) => e,
            Self::Tokenizer(e) => e,
            Self::Input(e) => e,
            Self::Device(e) | Self::Collective(e) => &**e,
        }
    }
}

impl PartialEq for Error {
    /// Of the errors of two devices or collectives, whether they say the same.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Config(a), Self::Config(b)) => a == b,
            (Self::Checkpoint(a), Self::Checkpoint(b)) => a == b,
            (Self::State(a), Self::State(b)) => a == b,
            (Self::Tokenizer(a), Self::Tokenizer(b)) => a == b,
            (Self::Input(a), Self::Input(b)) => a == b,
            (Self::Device(a), Self::Device(b)) | (Self::Collective(a), Self::Collective(b)) => a.to_string() == b.to_string(),
            _ => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.inner(), f)
    }
}

impl error::Error for Error {
    /// The cause of what is wrapped, whose own sentence this error says.
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.inner().source()
    }
}

/// An error in a sentence, and what it is wrapped in.
macro_rules! wrapped {
    ($($Variant:ident($Type:ident) $other:ident;)*) => {$(
        impl From<$Type> for Error {
            fn from(e: $Type) -> Self {
                Self::$Variant(e)
            }
        }

        impl From<String> for $Type {
            fn from(sentence: String) -> Self {
                Self::$other(sentence)
            }
        }

        impl From<&str> for $Type {
            fn from(sentence: &str) -> Self {
                Self::$other(sentence.into())
            }
        }
    )*};
}

wrapped! {
    Config(ConfigError) Contradiction;
    Checkpoint(CheckpointError) Other;
    State(StateError) Other;
    Tokenizer(TokenizerError) Other;
    Input(InputError) Other;
}
