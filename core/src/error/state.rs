//! What can be wrong with a saved session state.

use alloc::string::String;
use core::fmt;

/// A saved session state that cannot be read, or does not fit a session.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StateError {
    /// Bytes of another kind.
    NotAState,
    /// Fewer or more bytes than there should be.
    Length {
        /// Bytes that are there.
        found: usize,
        /// Bytes that the header says; none where the header itself is not all there.
        expected: Option<u64>,
    },
    /// A checksum that does not match.
    Checksum,
    /// Numbers that are not finite.
    NotFinite,
    /// Of a model of another configuration.
    OtherModel,
    /// For a session of another layout.
    OtherLayout {
        /// Batch, context and segments of the state.
        state: [u32; 3],
        /// Those of the session.
        session: [u32; 3],
    },
    /// For a session with an episodic memory of another size.
    OtherMemory {
        /// Numbers in the state.
        state: usize,
        /// Numbers in the session's state.
        session: usize,
    },
    /// Anything else, in a sentence.
    Other(String),
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAState => f.write_str("this is no saved session state; save the state again"),
            Self::Length { expected: None, .. } => f.write_str("the saved state was cut short inside its header; save the state again"),
            Self::Length { found, expected: Some(expected) } => write!(
                f,
                "the saved state has {found} bytes where its header says {expected}: it was cut short or damaged; save the state again"
            ),
            Self::Checksum => f.write_str("the saved state is damaged: its checksum does not match; save the state again"),
            Self::NotFinite => f.write_str("the saved state holds numbers that are not finite; save the state again"),
            Self::OtherModel => {
                f.write_str("the saved state belongs to a model of another configuration; use the checkpoint that it was saved with")
            }
            Self::OtherLayout { state: [batch, context, segments], session: [b, c, s] } => write!(
                f,
                "the saved state is for batch {batch}, context {context}, {segments} segments; this session has batch {b}, context {c}, {s} segments: open the session with the saved ones"
            ),
            Self::OtherMemory { state, session } => write!(
                f,
                "the saved state has {state} numbers, this session's has {session}: open the session with an episodic memory of the saved size"
            ),
            Self::Other(message) => f.write_str(message),
        }
    }
}

impl core::error::Error for StateError {}
