//! What can be wrong with a tokenizer, or with a text for it.

use alloc::string::String;
use core::fmt;

/// Text that a tokenizer cannot encode, or a description of a tokenizer that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TokenizerError {
    /// A character that the vocabulary lacks.
    UnknownCharacter {
        /// The character.
        character: char,
        /// Its line, from 1 on.
        line: usize,
        /// Its column, from 1 on.
        column: usize,
        /// Characters of the vocabulary.
        known: usize,
    },
    /// Anything else, in a sentence.
    Other(String),
}

impl fmt::Display for TokenizerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCharacter { character, line, column, known } => write!(
                f,
                "{character:?} (U+{:04X}) at line {line}, column {column} is not among the {known} characters of the vocabulary; \
                 leave it out, or train with a text that has it or with the bytes tokenizer",
                u32::from(*character)
            ),
            Self::Other(message) => f.write_str(message),
        }
    }
}

impl core::error::Error for TokenizerError {}
