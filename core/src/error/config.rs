//! What can be wrong with a configuration.

use alloc::{
    boxed::Box,
    string::{String, ToString},
};
use core::fmt;

/// An invalid configuration: of a model, of training, of sampling.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// A field whose value cannot be, whatever the others are.
    Field {
        /// The field.
        name: String,
        /// What it is.
        value: String,
        /// What it must be: "between 1 and 16".
        must: String,
    },
    /// Text that is no configuration.
    Unreadable(String),
    /// The configuration inside of a checkpoint cannot be.
    InCheckpoint(Box<ConfigError>),
    /// Fields that do not go together, in a sentence.
    Contradiction(String),
}

impl ConfigError {
    pub(crate) fn field(name: impl fmt::Display, value: impl fmt::Display, must: impl fmt::Display) -> Self {
        Self::Field { name: name.to_string(), value: value.to_string(), must: must.to_string() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field { name, value, must } => write!(f, "{name} is {value}; it must be {must}"),
            Self::Unreadable(why) => write!(f, "the configuration is not readable: {why}"),
            Self::InCheckpoint(source) => write!(f, "in the checkpoint: {source}"),
            Self::Contradiction(message) => f.write_str(message),
        }
    }
}

impl core::error::Error for ConfigError {}
