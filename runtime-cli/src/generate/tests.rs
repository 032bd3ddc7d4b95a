use super::*;
use crate::loading::{Source, tests as models};
use crate::state_file;
use hh::{Decoder, GenerateOptions, StopStrings, TextSession};
use hh_core::sample::Sampler;
use hh_core::sample::SamplerConfig;
use hh_core::session::{Options, Session};
use hh_core::tokenizer::{Bytes, Tokenizer};

const LAYOUT: Options = Options { batch: 1, context: 12, segments: Some(2), chunk: 8, episodes: None };

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

fn decoder(sampler: Sampler, stops: StopStrings) -> Decoder {
    Decoder::new(sampler, stops, &Bytes)
}

/// Writes `n` tokens after a prompt, or after what a state file says, and saves it.
fn stretch(source: &Source, path: &std::path::Path, n: usize) -> String {
    let mut backend = models::cpu();
    let loaded = source.load(&mut backend, None).unwrap();
    let mut session = TextSession::new(backend, &loaded, Some(12), Some(2)).unwrap();
    let config = SamplerConfig { repetition_penalty: 1.3, repetition_window: 5, top_k: 12, seed: 9, ..SamplerConfig::default() };
    match state_file::open(path).unwrap() {
        Some(earlier) => session.restore(&earlier).unwrap(),
        None => session.queue(&loaded.tokenizer.encode("a caf\u{e9}").unwrap()),
    }
    let mut decoder = session.decoder(&GenerateOptions { sampler: config, ..GenerateOptions::default() }).unwrap();
    let mut out = Vec::new();
    let written = write(&mut session, &mut decoder, n, &mut out, &|| true).unwrap();
    assert_eq!(written.tokens, n);
    state_file::save(&session.snapshot().unwrap(), path).unwrap();
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
    assert_eq!(state_file::open(&cuts).unwrap(), state_file::open(&folder.path().join("whole")).unwrap());
}

#[test]
fn texts_side_by_side_are_what_each_is_alone() {
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path());
    let sampler = |seed| Sampler::new(SamplerConfig { top_k: 12, seed, ..SamplerConfig::default() }, 256).unwrap();
    let stops = StopStrings::new(["\u{e9}a".to_owned()]);
    let mut alone = String::new();
    for seed in 0..4 {
        let mut backend = models::cpu();
        let loaded = source.load(&mut backend, None).unwrap();
        let mut session = TextSession::new(backend, &loaded, Some(12), Some(2)).unwrap();
        session.queue(&[97, 99]);
        let mut out = Vec::new();
        write(&mut session, &mut decoder(sampler(seed), stops.clone()), 40, &mut out, &|| true).unwrap();
        let text = String::from_utf8(out).unwrap();
        alone += &format!("text {seed}: {text}{}", if text.ends_with('\n') { "" } else { "\n" });
    }
    let mut backend = models::cpu();
    let loaded = source.load(&mut backend, None).unwrap();
    let session = Session::new(backend, &loaded.model, Options { batch: 4, ..LAYOUT }).unwrap();
    let begun = |seed| Begun { decoder: decoder(sampler(seed), stops.clone()), tokens: vec![97, 99], before: format!("text {seed}: ") };
    let mut out = Vec::new();
    let written = write_several(session, &*loaded.tokenizer, (0..4).map(begun).collect(), 40, &mut out, &|| true).unwrap();
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
    let mut session = TextSession::new(backend, &loaded, Some(12), Some(2)).unwrap();
    session.queue(&[1]);
    let mut decoder = decoder(Sampler::new(SamplerConfig::default(), 256).unwrap(), StopStrings::default());
    let error = write(&mut session, &mut decoder, 100, &mut Closed, &|| true).unwrap_err();
    assert_eq!(error.downcast_ref::<std::io::Error>().unwrap().kind(), std::io::ErrorKind::BrokenPipe);
}
