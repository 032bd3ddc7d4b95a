use super::{Dtype, Metadata};
use crate::{
    config::Config,
    error::{CheckpointError, Error},
    quant::{Format, QuantView},
    shape::{Shape, Shaped},
};
use alloc::{borrow::ToOwned, collections::BTreeSet, format, string::String, vec::Vec};
use serde::{Serialize, Serializer, ser::SerializeMap};

/// Writes a safetensors file one tensor at a time, so that no more than one need be in memory.
///
/// The bytes are a function of metadata, tensors and their order: metadata are sorted, tensors stay as given.
/// `sink` takes the bytes piece by piece and may fail in its own way.
pub struct Writer<S> {
    sink: S,
    stored: Stored,
    tensors: Vec<(String, Shape)>,
    written: usize,
    buffer: Vec<u8>,
}

/// How a file stores its weights.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stored {
    /// All as numbers of one type.
    Numbers(Dtype),
    /// The matrices of products in blocks, as [`Format::of`] says; all else as f32.
    Quantised(Format),
}

impl Stored {
    /// What is written for a tensor.
    fn of(self, name: &str, shape: Shape) -> Form {
        match self {
            Self::Numbers(dtype) => Form::Numbers(dtype),
            Self::Quantised(format) => format.of(name, shape).map_or(Form::Numbers(Dtype::F32), Form::Quantised),
        }
    }
}

impl From<Dtype> for Stored {
    fn from(dtype: Dtype) -> Self {
        Self::Numbers(dtype)
    }
}

enum Form {
    Numbers(Dtype),
    Quantised(Format),
}

/// Values that go to the sink at a time.
const PIECE: usize = 16 * 1024;

impl<S> Writer<S> {
    /// Writes the header of a file with these tensors. [`metadata`](super::metadata) makes a checkpoint of it.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if a name comes twice or the format reserves it, or the size overflows; those of the sink.
    pub fn begin<'n, E: From<Error>>(
        metadata: &Metadata,
        tensors: impl IntoIterator<Item = (&'n str, Shape)>,
        stored: impl Into<Stored>,
        mut sink: S,
    ) -> Result<Self, E>
    where
        S: FnMut(&[u8]) -> Result<(), E>,
    {
        let tensors: Vec<_> = tensors.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect();
        let stored = stored.into();
        sink(&header(metadata, &tensors, stored)?)?;
        Ok(Self { sink, stored, tensors, written: 0, buffer: Vec::new() })
    }

    /// Writes the next tensor, in the order that [`begin`](Self::begin) was given. The name guards against another order.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the tensor if a value is not finite, or too large for f16; those of the sink.
    ///
    /// # Panics
    /// If it is another tensor's turn, or there are not as many values as its shape says.
    pub fn tensor<E: From<Error>>(&mut self, name: &str, values: &[f32]) -> Result<(), E>
    where
        S: FnMut(&[u8]) -> Result<(), E>,
    {
        let shape = self.turn(name);
        assert_eq!(values.len(), shape.count(), "checkpoint: {name} of shape {shape}");
        match self.stored.of(name, shape) {
            Form::Numbers(dtype) => {
                for (piece, start) in values.chunks(PIECE).zip((0..).step_by(PIECE)) {
                    let overflow = dtype.overflow();
                    if let Some(i) = piece.iter().position(|x| x.is_nan() || x.abs() >= overflow) {
                        return Err(unstorable(name, start + i, piece[i], dtype).into());
                    }
                    self.buffer.resize(piece.len() * dtype.size(), 0);
                    dtype.encode(piece, &mut self.buffer);
                    (self.sink)(&self.buffer)?;
                }
            }
            Form::Quantised(format) => {
                // Beyond this a scale has no bfloat16.
                if let Some(i) = values.iter().position(|x| x.is_nan() || x.abs() >= Dtype::Bf16.overflow()) {
                    return Err(unstorable(name, i, values[i], Dtype::Bf16).into());
                }
                let made = format.quantise(values, shape.width());
                (self.sink)(made.blocks().codes())?;
                (self.sink)(made.blocks().scales().as_flattened())?;
            }
        }
        self.written += 1;
        Ok(())
    }

