//! The state of a text session as bytes.
//!
//! Little-endian: `HHPAGE02`, the recurrent state (length u64, then its bytes), the logits of the newest position (count u32,
//! then f32), the beginning of a character (count u32, then its bytes), the newest tokens (count u32, then u32), and the FNV-1a
//! hash (u64) of all bytes before it. `HHPAGE01` is the same without tokens.

use crate::Error;
use hh_core::{state, tokenizer::Utf8Stream};

const MAGIC: &[u8; 8] = b"HHPAGE02";
const WITHOUT_TOKENS: &[u8; 8] = b"HHPAGE01";

/// Everything that a [`TextSession`](crate::TextSession) remembers.
#[derive(Clone, Debug)]
pub struct TextState {
    pub(super) state: state::Snapshot,
    pub(super) logits: Vec<f32>,
    /// The newest tokens, oldest first.
    pub(super) recent: Vec<u32>,
    pub(super) stream: Utf8Stream,
}

impl TextState {
    /// Tokens that the session had read and drawn.
    pub fn position(&self) -> u64 {
        self.state.position()
    }

    /// The bytes that [`from_bytes`](Self::from_bytes) reads.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (state, held) = (self.state.to_bytes(), self.stream.held());
        let mut out = Vec::with_capacity(state.len() + 4 * (self.logits.len() + self.recent.len()) + held.len() + 36);
        out.extend(MAGIC);
        out.extend((state.len() as u64).to_le_bytes());
        out.extend(state);
        out.extend((self.logits.len() as u32).to_le_bytes());
        out.extend(self.logits.iter().flat_map(|x| x.to_le_bytes()));
        out.extend((held.len() as u32).to_le_bytes());
        out.extend(held);
        out.extend((self.recent.len() as u32).to_le_bytes());
        out.extend(self.recent.iter().flat_map(|token| token.to_le_bytes()));
        out.extend(state::hash(&out).to_le_bytes());
        out
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`Error::State`] for other bytes, and bytes that are cut short or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let fail = |what: &str| Error::State(format!("{what}; save the session again"));
        let with_tokens = bytes.starts_with(MAGIC);
        let body = bytes.strip_prefix(if with_tokens { MAGIC } else { WITHOUT_TOKENS });
        let body = body.ok_or_else(|| fail("these bytes are no saved session"))?;
        let (body, sum) = body.split_last_chunk().ok_or_else(|| fail("the saved session was cut short"))?;
        if state::hash(&bytes[..bytes.len() - 8]) != u64::from_le_bytes(*sum) {
            return Err(fail("the saved session was cut short or damaged: its checksum does not match"));
        }
        let parts = Parts::read(body, with_tokens).ok_or_else(|| fail("the saved session is damaged"))?;
        let logits = parts.logits.as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)).collect();
        let recent = parts.recent.as_chunks().0.iter().map(|&x| u32::from_le_bytes(x)).collect();
        let mut stream = Utf8Stream::default();
        stream.push(parts.held, &mut String::new());
        Ok(Self { state: state::Snapshot::from_bytes(parts.state)?, logits, recent, stream })
    }
}

/// The bytes of each part.
struct Parts<'a> {
    state: &'a [u8],
    logits: &'a [u8],
    held: &'a [u8],
    recent: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(body: &'a [u8], with_tokens: bool) -> Option<Self> {
        let mut rest = Reader(body);
        let length = u64::from_le_bytes(*rest.take(8)?.first_chunk()?);
        let state = rest.take(usize::try_from(length).ok()?)?;
        let logits = rest.list(4)?;
        let held = rest.list(1)?;
        let recent = if with_tokens { rest.list(4)? } else { &[] };
        rest.0.is_empty().then_some(Self { state, logits, held, recent })
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    /// A count, then as many values of `size` bytes.
    fn list(&mut self, size: usize) -> Option<&'a [u8]> {
        let count = u32::from_le_bytes(*self.take(4)?.first_chunk()?) as usize;
        self.take(count.checked_mul(size)?)
    }
}
