use hh_core::error::Error as Core;
use std::{fmt, io, path::PathBuf};

/// Everything that can fail in this crate. Each message says what is wrong, where, and what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be read.
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder without a checkpoint.
    Folder(PathBuf),
    /// A file of a folder in the Hugging Face layout that says something which hh does not do.
    Layout {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A checkpoint that cannot be used.
    Checkpoint {
        /// Its file, if it was read from one.
        path: Option<PathBuf>,
        /// Why.
        source: Box<Error>,
    },
    /// A checkpoint without a tokenizer.
    NoTokenizer,
    /// A tokenizer with more ids than the model has.
    VocabularyMismatch {
        /// Ids of the tokenizer.
        tokenizer: usize,
        /// Ids of the model.
        model: usize,
    },
    /// A tokenizer that cannot be read.
    Tokenizer(String),
    /// A context longer than the positions that the model learned.
    Context {
        /// The context that was requested, in tokens.
        requested: usize,
        /// The longest possible one, in tokens.
        limit: usize,
    },
    /// Options that this model does not support.
    Options(String),
    /// A text without content, which has no embedding.
    Empty {
        /// Its index among the texts.
        text: usize,
    },
    /// A text that this model cannot read.
    Text {
        /// Its index among the texts.
        text: usize,
        /// Why.
        source: Core,
    },
    /// Embeddings that cannot be compared.
    Mismatch(String),
    /// A saved state that is damaged or belongs to another model.
    State(String),
    /// An error of the model or of the device.
    Core(Core),
}

impl Error {
    /// The same error with the file that it is about.
    pub(crate) fn in_file(self, path: &std::path::Path) -> Self {
        match self {
            e @ (Self::File { .. } | Self::Folder(_) | Self::Layout { .. } | Self::Checkpoint { .. } | Self::Core(Core::Device(_))) => e,
            e => Self::Checkpoint { path: Some(path.to_owned()), source: Box::new(e) },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, source } => match source.kind() {
                io::ErrorKind::NotFound => write!(f, "cannot read {}: there is no such file; check the name", path.display()),
                _ => write!(f, "cannot read {}: {source}", path.display()),
            },
            Self::Folder(path) => write!(
                f,
                "{} is a folder without a checkpoint: it needs best.safetensors (a run) or model.safetensors and config.json",
                path.display()
            ),
            Self::Layout { path, problem } => write!(f, "cannot use {}: {problem}", path.display()),
            Self::Checkpoint { path: Some(path), source } => write!(f, "cannot use {}: {source}", path.display()),
            Self::Checkpoint { path: None, source } => source.fmt(f),
            Self::NoTokenizer => {
                f.write_str("the checkpoint has no tokenizer inside: train or export it with one, so that text can become ids")
            }
            Self::VocabularyMismatch { tokenizer, model } => {
                write!(f, "the tokenizer has {tokenizer} ids and the model only {model}: it is not the model's")
            }
            Self::Context { requested, limit } => {
                write!(f, "a context of {requested} is more than the {limit} positions that this model can hold; give {limit} or less")
            }
            Self::Empty { text } => write!(f, "text {text} (counted from 0) is empty and has no embedding: leave it out"),
            Self::Text { text, source } => write!(f, "text {text} (counted from 0): {source}"),
            Self::Tokenizer(message) | Self::Options(message) | Self::Mismatch(message) | Self::State(message) => f.write_str(message),
            Self::Core(source) => source.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    /// The cause of what is wrapped, whose own sentence this error says.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => source.source(),
            Self::Checkpoint { source, .. } => source.source(),
            Self::Text { source, .. } | Self::Core(source) => source.source(),
            _ => None,
        }
    }
}

impl From<Core> for Error {
    fn from(source: Core) -> Self {
        Self::Core(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{error::Error as _, iter};

    #[test]
    fn no_cause_repeats_what_an_error_says() {
        let core = || Core::Input("the sentence".into());
        for error in [
            Error::File { path: "a".into(), source: io::Error::other("the sentence") },
            Error::Checkpoint { path: Some("a".into()), source: Box::new(Error::Core(core())) },
            Error::Text { text: 0, source: core() },
            Error::Core(core()),
        ] {
            let said = error.to_string();
            assert!(said.contains("the sentence"));
            let causes: Vec<String> = iter::successors(error.source(), |&cause| cause.source()).map(ToString::to_string).collect();
            assert!(causes.iter().all(|cause| !said.contains(cause.as_str())), "{said}: {causes:?}");
        }
    }
}
