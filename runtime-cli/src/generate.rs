//! Text from a model, token by token, as it comes.

mod several;

pub use several::{Begun, write_several};

use anyhow::Result;
use hh_core::backend::Forward;
use hh_core::model::Model;
use hh_core::sample::Sampler;
use hh_core::session::Session;
use hh_core::tokenizer::{Tokenizer, Utf8Stream};
use std::io::Write;
use std::ops::Deref;
use std::time::Instant;

/// A text that is being written.
pub struct Writer<'t, B: Forward, M> {
    session: Session<B, M>,
    sampler: Sampler,
    tokenizer: &'t dyn Tokenizer,
    /// Tokens that the model has not run yet.
    pending: Vec<u32>,
    /// Bytes of a character whose rest is not drawn yet.
    held: Vec<u8>,
}

/// What [`Writer::write`] did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// Tokens that were drawn.
    pub tokens: usize,
    /// When the first of them was there.
    pub first: Option<Instant>,
    /// The last character that went out is a line break.
    pub ends_line: bool,
    /// A stop ended the text.
    pub stopped: bool,
}

impl<'t, B: Forward, M: Deref<Target = Model<B::Tensor>>> Writer<'t, B, M> {
    /// Goes on from a session and a sampler, with tokens that belong to the text and were not run yet, and bytes of a character
    /// that were drawn and not written yet.
    pub fn new(session: Session<B, M>, sampler: Sampler, tokenizer: &'t dyn Tokenizer, pending: Vec<u32>, held: Vec<u8>) -> Self {
        Self { session, sampler, tokenizer, pending, held }
    }

    /// Draws up to `count` tokens and writes their text, each at once; valid UTF-8 only, so that a character cut in two waits
    /// for its other half. Ends early at a stop, which is not written, and where `go_on` says no.
    ///
    /// # Errors
    /// What the session, the sampler or `out` says.
    ///
    /// # Panics
    /// Where nothing is pending: the first token must follow from something.
    pub fn write(&mut self, count: usize, stops: &mut Stops, out: &mut dyn Write, go_on: &dyn Fn() -> bool) -> Result<Written> {
        let (mut written, mut stream, mut text) = (Written::default(), Utf8Stream::default(), String::new());
        stream.push(&self.held, &mut text);
        while written.tokens < count && go_on() {
            // An id that stands for no text cannot be drawn.
            let logits = &self.session.prefill(&self.pending)?[..self.tokenizer.vocab_size()];
            let token = self.sampler.next(logits)?;
            self.pending.clear();
            self.pending.push(token);
            written.tokens += 1;
            written.first.get_or_insert_with(Instant::now);
            let bytes = self.tokenizer.token_bytes(token).unwrap_or_default();
            stream.push(bytes, &mut text);
            self.held.extend_from_slice(bytes);
            self.held = unfinished(&self.held).to_vec();
            let stopped = stops.filter(&mut text);
            written.ends_line = emit(&mut text, out)?.unwrap_or(written.ends_line);
            if stopped {
                written.stopped = true;
                return Ok(written);
            }
        }
        text = stops.rest();
        written.ends_line = emit(&mut text, out)?.unwrap_or(written.ends_line);
        Ok(written)
    }

    /// What going on needs: the session, the sampler, tokens that were not run, bytes that were not written.
    pub fn into_parts(self) -> (Session<B, M>, Sampler, Vec<u32>, Vec<u8>) {
        (self.session, self.sampler, self.pending, self.held)
    }
}

/// Writes a text, if there is any, and empties it; whether it ends a line.
fn emit(text: &mut String, out: &mut dyn Write) -> Result<Option<bool>> {
    if text.is_empty() {
        return Ok(None);
    }
    out.write_all(text.as_bytes())?;
    out.flush()?;
    let ends_line = text.ends_with('\n');
    text.clear();
    Ok(Some(ends_line))
}

/// The beginning of a character that the bytes end with.
fn unfinished(bytes: &[u8]) -> &[u8] {
    let invalid = bytes.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
    match std::str::from_utf8(invalid) {
        Err(e) if e.error_len().is_none() => invalid,
        _ => &[],
    }
}

/// Texts that end a sample.
#[derive(Clone, Debug, Default)]
pub struct Stops {
    stops: Vec<String>,
    /// The beginning of a stop, perhaps.
    kept: String,
}

impl Stops {
    /// The empty text stops nothing.
    pub fn new(stops: impl IntoIterator<Item = String>) -> Self {
        Self { stops: stops.into_iter().filter(|stop| !stop.is_empty()).collect(), kept: String::new() }
    }

