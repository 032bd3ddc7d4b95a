//! The records of TensorBoard's event files: TFRecord framing around the few fields of its protocol buffers that scalars need.
//!
//! ```text
//! record    length: u64, crc of its bytes: u32, data, crc of the data: u32          little-endian; crc: masked CRC-32C
//! Event     1 wall_time: double, 2 step: int64, 3 file_version: string, 5 summary: Summary, 7 session_log: SessionLog
//! Summary   1 value: repeated { 1 tag: string, 2 simple_value: float }
//! SessionLog  1 status: enum, 1 is START
//! ```

/// What an event says.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum What {
    /// The first event of a file.
    Version,
    /// A run begins, or goes on: what earlier files have from this step on does not count.
    Start,
    /// Scalars by their tags.
    Scalars(Vec<(String, f32)>),
}

/// An event.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Event {
    /// Seconds since 1970.
    pub(super) time: f64,
    pub(super) step: u64,
    pub(super) what: What,
}

const VERSION: &[u8] = b"brain.Event:2";
/// Bytes of a record around its data.
const BEFORE: usize = 12;
const AFTER: usize = 4;

impl Event {
    /// The record.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut data = vec![0x09];
        data.extend(self.time.to_le_bytes());
        data.push(0x10);
        varint(self.step, &mut data);
        match &self.what {
            What::Version => field(3, VERSION, &mut data),
            What::Start => field(7, &[0x08, 0x01], &mut data),
            What::Scalars(scalars) => {
                let mut summary = Vec::new();
                for (tag, value) in scalars {
                    let mut one = Vec::new();
                    field(1, tag.as_bytes(), &mut one);
                    one.push(0x15);
                    one.extend(value.to_le_bytes());
                    field(1, &one, &mut summary);
                }
                field(5, &summary, &mut data);
            }
        }
        let length = (data.len() as u64).to_le_bytes();
        [&length[..], &masked(&length).to_le_bytes(), &data, &masked(&data).to_le_bytes()].concat()
    }

    /// The first record of a file and its length in bytes; `None` where it is cut off, damaged, or of another program.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let data = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        let (data, rest) = rest.split_at_checked(data)?;
        let whole = *crc == masked(length).to_le_bytes() && *rest.first_chunk::<AFTER>()? == masked(data).to_le_bytes();
        if !whole { None } else { Some((Self::parse(data)?, BEFORE + data.len() + AFTER)) }
    }

    fn parse(data: &[u8]) -> Option<Self> {
        let mut event = Self { time: 0.0, step: 0, what: What::Scalars(Vec::new()) };
        for field in fields(data) {
            match field? {
                (1, Value::Fixed64(bytes)) => event.time = f64::from_le_bytes(bytes),
                (2, Value::Varint(step)) => event.step = step,
                (3, Value::Bytes(_)) => event.what = What::Version,
                (7, Value::Bytes(_)) => event.what = What::Start,
                (5, Value::Bytes(summary)) => event.what = What::Scalars(scalars(summary)?),
                _ => return None,
            }
        }
        Some(event)
    }
}

fn scalars(summary: &[u8]) -> Option<Vec<(String, f32)>> {
    let one = |field: Option<(u64, Value<'_>)>| {
        let Some((1, Value::Bytes(value))) = field else { return None };
        let (mut tag, mut scalar) = (None, None);
        for field in fields(value) {
            match field? {
                (1, Value::Bytes(text)) => tag = Some(String::from_utf8(text.to_vec()).ok()?),
                (2, Value::Fixed32(bytes)) => scalar = Some(f32::from_le_bytes(bytes)),
                _ => return None,
            }
        }
        Some((tag?, scalar?))
    };
    fields(summary).map(one).collect()
}

enum Value<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Fixed32([u8; 4]),
    Bytes(&'a [u8]),
}

/// The fields of a message: numbers and values; `None` at one that is damaged.
fn fields(mut data: &[u8]) -> impl Iterator<Item = Option<(u64, Value<'_>)>> {
    let mut next = move || {
        let key = read_varint(&mut data)?;
        let value = match key & 7 {
            0 => Value::Varint(read_varint(&mut data)?),
            1 => {
                let (bytes, rest) = data.split_first_chunk()?;
                data = rest;
                Value::Fixed64(*bytes)
            }
            2 => {
                let length = usize::try_from(read_varint(&mut data)?).ok()?;
                let (bytes, rest) = data.split_at_checked(length)?;
                data = rest;
                Value::Bytes(bytes)
            }
            5 => {
                let (bytes, rest) = data.split_first_chunk()?;
                data = rest;
                Value::Fixed32(*bytes)
            }
            _ => return None,
        };
        Some((key >> 3, value, data.is_empty()))
    };
    let mut done = data.is_empty();
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let field = next();
        done = field.as_ref().is_none_or(|&(.., last)| last);
        Some(field.map(|(number, value, _)| (number, value)))
    })
}

fn read_varint(data: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = data.split_first()?;
        *data = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A field of bytes, text or a message.
fn field(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    varint(bytes.len() as u64, out);
    out.extend(bytes);
}

/// The checksum of a record: a CRC is masked, so that one over data with CRCs in them stays meaningful.
fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: a record has some hundred bytes.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, &byte: &u8| (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & 0u32.wrapping_sub(crc & 1)));
    !bytes.iter().fold(!0, step)
}
