//! A memory as bytes.
//!
//! Little-endian: `HHMEMO01`, the model (u64), width of keys (u32), their format (u8), number of documents (u32) and items (u64); of
//! each document its name (length u32, then UTF-8), first token (u32) and number of items (u64); the tokens (u32) and uses (u32) of all
//! items; their keys; and the FNV-1a hash (u64) of all bytes before it. A q8 key is its scale (f32), then a byte for each number.

use super::{Document, Memory};
use crate::Error;
use hh_core::{
    half::{f16_to_f32, f32_to_f16},
    state::{Reader, hash},
};

const MAGIC: &[u8; 8] = b"HHMEMO01";
/// Widest key.
const MAX_WIDTH: usize = 1 << 12;
/// Ids are below it.
const MAX_TOKEN: u32 = 1 << 24;
/// In place of a document's first token.
const NO_TOKEN: u32 = u32::MAX;

/// How keys are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KeyFormat {
    /// 4 bytes a number, exact.
    F32,
    /// 2 bytes a number.
    #[default]
    F16,
    /// 1 byte a number, and 4 for each key.
    Q8,
}

impl KeyFormat {
    const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Q8];

    /// Bytes of a key.
    pub(super) fn size(self, width: usize) -> usize {
        match self {
            Self::F32 => 4 * width,
            Self::F16 => 2 * width,
            Self::Q8 => 4 + width,
        }
    }

    pub(super) fn write(self, key: &[f32], out: &mut Vec<u8>) {
        match self {
            Self::F32 => out.extend(key.iter().flat_map(|x| x.to_le_bytes())),
            Self::F16 => out.extend(key.iter().flat_map(|&x| f32_to_f16(x).to_le_bytes())),
            Self::Q8 => {
                let scale = key.iter().fold(0.0f32, |most, x| most.max(x.abs())) / 127.0;
                out.extend(scale.to_le_bytes());
                let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
                out.extend(key.iter().map(|x| (x * inverse).round() as i8 as u8));
            }
        }
    }

    pub(super) fn read(self, bytes: &[u8], out: &mut Vec<f32>) {
        match self {
            Self::F32 => out.extend(bytes.as_chunks().0.iter().map(|&x| f32::from_le_bytes(x))),
            Self::F16 => out.extend(bytes.as_chunks().0.iter().map(|&x| f16_to_f32(u16::from_le_bytes(x)))),
            Self::Q8 => {
                let (scale, numbers) = bytes.split_first_chunk().expect("a key has a scale");
                let scale = f32::from_le_bytes(*scale);
                out.extend(numbers.iter().map(|&x| scale * f32::from(x as i8)));
            }
        }
    }
}

impl Memory {
    /// The bytes that [`from_bytes`](Self::from_bytes) reads.
    pub fn to_bytes(&self) -> Vec<u8> {
        let names: usize = self.documents.iter().map(|document| document.name.len() + 16).sum();
        let mut out = Vec::with_capacity(41 + names + 8 * self.len() + self.keys.len());
        out.extend(MAGIC);
        out.extend(self.model.to_le_bytes());
        out.extend((self.width as u32).to_le_bytes());
        out.push(self.format as u8);
        out.extend((self.documents.len() as u32).to_le_bytes());
        out.extend((self.len() as u64).to_le_bytes());
        for Document { name, first_token, items } in &self.documents {
            out.extend((name.len() as u32).to_le_bytes());
            out.extend(name.as_bytes());
            out.extend(first_token.unwrap_or(NO_TOKEN).to_le_bytes());
            out.extend((*items as u64).to_le_bytes());
        }
        out.extend(self.tokens.iter().chain(&self.uses).flat_map(|n| n.to_le_bytes()));
        out.extend(&self.keys);
        out.extend(hash(&out).to_le_bytes());
        out
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`Error::State`] for other bytes, and bytes that are cut short or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let fail = |what: &str| Error::State(format!("{what}; save the memory again, or let it learn again"));
        let body = bytes.strip_prefix(MAGIC).ok_or_else(|| fail("these bytes are no memory"))?;
        let (body, sum) = body.split_last_chunk().ok_or_else(|| fail("the memory was cut short"))?;
        if hash(&bytes[..bytes.len() - 8]) != u64::from_le_bytes(*sum) {
            return Err(fail("the memory was cut short or damaged: its checksum does not match"));
        }
        read(body).ok_or_else(|| fail("the memory is damaged"))
    }
}

fn read(body: &[u8]) -> Option<Memory> {
    let mut rest = Reader(body);
    let model = rest.u64()?;
    let width = usize::try_from(rest.u32()?).ok().filter(|n| (1..=MAX_WIDTH).contains(n))?;
    let format = *KeyFormat::ALL.get(usize::from(rest.take(1)?[0]))?;
    let (documents, items) = (rest.u32()?, usize::try_from(rest.u64()?).ok()?);
    let (mut read, mut total) = (Vec::new(), 0usize);
    for _ in 0..documents {
        let length = rest.u32()? as usize;
        let name = str::from_utf8(rest.take(length)?).ok()?.to_owned();
        let document =
            Document { name, first_token: Some(rest.u32()?).filter(|&id| id != NO_TOKEN), items: usize::try_from(rest.u64()?).ok()? };
        total = total.checked_add(document.items)?;
        read.push(document);
    }
    let mut numbers =
        || -> Option<Vec<u32>> { Some(rest.take(items.checked_mul(4)?)?.as_chunks().0.iter().map(|&x| u32::from_le_bytes(x)).collect()) };
    let (tokens, uses) = (numbers()?, numbers()?);
    let keys = rest.take(items.checked_mul(format.size(width))?)?.to_vec();
    let mut key = Vec::with_capacity(width);
    let mut finite = |bytes: &[u8]| {
        key.clear();
        format.read(bytes, &mut key);
        key.iter().all(|x| x.is_finite())
    };
    let mut ids = tokens.iter().chain(read.iter().filter_map(|document| document.first_token.as_ref()));
    let fine = total == items && rest.0.is_empty() && ids.all(|&id| id < MAX_TOKEN);
    let fine = fine && keys.chunks_exact(format.size(width)).all(&mut finite);
    fine.then_some(Memory { model, width, documents: read, format, keys, tokens, uses })
}