    /// Takes from `text` what may be the beginning of a stop, gives back what turned out to be none, and says whether a stop is
    /// complete; `text` then ends before it.
    fn filter(&mut self, text: &mut String) -> bool {
        self.kept.push_str(text);
        text.clear();
        let hit = self.stops.iter().filter_map(|stop| self.kept.find(stop)).min();
        let end = hit.unwrap_or_else(|| {
            let mut starts = self.kept.char_indices().map(|(at, _)| at);
            let begins = |at: &usize| self.stops.iter().any(|stop| stop.starts_with(&self.kept[*at..]));
            starts.find(begins).unwrap_or(self.kept.len())
        });
        text.extend(self.kept.drain(..end));
        if hit.is_some() {
            self.kept.clear();
        }
        hit.is_some()
    }

    /// What was kept and became no stop.
    fn rest(&mut self) -> String {
        std::mem::take(&mut self.kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{self, Conversation};
    use crate::loading::{Source, tests as models};
    use hh_core::sample::SamplerConfig;
    use hh_core::session::Options;
    use hh_core::tokenizer::Bytes;

    const LAYOUT: Options = Options { batch: 1, context: 12, segments: Some(2), chunk: 8 };

    /// A model whose ids are bytes, so that characters are cut: 0xc3, 0xa9 (together é) and `a` are alike and likely.
    fn source(folder: &std::path::Path) -> Source {
        let config = hh_core::config::Config { vocab_size: 256, ..models::config() };
        let path = folder.join("m.safetensors");
        let bytes = models::checkpoint(&config, &[("tokenizer", Bytes.to_json())], |name, values| {
            if name == "embed.weight" {
                let width = values.len() / 256;
                let shared = values[..width].to_vec();
                for (id, row) in values.chunks_mut(width).enumerate() {
                    let [common, own] = if [0xc3, 0xa9, usize::from(b'a')].contains(&id) { [1.0, 0.2] } else { [0.0, 0.0] };
                    row.iter_mut().zip(&shared).for_each(|(x, s)| *x = common * s + own * *x);
                }
            }
        });
        std::fs::write(&path, bytes).unwrap();
        Source::open(&path).unwrap()
    }

    /// Writes `n` tokens after a prompt, or after what the file of a conversation says, and saves it.
    fn stretch(source: &Source, path: &std::path::Path, n: usize) -> String {
        let mut backend = models::cpu();
        let loaded = source.load(&mut backend, None).unwrap();
        let mut session = Session::new(backend, &loaded.model, LAYOUT).unwrap();
        let config = SamplerConfig { repetition_penalty: 1.3, repetition_window: 5, top_k: 12, seed: 9, ..SamplerConfig::default() };
        let mut sampler = Sampler::new(config, 256).unwrap();
        let (pending, held) = match Conversation::open(path).unwrap() {
            Some(earlier) => {
                session.restore(&earlier.snapshot).unwrap();
                sampler.restore(&earlier.sampler);
                (earlier.pending, earlier.held)
            }
            None => (loaded.tokenizer.encode("a caf\u{e9}").unwrap(), Vec::new()),
        };
        let mut writer = Writer::new(session, sampler, &*loaded.tokenizer, pending, held);
        let mut out = Vec::new();
        let written = writer.write(n, &mut Stops::default(), &mut out, &|| true).unwrap();
        assert_eq!(written.tokens, n);
        let (mut session, sampler, pending, held) = writer.into_parts();
        let (origin, snapshot) = (conversation::origin(source.header()), session.snapshot().unwrap());
        Conversation { origin, context: 12, segments: 2, snapshot, sampler: sampler.state(), pending, held }.save(path).unwrap();
        String::from_utf8(out).expect("valid UTF-8 only")
    }

    #[test]
    fn a_text_that_was_interrupted_goes_on_as_if_it_never_was() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path());
        let whole = stretch(&source, &folder.path().join("whole"), 60);
        assert!(whole.contains('\u{e9}'), "characters of two bytes come up: {whole:?}");
        let cuts = folder.path().join("cuts");
        let parts: String = [1, 0, 7, 13, 2, 37].into_iter().map(|n| stretch(&source, &cuts, n)).collect();
        assert_eq!(parts, whole);
        assert_eq!(Conversation::open(&cuts).unwrap(), Conversation::open(&folder.path().join("whole")).unwrap());
    }

