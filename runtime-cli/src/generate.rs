//! Text from a model, written token by token.

mod several;
#[cfg(test)]
mod tests;

pub use several::{Begun, write_several};

use anyhow::Result;
use hh::{Decoder, LoadedModel, Piece, TextSession};
use hh_core::backend::Forward;
use std::io::Write;
use std::ops::Deref;
use std::time::Instant;

/// What [`write()`] did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// Tokens that were drawn.
    pub tokens: usize,
    /// When the first of them was drawn.
    pub first: Option<Instant>,
    /// Whether the last character that was written is a line break.
    pub ends_line: bool,
    /// Whether a stop string or the end-of-text token ended the text.
    pub stopped: bool,
}

/// [`write_each`] without anything else to do for a token.
///
/// # Errors
/// As [`write_each`].
pub fn write<B: Forward, P: Deref<Target = LoadedModel<B::Tensor>>>(
    session: &mut TextSession<B, P>,
    decoder: &mut Decoder,
    count: usize,
    out: &mut dyn Write,
    go_on: &dyn Fn() -> bool,
) -> Result<Written> {
    write_each(session, decoder, count, out, go_on, |_, _| Ok(()))
}

/// Draws up to `count` tokens and writes the text of each as soon as it is valid UTF-8. Ends early at a stop string, which is
/// not written, at the end-of-text token, and where `go_on` returns false. `each` sees every token that was drawn.
///
/// # Errors
/// Those of the session, the sampler and `out`.
pub fn write_each<B: Forward, P: Deref<Target = LoadedModel<B::Tensor>>>(
    session: &mut TextSession<B, P>,
    decoder: &mut Decoder,
    count: usize,
    out: &mut dyn Write,
    go_on: &dyn Fn() -> bool,
    mut each: impl FnMut(&mut TextSession<B, P>, &Piece) -> Result<()>,
) -> Result<Written> {
    let mut written = Written::default();
    while written.tokens < count && !written.stopped && go_on() {
        let piece = session.draw(decoder)?;
        each(session, &piece)?;
        written.tokens += 1;
        written.first.get_or_insert_with(Instant::now);
        written.ends_line = emit(&piece.text, out)?.unwrap_or(written.ends_line);
        written.stopped = piece.stopped;
    }
    written.ends_line = emit(&decoder.rest(), out)?.unwrap_or(written.ends_line);
    Ok(written)
}

/// Writes a text, if there is any; whether it ends a line.
fn emit(text: &str, out: &mut dyn Write) -> Result<Option<bool>> {
    if text.is_empty() {
        return Ok(None);
    }
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(Some(text.ends_with('\n')))
}
