//! States of earlier versions.
//!
//! Little-endian: `HHPAGE02`, the recurrent state (length u64, then its bytes), the logits of the newest position (count u32,
//! then f32), the beginning of a character (count u32, then its bytes), the newest tokens (count u32, then u32), and the FNV-1a
//! hash (u64) of all bytes before it. `HHPAGE01` is the same without tokens. Neither says which weights it belongs to.

use super::{
    TextState,
    state::{Reader, floats},
};
use crate::Error;
use hh_core::{state, tokenizer::Utf8Stream};

const WITH_TOKENS: &[u8; 8] = b"HHPAGE02";
const WITHOUT_TOKENS: &[u8; 8] = b"HHPAGE01";

/// Reads a state of an earlier version.
pub(super) fn read(bytes: &[u8]) -> Result<TextState, Error> {
    let fail = |what: &str| Error::State(format!("{what}; save the session again"));
    let with_tokens = bytes.starts_with(WITH_TOKENS);
    let body = bytes.strip_prefix(if with_tokens { WITH_TOKENS } else { WITHOUT_TOKENS });
    let body = body.ok_or_else(|| fail("these bytes are no saved session"))?;
    let (body, sum) = body.split_last_chunk().ok_or_else(|| fail("the saved session was cut short"))?;
    if state::hash(&bytes[..bytes.len() - 8]) != u64::from_le_bytes(*sum) {
        return Err(fail("the saved session was cut short or damaged: its checksum does not match"));
    }
    parts(Reader(body), with_tokens).ok_or_else(|| fail("the saved session is damaged"))?
}

fn parts(mut rest: Reader<'_>, with_tokens: bool) -> Option<Result<TextState, Error>> {
    let length = usize::try_from(rest.u64()?).ok()?;
    let state = rest.take(length)?;
    let logits = floats(rest.list(4)?);
    let mut stream = Utf8Stream::default();
    stream.push(rest.list(1)?, &mut String::new());
    let recent = if with_tokens { rest.list(4)? } else { &[] };
    let recent = recent.as_chunks().0.iter().map(|&token| u32::from_le_bytes(token)).collect();
    let whole = |state| TextState { identity: 0, state, logits, recent, stream };
    rest.0.is_empty().then(|| Ok(state::Snapshot::from_bytes(state).map(whole)?))
}

#[cfg(test)]
impl TextState {
    /// As an earlier version wrote it.
    pub(super) fn to_bytes_before(&self, with_tokens: bool) -> Vec<u8> {
        let (state, held) = (self.state.to_bytes(), self.stream.held());
        let mut out = if with_tokens { WITH_TOKENS } else { WITHOUT_TOKENS }.to_vec();
        out.extend((state.len() as u64).to_le_bytes());
        out.extend(state);
        out.extend((self.logits.len() as u32).to_le_bytes());
        out.extend(self.logits.iter().flat_map(|x| x.to_le_bytes()));
        out.extend((held.len() as u32).to_le_bytes());
        out.extend(held);
        if with_tokens {
            out.extend((self.recent.len() as u32).to_le_bytes());
            out.extend(self.recent.iter().flat_map(|token| token.to_le_bytes()));
        }
        out.extend(state::hash(&out).to_le_bytes());
        out
    }
}
