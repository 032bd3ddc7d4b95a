//! What can be wrong with a checkpoint.

use crate::shape::Shape;
use alloc::{string::String, vec::Vec};
use core::fmt;

/// A checkpoint that cannot be read or written, or does not fit its configuration.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum CheckpointError {
    /// No bytes.
    Empty,
    /// Fewer bytes than any checkpoint has.
    TooShort {
        /// Bytes that are there.
        found: usize,
    },
    /// Another kind of file.
    NotSafetensors,
    /// A header that is not all there.
    TruncatedHeader {
        /// Bytes that are there.
        found: usize,
        /// Bytes that the header should have, after those that say so.
        header: u64,
    },
    /// Tensors that are not all there.
    Truncated {
        /// Bytes that are there.
        found: u128,
        /// Bytes that should be there.
        expected: u128,
    },
    /// More bytes than the header accounts for.
    TrailingBytes {
        /// Bytes that are there.
        found: u128,
        /// Bytes that should be there.
        expected: u128,
    },
    /// A header that cannot be read.
    Header(String),
    /// A newer format than this program's.
    Format {
        /// The checkpoint's.
        found: String,
        /// What this program knows.
        known: String,
    },
    /// A safetensors file without a configuration.
    NoConfig {
        /// The key of the metadata that it should stand at.
        key: &'static str,
        /// Tensors of the file.
        tensors: usize,
    },
    /// A tensor that is not there.
    MissingTensor {
        /// Its name.
        name: String,
        /// Tensors of the file.
        tensors: usize,
    },
    /// A tensor of another shape than the model's.
    Shape {
        /// Its name.
        name: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// What the model has.
        expected: Shape,
    },
    /// A tensor with a value that is not finite.
    NotFinite {
        /// Its name.
        name: String,
        /// Which element.
        index: usize,
        /// Its value.
        value: f32,
    },
    /// Anything else, in a sentence.
    Other(String),
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the file is empty, not a checkpoint: copy it again, or give another"),
            Self::TooShort { found } => {
                write!(f, "the file has {found} bytes, too few for a checkpoint: copy it again, or give another")
            }
            Self::NotSafetensors => f.write_str("the file is not a safetensors file, and so not a checkpoint: give another"),
            Self::TruncatedHeader { found, header } => write!(
                f,
                "the file is cut short: it has {found} bytes, and its header alone should have {header} after the first 8; copy it again"
            ),
            Self::Truncated { found, expected } => {
                write!(f, "the file is cut short: it should have {expected} bytes and has {found}; copy it again")
            }
            Self::TrailingBytes { found, expected } => {
                write!(f, "the file has {found} bytes where its header accounts for {expected}: it is damaged; copy it again")
            }
            Self::Header(why) => write!(f, "the header of the file is damaged ({why}): copy it again, or give another"),
            Self::Format { found, known } => write!(
                f,
                "the checkpoint has format {found:?} and this program knows {known}: it is from a newer version; update the program"
            ),
            Self::NoConfig { key, tensors } => write!(
                f,
                "the safetensors file has {tensors} tensors, but no {key:?} in its metadata: it is of another program, not a checkpoint of this one"
            ),
            Self::MissingTensor { name, tensors } => {
                write!(f, "tensor {name} is missing among the {tensors} in the file: its configuration is of another model")
            }
            Self::Shape { name, found, expected } => write!(
                f,
                "tensor {name} has shape {found:?} in the file where the model has {expected}: its configuration is of another model"
            ),
            Self::NotFinite { name, index, value } => {
                write!(f, "tensor {name} has the value {value} at element {index}: the weights are broken; use an earlier checkpoint")
            }
            Self::Other(message) => f.write_str(message),
        }
    }
}

impl core::error::Error for CheckpointError {}
