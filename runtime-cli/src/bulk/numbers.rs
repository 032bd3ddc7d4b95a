//! What the numbers of an output's embeddings are.

use crate::table::NpyKind;
use anyhow::{Result, bail};
use arrow_array::{ArrayRef, Float16Array, Float32Array, Int8Array, UInt8Array};
use arrow_schema::DataType;
use half::f16;
use hh::{Embeddings, Output, Values};
use std::sync::Arc;

/// Types of the numbers of embeddings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Numbers {
    /// 4 bytes each, as computed
    #[default]
    F32,
    /// 2 bytes each
    F16,
    /// 1 byte each: round(127 x)
    Int8,
    /// 1 bit each, whether it is above 0; the first is the highest bit of the first byte
    Binary,
}

/// The numbers of several embeddings.
pub(super) enum Row {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Int8(Vec<i8>),
    /// Bytes of eight bits.
    Binary(Vec<u8>),
}

impl Numbers {
    /// Elements of an embedding with `dim` dimensions in the output.
    pub(super) fn width(self, dim: usize) -> usize {
        if self == Self::Binary { dim.div_ceil(8) } else { dim }
    }

    /// The type of an element.
    pub(super) fn kind(self) -> DataType {
        match self {
            Self::F32 => DataType::Float32,
            Self::F16 => DataType::Float16,
            Self::Int8 => DataType::Int8,
            Self::Binary => DataType::UInt8,
        }
    }

    pub(super) fn npy(self) -> NpyKind {
        match self {
            Self::F32 => NpyKind::F32,
            Self::F16 => NpyKind::F16,
            Self::Int8 => NpyKind::I8,
            Self::Binary => NpyKind::U8,
        }
    }

    /// Converts embeddings of `dim` dimensions, which have length 1.
    pub(super) fn convert(self, dim: usize, vectors: Vec<f32>) -> Result<Row> {
        let output = match self {
            Self::F32 => return Ok(Row::F32(vectors)),
            Self::F16 => return Ok(Row::F16(vectors.iter().map(|&x| f16::from_f32(x)).collect())),
            Self::Int8 => Output::Int8,
            Self::Binary => Output::Binary,
        };
        match Embeddings::new(dim, Values::F32(vectors))?.quantised(output)?.into_values() {
            Values::Int8(numbers) => Ok(Row::Int8(numbers)),
            Values::Binary(bytes) => Ok(Row::Binary(bytes)),
            Values::F32(_) => bail!("embeddings were not converted"),
        }
    }
}

impl Row {
    /// All elements as an Arrow array.
    pub(super) fn into_array(self) -> ArrayRef {
        match self {
            Self::F32(numbers) => Arc::new(Float32Array::from(numbers)),
            Self::F16(numbers) => Arc::new(Float16Array::from(numbers)),
            Self::Int8(numbers) => Arc::new(Int8Array::from(numbers)),
            Self::Binary(bytes) => Arc::new(UInt8Array::from(bytes)),
        }
    }

    /// All elements as bytes, little-endian.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::F32(numbers) => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::F16(numbers) => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::Int8(numbers) => numbers.iter().map(|x| x.to_le_bytes()[0]).collect(),
            Self::Binary(bytes) => bytes.clone(),
        }
    }

    /// A JSON list of all elements. Each has the shortest decimal form that identifies it among numbers of f32.
    pub(super) fn json(&self) -> String {
        let numbers: Vec<String> = match self {
            Self::F32(numbers) => numbers.iter().map(f32::to_string).collect(),
            Self::F16(numbers) => numbers.iter().map(|x| x.to_f32().to_string()).collect(),
            Self::Int8(numbers) => numbers.iter().map(i8::to_string).collect(),
            Self::Binary(bytes) => bytes.iter().map(u8::to_string).collect(),
        };
        format!("[{}]", numbers.join(","))
    }
}
