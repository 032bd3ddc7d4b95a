//! States of earlier versions.
//!
//! `HHPAGE03` is as [today's](super::text), without pending tokens and without the number of tokens drawn. Its identity was that of
//! another hash, and is not compared.
//!
//! Little-endian: `HHPAGE02`, the recurrent state (length u64, then its bytes), the logits of the newest position (count u32,
//! then f32), the beginning of a character (count u32, then its bytes), the newest tokens (count u32, then u32), and the FNV-1a
//! hash (u64) of all bytes before it. `HHPAGE01` is the same without tokens. Neither says which weights it belongs to.

use super::{Hash, Reader, Snapshot, TextState, hash, text::unusable};
use crate::{
    error::{Error, StateError},
    tokenizer::Utf8Stream,
};
use alloc::{string::String, vec::Vec};

const PACKED: &[u8; 8] = b"HHPAGE03";
const WITH_TOKENS: &[u8; 8] = b"HHPAGE02";
const WITHOUT_TOKENS: &[u8; 8] = b"HHPAGE01";

/// Reads a state of an earlier version.
pub(super) fn read(bytes: &[u8]) -> Result<TextState, Error> {
    let magic = [PACKED, WITH_TOKENS, WITHOUT_TOKENS].into_iter().find(|magic| bytes.starts_with(*magic));
    let no_session = "these bytes are no saved session; give those that a session saved";
    let magic = magic.ok_or_else(|| StateError::Other(no_session.into()))?;
    let (body, sum) = bytes[magic.len()..].split_last_chunk().ok_or_else(|| unusable("was cut short"))?;
    let all = &bytes[..bytes.len() - 8];
    let found = if magic == PACKED { Hash::of(all) } else { hash(all) };
    if found != u64::from_le_bytes(*sum) {
        return Err(unusable("was cut short or damaged: its checksum does not match"));
    }
    let state = match magic {
        PACKED => TextState::read(Reader(body), false).map(|state| TextState { identity: 0, ..state }),
        _ => plain(Reader(body), magic == WITH_TOKENS).transpose()?,
    };
    state.ok_or_else(|| unusable("is damaged"))?.finite()
}

fn plain(mut rest: Reader<'_>, with_tokens: bool) -> Option<Result<TextState, Error>> {
    let length = rest.length()?;
    let state = rest.take(length)?;
    let logits = rest.floats()?;
    let mut stream = Utf8Stream::default();
    stream.push(rest.list(1)?, &mut String::new());
    let recent = if with_tokens { rest.ids()? } else { Vec::new() };
    let whole = |state| TextState { logits, recent, stream, ..TextState::of(state) };
    rest.0.is_empty().then(|| Snapshot::from_bytes(state).map(whole))
}
