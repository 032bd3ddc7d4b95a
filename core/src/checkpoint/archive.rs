use super::{Dtype, Metadata};
use crate::{
    error::{CheckpointError, Error},
    json::unique_keys,
    shape::Shape,
};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use safetensors::tensor::{Metadata as Header, TensorInfo};

/// Any safetensors file, over its bytes: tensors by name, and metadata. A [`Checkpoint`](super::Checkpoint) is one.
#[derive(Clone, Debug)]
pub struct Archive<'a> {
    header: Header,
    names: Vec<String>,
    metadata: Metadata,
    data: &'a [u8],
}

/// A tensor where it lies in the file.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Tensor<'a> {
    /// How its values are stored.
    pub dtype: Dtype,
    /// Its extents.
    pub shape: Shape,
    /// Its values: row-major, little-endian.
    pub bytes: &'a [u8],
}

/// Bytes of the number that says how long the header is.
const PREFIX: usize = 8;

impl<'a> Archive<'a> {
    /// Reads the header; the tensors stay where they are. Memory is in proportion to the header that is there,
    /// whatever it claims.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] that tells an empty file, one cut short, one of another kind, and a damaged header apart.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let fail = |e: CheckpointError| Err(e.into());
        let found = bytes.len();
        if found == 0 {
            return fail(CheckpointError::Empty);
        }
        let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else {
            return fail(CheckpointError::TooShort { found });
        };
        if rest.first().is_some_and(|&byte| byte != b'{') {
            return fail(CheckpointError::NotSafetensors);
        }
        let length = u64::from_le_bytes(*prefix);
        let Some(header) = usize::try_from(length).ok().and_then(|length| rest.get(..length)) else {
            return fail(CheckpointError::TruncatedHeader { found, header: length });
        };
        // Of a tensor that the header lists twice, the library behind `Header` keeps one.
        let read = |json| unique_keys(json).and_then(|()| serde_json::from_str::<Header>(json));
        let header = match core::str::from_utf8(header).map(read) {
            Ok(Ok(header)) => header,
            Ok(Err(e)) => return fail(CheckpointError::Header(e.to_string())),
            Err(e) => return fail(CheckpointError::Header(e.to_string())),
        };
        let data = &rest[length as usize..];
        let (found, expected) = (found as u128, (found - data.len()) as u128 + header.data_len() as u128);
        if found < expected {
            return fail(CheckpointError::Truncated { found, expected });
        }
        if found > expected {
            return fail(CheckpointError::TrailingBytes { found, expected });
        }
        let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        Ok(Self { names: header.offset_keys(), metadata, header, data })
    }

    /// All metadata.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Names of all tensors, in file order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// A tensor where it lies.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it is missing, or of a type or rank that this program does not know.
    pub fn tensor(&self, name: &str) -> Result<Tensor<'a>, Error> {
        let info = self.info(name)?;
        let dtype = Dtype::from_safetensors(info.dtype).ok_or_else(|| {
            CheckpointError::Other(format!("tensor {name} is stored as {}; this program reads F32, F16 and BF16: convert it", info.dtype))
        })?;
        let shape = Shape::from_dims(&info.shape).ok_or_else(|| {
            CheckpointError::Other(format!("tensor {name} has shape {:?}; this program knows one to three extents", info.shape))
        })?;
        let (start, end) = info.data_offsets;
        Ok(Tensor { dtype, shape, bytes: &self.data[start..end] })
    }

    /// Checks that the file has these tensors, of these shapes and of a readable type. The file may have others.
    ///
    /// Once this has passed, the memory that the tensors need is in proportion to the file. Ask before allocating what
    /// a configuration asks for: in a malicious file it may ask for anything.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the first that is missing or differs.
    pub fn expect<'n>(&self, tensors: impl IntoIterator<Item = (&'n str, Shape)>) -> Result<(), Error> {
        tensors.into_iter().try_for_each(|(name, shape)| self.shaped(name, shape).map(drop))
    }

    /// Copies a tensor, widened to f32.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it is missing, has another shape, or a value that is not finite.
    ///
    /// # Panics
    /// If `dst` does not have the length that `shape` says.
    pub fn read(&self, name: &str, shape: Shape, dst: &mut [f32]) -> Result<(), Error> {
        let tensor = self.shaped(name, shape)?;
        tensor.dtype.decode(tensor.bytes, dst);
        finite(name, dst.iter().copied())
    }

    /// See [`Checkpoint::f32_bytes`](super::Checkpoint::f32_bytes).
    pub(super) fn f32_bytes(&self, name: &str, shape: Shape) -> Result<Option<&'a [u8]>, Error> {
        let tensor = self.shaped(name, shape)?;
        if tensor.dtype != Dtype::F32 {
            return Ok(None);
        }
        finite(name, tensor.bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)))?;
        Ok(Some(tensor.bytes))
    }

    /// Whether there is a tensor of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.header.info(name).is_some()
    }

    /// The bytes of a tensor that must be of this type and shape.
    pub(super) fn bytes(&self, name: &str, dtype: safetensors::Dtype, shape: Shape) -> Result<&'a [u8], Error> {
        let info = self.info(name)?;
        if info.dtype != dtype || info.shape != shape.dims() {
            return Err(Error::Checkpoint(CheckpointError::Other(format!(
                "tensor {name} is {} of shape {:?} in the file where the model has {dtype} of {shape}: its configuration is of another model",
                info.dtype, info.shape
            ))));
        }
        let (start, end) = info.data_offsets;
        Ok(&self.data[start..end])
    }

    fn info(&self, name: &str) -> Result<&TensorInfo, Error> {
        let missing = || CheckpointError::MissingTensor { name: name.into(), tensors: self.names.len() };
        Ok(self.header.info(name).ok_or_else(missing)?)
    }

    fn shaped(&self, name: &str, shape: Shape) -> Result<Tensor<'a>, Error> {
        let found = &self.info(name)?.shape;
        if found != shape.dims() {
            return Err(CheckpointError::Shape { name: name.into(), found: found.clone(), expected: shape }.into());
        }
        self.tensor(name)
    }
}

fn finite(name: &str, values: impl Iterator<Item = f32>) -> Result<(), Error> {
    match values.enumerate().find(|(_, x)| !x.is_finite()) {
        None => Ok(()),
        Some((index, value)) => Err(CheckpointError::NotFinite { name: name.into(), index, value }.into()),
    }
}
