//! Several texts at once: one session, a row for each.

use super::{Written, emit};
use anyhow::Result;
use hh::Decoder;
use hh_core::backend::Forward;
use hh_core::model::Model;
use hh_core::session::Session;
use hh_core::tokenizer::{Tokenizer, Utf8Stream};
use std::io::Write;
use std::ops::Deref;
use std::time::Instant;

/// One of the texts, as it begins.
pub struct Begun {
    /// Draws its tokens.
    pub decoder: Decoder,
    /// Its tokens so far; of each text equally many, one at least.
    pub tokens: Vec<u32>,
    /// What stands before it in the output.
    pub before: String,
}

struct Row {
    decoder: Decoder,
    stream: Utf8Stream,
    /// Not written yet.
    text: String,
    done: bool,
    ends_line: bool,
}

/// Draws up to `count` tokens for each text and writes one text after the other, each with a line break at its end: the first
/// as it comes, the others as far as they are once those before them are done. Each ends for itself at a stop, all of them where
/// `go_on` says no.
///
/// # Errors
/// What the session, a sampler or `out` says.
///
/// # Panics
/// Where the session has not a row for each text.
pub fn write_several<B: Forward, M: Deref<Target = Model<B::Tensor>>>(
    mut session: Session<B, M>,
    tokenizer: &dyn Tokenizer,
    texts: Vec<Begun>,
    count: usize,
    out: &mut dyn Write,
    go_on: &dyn Fn() -> bool,
) -> Result<Written> {
    assert_eq!(session.options().batch, texts.len(), "a session with a row for each text");
    let vocab_size = session.config().vocab_size;
    let mut tokens: Vec<u32> = texts.iter().flat_map(|text| text.tokens.iter().copied()).collect();
    let mut rows: Vec<Row> = texts.into_iter().map(Row::new).collect();
    let (mut written, mut front) = (Written::default(), 0);
    show(&mut rows, &mut front, out)?;
    for _ in 0..count {
        if !go_on() || rows.iter().all(|row| row.done) {
            break;
        }
        let logits = session.prefill(&tokens)?.chunks(vocab_size);
        tokens.truncate(rows.len());
        for ((row, logits), token) in rows.iter_mut().zip(logits).zip(&mut tokens) {
            // A text that has ended keeps its row, which is no longer read.
            if !row.done {
                *token = row.draw(logits, tokenizer)?;
                written.tokens += 1;
            }
        }
        written.first.get_or_insert_with(Instant::now);
        show(&mut rows, &mut front, out)?;
    }
    rows.iter_mut().for_each(Row::end);
    show(&mut rows, &mut front, out)?;
    Ok(Written { ends_line: true, ..written })
}

impl Row {
    fn new(begun: Begun) -> Self {
        let Begun { decoder, before, .. } = begun;
        Self { decoder, stream: Utf8Stream::default(), text: before, done: false, ends_line: false }
    }

    fn draw(&mut self, logits: &[f32], tokenizer: &dyn Tokenizer) -> Result<u32> {
        let piece = self.decoder.next(logits, tokenizer, &mut self.stream)?;
        self.text += &piece.text;
        self.done = piece.stopped;
        Ok(piece.token)
    }

    fn end(&mut self) {
        if !self.done {
            self.text += &self.decoder.rest();
            self.done = true;
        }
    }
}

/// Writes what can be: of the texts in order, all that are done, and the first that is not.
fn show(rows: &mut [Row], front: &mut usize, out: &mut dyn Write) -> Result<()> {
    while let Some(row) = rows.get_mut(*front) {
        row.ends_line = emit(&std::mem::take(&mut row.text), out)?.unwrap_or(row.ends_line);
        if !row.done {
            return Ok(());
        }
        if !row.ends_line {
            writeln!(out)?;
        }
        *front += 1;
    }
    Ok(())
}