    #[test]
    fn texts_side_by_side_are_what_each_is_alone() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path());
        let sampler = |seed| Sampler::new(SamplerConfig { top_k: 12, seed, ..SamplerConfig::default() }, 256).unwrap();
        let stops = Stops::new(["\u{e9}a".to_owned()]);
        let mut alone = String::new();
        for seed in 0..4 {
            let mut backend = models::cpu();
            let loaded = source.load(&mut backend, None).unwrap();
            let session = Session::new(backend, &loaded.model, LAYOUT).unwrap();
            let mut out = Vec::new();
            let mut writer = Writer::new(session, sampler(seed), &*loaded.tokenizer, vec![97, 99], Vec::new());
            writer.write(40, &mut stops.clone(), &mut out, &|| true).unwrap();
            let text = String::from_utf8(out).unwrap();
            alone += &format!("text {seed}: {text}{}", if text.ends_with('\n') { "" } else { "\n" });
        }
        let mut backend = models::cpu();
        let loaded = source.load(&mut backend, None).unwrap();
        let session = Session::new(backend, &loaded.model, Options { batch: 4, ..LAYOUT }).unwrap();
        let begun = |seed| Begun { sampler: sampler(seed), tokens: vec![97, 99], before: format!("text {seed}: ") };
        let mut out = Vec::new();
        let written = write_several(session, &*loaded.tokenizer, (0..4).map(begun).collect(), 40, &stops, &mut out, &|| true).unwrap();
        assert_eq!(String::from_utf8(out).expect("valid UTF-8 only"), alone);
        assert!(alone.contains('\u{e9}') && written.tokens < 4 * 40, "characters of two bytes, and stops, come up: {alone:?}");
    }

    #[test]
    fn a_closed_pipe_ends_the_text_with_its_error() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path());
        let mut backend = models::cpu();
        let loaded = source.load(&mut backend, None).unwrap();
        let session = Session::new(backend, &loaded.model, LAYOUT).unwrap();
        let sampler = Sampler::new(SamplerConfig::default(), 256).unwrap();
        let mut writer = Writer::new(session, sampler, &*loaded.tokenizer, vec![1], Vec::new());
        let error = writer.write(100, &mut Stops::default(), &mut Closed, &|| true).unwrap_err();
        assert_eq!(error.downcast_ref::<std::io::Error>().unwrap().kind(), std::io::ErrorKind::BrokenPipe);
    }

    /// What comes out of pieces, whether they were stopped, and the rest.
    fn through(stops: &[&str], pieces: &[&str]) -> (String, bool, String) {
        let mut filter = Stops::new(stops.iter().map(|s| (*s).to_owned()));
        let mut all = String::new();
        for piece in pieces {
            let mut text = (*piece).to_owned();
            let hit = filter.filter(&mut text);
            all += &text;
            if hit {
                return (all, true, filter.rest());
            }
        }
        (all, false, filter.rest())
    }

    #[test]
    fn a_stop_ends_the_text_wherever_it_is_cut() {
        for pieces in [&["one END two"][..], &["one E", "N", "D two"], &["o", "n", "e", " ", "E", "N", "D"]] {
            assert_eq!(through(&["END"], pieces), ("one ".into(), true, String::new()), "{pieces:?}");
        }
        assert_eq!(through(&["long stop", "\n\n"], &["a\n", "\nlong stop"]).0, "a");
    }

    #[test]
    fn what_only_begins_like_a_stop_is_not_lost() {
        assert_eq!(through(&["END"], &["one EN", "Dless"]), ("one ".into(), true, String::new()));
        assert_eq!(through(&["END"], &["one EN", "ough"]), ("one ENough".into(), false, String::new()));
        assert_eq!(through(&["END"], &["one ENE", "ND"]), ("one EN".into(), true, String::new()));
        assert_eq!(through(&["END"], &["the EN"]), ("the ".into(), false, "EN".into()));
        assert_eq!(through(&["→x"], &["a→", "→", "y"]), ("a→→y".into(), false, String::new()));
        assert_eq!(through(&[""], &["any"]), ("any".into(), false, String::new()));
    }

    #[test]
    fn the_beginning_of_a_character_is_told_from_what_is_none() {
        let euro = "€".as_bytes();
        assert_eq!(unfinished(&euro[..2]), &euro[..2]);
        assert_eq!(unfinished(&[b"ab", &euro[..1]].concat()), &euro[..1]);
        assert_eq!(unfinished(euro), b"");
        assert_eq!(unfinished(b"ab\xff"), b"");
        assert_eq!(unfinished(&[&euro[..2], b"c"].concat()), b"");
        assert_eq!(unfinished(&[&euro[..1], &euro[..2]].concat()), &euro[..2]);
    }
}
