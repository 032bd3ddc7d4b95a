//! What can be wrong with what a caller hands over.

use alloc::string::String;
use core::{fmt, ops::Range};

/// Input that cannot be processed.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum InputError {
    /// A text of no tokens.
    EmptyText,
    /// A token that the model does not have.
    TokenOutOfRange {
        /// The token.
        id: u32,
        /// Tokens of the model: ids are below it.
        vocab_size: usize,
    },
    /// A text longer than the learned positions.
    TextTooLong {
        /// Tokens of the text.
        tokens: usize,
        /// Positions that the model learned.
        max_len: usize,
    },
    /// A session that would go beyond the learned positions.
    PositionOutOfRange {
        /// Positions that the session would have seen.
        position: u64,
        /// Positions that the model learned.
        max_len: usize,
    },
    /// Tokens that do not make rows of one length.
    RaggedBatch {
        /// How many there are.
        tokens: usize,
        /// Rows.
        batch: usize,
    },
    /// More than one token of a sequence in a step that is watched.
    WatchedTokens {
        /// How many there are.
        tokens: usize,
    },
    /// An embedding of more dimensions than the model makes, or of none.
    DimOutOfRange {
        /// Dimensions that were asked for.
        dim: usize,
        /// Dimensions of the model's embeddings.
        whole: usize,
    },
    /// A micro-batch of embedding training with too few or too many of something.
    MicroBatch {
        /// Texts, candidates and numbers of a teacher that are there.
        found: [usize; 3],
        /// How many are needed.
        needed: [usize; 3],
    },
    /// An invalid size.
    Size {
        /// Whose it is: "a session", "an encoder".
        of: &'static str,
        /// What it is called.
        name: &'static str,
        /// What it is.
        value: usize,
        /// What it must be.
        must: &'static str,
    },
    /// Items that the episodic memory does not hold.
    Episodes {
        /// Items that were asked for.
        asked: Range<u64>,
        /// Items that it holds.
        held: Range<u64>,
    },
    /// A logit that is not a number, or infinite.
    BrokenLogit {
        /// Of this token.
        id: usize,
        /// What it is.
        logit: f32,
    },
    /// All logits are −∞.
    NoCandidate,
    /// Anything else, in a sentence.
    Other(String),
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyText => f.write_str("an empty text has no vector, for it is without tokens: leave it out"),
            Self::TokenOutOfRange { id, vocab_size } => write!(f, "token {id} is outside of the vocabulary of {vocab_size} ids"),
            Self::TextTooLong { tokens, max_len } => {
                write!(f, "the text has {tokens} tokens, and this model learned {max_len} positions: shorten it, or limit the tokens")
            }
            Self::PositionOutOfRange { position, max_len } => write!(
                f,
                "position {position} is beyond the {max_len} positions that this model learned: shorten the text, or reset the session"
            ),
            Self::RaggedBatch { tokens, batch } => {
                write!(f, "{tokens} tokens do not make rows for a batch of {batch}: give each row the same number, at least one")
            }
            Self::WatchedTokens { tokens } => {
                write!(f, "a step that is watched takes one token of each sequence, and here are {tokens}")
            }
            Self::DimOutOfRange { dim, whole } => {
                write!(f, "a vector of {dim} numbers was asked of a model whose vectors have {whole}: ask for 1 to {whole}")
            }
            Self::MicroBatch { found, needed } => write!(
                f,
                "a micro-batch has {} texts, {} candidates and {} numbers of a teacher; it needs {}, {} and {}",
                found[0], found[1], found[2], needed[0], needed[1], needed[2]
            ),
            Self::Size { of, name, value, must } => write!(f, "{of}'s {name} is {value}; it must be {must}"),
            Self::Episodes { asked, held } => write!(
                f,
                "items {} to {} of the episodic memory were asked for, which holds {} to {}: ask for some of these",
                asked.start, asked.end, held.start, held.end
            ),
            Self::BrokenLogit { id, logit } => {
                write!(f, "the logit of token {id} is {logit}: the model's weights or its state are broken; try another checkpoint")
            }
            Self::NoCandidate => f.write_str("every token is ruled out: all logits are -inf"),
            Self::Other(message) => f.write_str(message),
        }
    }
}

impl core::error::Error for InputError {}