    /// Writes the next tensor as these blocks if the file stores it in their format; otherwise writes nothing and returns `false`.
    /// Quantising the numbers of blocks again would round them again.
    ///
    /// # Errors
    /// Those of the sink.
    ///
    /// # Panics
    /// If it is another tensor's turn, or its shape is another.
    pub fn blocks<E>(&mut self, name: &str, blocks: &QuantView<'_>) -> Result<bool, E>
    where
        S: FnMut(&[u8]) -> Result<(), E>,
    {
        let shape = self.turn(name);
        assert_eq!(blocks.shape(), shape, "checkpoint: {name}");
        let same = matches!(self.stored.of(name, shape), Form::Quantised(format) if format == blocks.format());
        if same {
            (self.sink)(blocks.codes())?;
            (self.sink)(blocks.scales().as_flattened())?;
            self.written += 1;
        }
        Ok(same)
    }

    /// The shape of the next tensor, which must have this name.
    fn turn(&self, name: &str) -> Shape {
        let (expected, shape) = self.tensors.get(self.written).expect("checkpoint: all tensors are written");
        assert_eq!(expected, name, "checkpoint: tensors come in the order of the header");
        *shape
    }

    /// Ends the file.
    ///
    /// # Panics
    /// If a tensor was not written.
    pub fn finish(self) {
        assert_eq!(self.written, self.tensors.len(), "checkpoint: tensors written");
    }
}

/// A whole checkpoint in memory. `notes` is as in [`metadata`](super::metadata).
///
/// # Errors
/// Those of [`Writer`].
///
/// # Panics
/// If a tensor does not have as many values as its shape says.
pub fn write<'n>(
    config: &Config,
    notes: &Metadata,
    tensors: impl IntoIterator<Item = (&'n str, Shape, &'n [f32])>,
    stored: impl Into<Stored>,
) -> Result<Vec<u8>, Error> {
    let tensors: Vec<_> = tensors.into_iter().collect();
    let mut bytes = Vec::new();
    let sink = |piece: &[u8]| -> Result<(), Error> {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    let shapes = tensors.iter().map(|&(name, shape, _)| (name, shape));
    let mut writer = Writer::begin(&super::metadata(config, notes), shapes, stored, sink)?;
    for (name, _, values) in tensors {
        writer.tensor(name, values)?;
    }
    writer.finish();
    Ok(bytes)
}

fn unstorable(name: &str, i: usize, x: f32, dtype: Dtype) -> Error {
    Error::Checkpoint(if x.is_finite() {
        CheckpointError::Other(format!(
            "tensor {name} has the value {x} at element {i}, too large for {}: store it as F32 or BF16",
            dtype.name()
        ))
    } else {
        CheckpointError::NotFinite { name: name.into(), index: i, value: x }
    })
}

/// The length of the JSON header, then the header, with spaces up to a multiple of 8: tensors begin aligned.
fn header(metadata: &Metadata, tensors: &[(String, Shape)], stored: Stored) -> Result<Vec<u8>, Error> {
    let mut metadata = metadata.clone();
    if let (Stored::Quantised(_), Some(format)) = (stored, metadata.get_mut(super::FORMAT)) {
        *format = super::FORMATS[1].to_owned();
    }
    let mut seen = BTreeSet::new();
    let mut entries = Vec::with_capacity(tensors.len());
    let mut start = 0u64;
    for (name, shape) in tensors {
        if name == METADATA || !seen.insert(name) {
            return Err(Error::Checkpoint(format!("a tensor cannot be stored as {name:?}: the name comes twice, or is reserved").into()));
        }
        let mut entry = |name: String, dtype: safetensors::Dtype, shape: Shape| {
            let size = shape.dims().iter().try_fold(dtype.bitsize() as u64 / 8, |size, &n| size.checked_mul(n as u64));
            let end = size
                .and_then(|size| start.checked_add(size))
                .ok_or_else(|| Error::Checkpoint(format!("tensor {name} of shape {shape} is too large for a file").into()))?;
            entries.push((name, Entry { dtype, shape: shape.dims().to_vec(), data_offsets: [start, end] }));
            start = end;
            Ok::<(), Error>(())
        };
        match stored.of(name, *shape) {
            Form::Numbers(dtype) => entry(name.clone(), dtype.safetensors(), *shape)?,
            Form::Quantised(format) => super::blocks::entries(format, name, *shape).into_iter().try_for_each(|(n, d, s)| entry(n, d, s))?,
        }
    }
    let mut json = serde_json::to_vec(&Layout { metadata: &metadata, entries }).expect("strings and numbers are JSON");
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut json);
    Ok(bytes)
}

const METADATA: &str = "__metadata__";

#[derive(Serialize)]
struct Entry {
    dtype: safetensors::Dtype,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

/// The header's JSON. The safetensors crate sorts tensors by name and leaves the order of metadata to a hash.
struct Layout<'a> {
    metadata: &'a Metadata,
    entries: Vec<(String, Entry)>,
}

impl Serialize for Layout<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1 + self.entries.len()))?;
        map.serialize_entry(METADATA, self.metadata)?;
        for (name, entry) in &self.entries {
            map.serialize_entry(name, entry)?;
        }
        map.end()
    }
}
