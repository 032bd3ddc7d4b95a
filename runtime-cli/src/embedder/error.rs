use hh_core::error::Error as Core;

/// What can go wrong with an [`Embedder`](super::Embedder). Each message says what was wrong, where, and what to do.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Error {
    /// A model that cannot be read, or makes no vectors of text.
    Model(String),
    /// Options that this model cannot follow.
    Options(String),
    /// A text with nothing in it, which has no vector.
    Empty {
        /// Its place among the texts.
        text: usize,
    },
    /// A text that this model cannot read.
    Text {
        /// Its place among the texts.
        text: usize,
        /// Why.
        source: Core,
    },
    /// Vectors that cannot be compared.
    Mismatch(String),
    /// The machine failed: out of memory.
    Device(Core),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Model(m) | Self::Options(m) | Self::Mismatch(m) => f.write_str(m),
            Self::Empty { text } => write!(f, "text {text} (counted from 0) is empty and has no vector: leave it out"),
            Self::Text { text, source } => write!(f, "text {text} (counted from 0): {source}"),
            Self::Device(source) => source.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Text { source, .. } => Some(source),
            _ => None,
        }
    }
}
