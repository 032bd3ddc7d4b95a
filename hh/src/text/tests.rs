use crate::{Decoder, Error, GenerateOptions, SamplerConfig, StopStrings, TextModel, TextSession, TextState};
use hh_core::{
    checkpoint::{Dtype, Metadata, TOKENIZER, write},
    config::Config,
    init,
    model::shapes,
    sample::Sampler,
    state::{Hash, hash},
    tokenizer::{Bytes, Tokenizer},
};
use std::{fs, path::PathBuf, thread};

mod batch;
mod prefix;

fn config() -> Config {
    let json = r#"{"vocab_size": 256, "width": 24, "layers": 2, "ffn": 24, "head_dim": 8, "ssm_width": 8, "hopfield_width": 8,
        "attention_width": 8, "hopfield_depths": [2, 1], "segments": 2, "controller_width": 8}"#;
    Config::from_json(json).unwrap()
}

/// A checkpoint of random weights whose ids are bytes. Bytes of two-byte characters are frequent, so that tokens cut characters.
fn checkpoint() -> Vec<u8> {
    let c = config();
    let tensors: Vec<_> = shapes(&c)
        .into_iter()
        .map(|(name, shape)| {
            let mut values = vec![0.0; shape.count()];
            init::value(&name, shape, &c, 5, &mut values);
            if name == "embed.weight" {
                let shared = values[..c.width].to_vec();
                for (id, row) in values.chunks_mut(c.width).enumerate() {
                    let common = if [0xc3, 0xa9, usize::from(b'a')].contains(&id) { 30.0 } else { 0.0 };
                    row.iter_mut().zip(&shared).for_each(|(x, s)| *x = common * s + 6.0 * *x);
                }
            }
            (name, shape, values)
        })
        .collect();
    let notes = Metadata::from([(TOKENIZER.to_owned(), Bytes.to_json()), ("context".to_owned(), "24".to_owned())]);
    write(&c, &notes, tensors.iter().map(|(n, s, v)| (n.as_str(), *s, &v[..])), Dtype::F32).unwrap()
}

fn model() -> TextModel {
    TextModel::from_bytes(&checkpoint()).unwrap()
}

fn options(seed: u64) -> GenerateOptions {
    GenerateOptions { max_tokens: 40, sampler: SamplerConfig { seed, ..SamplerConfig::default() }, ..GenerateOptions::default() }
}

fn text(session: &mut TextSession, options: &GenerateOptions) -> String {
    session.generate(options).unwrap().collect::<Result<String, _>>().unwrap()
}

#[test]
fn a_generated_text_is_the_same_in_a_session_and_from_the_model() {
    let model = model();
    let mut session = model.session().unwrap();
    session.prefill("caf\u{e9} ").unwrap();
    let written = text(&mut session, &options(3));
    assert!(written.contains('\u{e9}'), "characters of two bytes occur: {written:?}");
    let whole: String = model.generate("caf\u{e9} ", &options(3)).unwrap().map(Result::unwrap).collect();
    assert_eq!(written, whole);
    assert_eq!(model.clone().with_threads(2).generate("caf\u{e9} ", &options(3)).unwrap().map(Result::unwrap).collect::<String>(), whole);
}

#[test]
fn a_snapshot_restored_or_forked_or_read_from_bytes_continues_alike() {
    let model = model();
    let mut session = model.session().unwrap();
    session.prefill("a long text that fills the ring of the memories ").unwrap();
    text(&mut session, &options(1));
    let here = session.snapshot().unwrap();
    let position = session.position();
    let wanted = text(&mut session, &options(2));
    session.restore(&here).unwrap();
    assert_eq!((session.position(), here.position()), (position, position));
    let mut fork = session.fork().unwrap();
    assert_eq!(text(&mut session, &options(2)), wanted);
    assert_eq!(text(&mut fork, &options(2)), wanted);
    let mut other = model.session().unwrap();
    other.restore(&TextState::from_bytes(&here.to_bytes()).unwrap()).unwrap();
    assert_eq!(text(&mut other, &options(2)), wanted);
    session.reset().unwrap();
    assert_eq!(session.position(), 0);
}

#[test]
fn a_generation_that_is_dropped_leaves_the_session_where_it_stands() {
    let model = model();
    let (mut whole, mut cut) = (model.session().unwrap(), model.session().unwrap());
    whole.prefill("b").unwrap();
    cut.prefill("b").unwrap();
    let mut decoders = [(); 2].map(|()| Decoder::new(Sampler::new(SamplerConfig::default(), 256).unwrap(), StopStrings::default(), &Bytes));
    let all: Vec<u32> = (0..20).map(|_| whole.draw(&mut decoders[0]).unwrap().token).collect();
    for (i, &token) in all.iter().enumerate() {
        if i % 3 == 0 {
            cut.catch_up().unwrap();
        }
        assert_eq!(cut.draw(&mut decoders[1]).unwrap().token, token);
    }
    let mut pieces = whole.generate(&options(1)).unwrap();
    let first = pieces.next().unwrap().unwrap();
    drop(pieces);
    assert!(!first.is_empty() && whole.position() > 21);
}

/// A session whose newest token is the first byte of a character.
fn inside_of_a_character() -> TextSession {
    let mut session = model().session().unwrap();
    session.prefill("caf").unwrap();
    let mut decoder = decoder(1);
    while session.snapshot().unwrap().stream.held().is_empty() {
        session.draw(&mut decoder).unwrap();
    }
    session
}

fn decoder(seed: u64) -> Decoder {
    Decoder::new(Sampler::new(SamplerConfig { seed, ..SamplerConfig::default() }, 256).unwrap(), StopStrings::default(), &Bytes)
}

#[test]
fn a_snapshot_keeps_the_beginning_of_a_character() {
    let mut session = inside_of_a_character();
    let here = session.snapshot().unwrap();
    let wanted = text(&mut session, &options(5));
    for state in [here.clone(), TextState::from_bytes(&here.to_bytes()).unwrap()] {
        session.reset().unwrap();
        session.restore(&state).unwrap();
        assert_eq!(text(&mut session, &options(5)), wanted);
    }
}

#[test]
fn new_text_drops_the_beginning_of_a_character() {
    let mut session = inside_of_a_character();
    session.queue(&[]);
    assert!(!session.snapshot().unwrap().stream.held().is_empty(), "no text is no new text");
    session.queue(b"a".map(u32::from).as_slice());
    assert!(session.snapshot().unwrap().stream.held().is_empty());
}

#[test]
fn a_prefill_that_fails_changes_nothing() {
    let (mut session, mut other) = (inside_of_a_character(), inside_of_a_character());
    let [first, second] = [&mut session, &mut other].map(|s| s.draw(&mut decoder(8)).unwrap());
    assert_eq!(first, second);
    let position = session.position();
    assert!(session.prefill_tokens(&[97, 256]).is_err());
    assert_eq!((session.position(), session.pending()), (position, &[first.token][..]));
    assert_eq!(text(&mut session, &options(9)), text(&mut other, &options(9)));
    let mut session = inside_of_a_character();
    assert!(session.prefill_tokens(&[256]).is_err());
    assert!(!session.snapshot().unwrap().stream.held().is_empty());
}

#[test]
fn what_only_begins_like_a_stop_string_comes_at_the_end() {
    let model = model();
    let whole: String = model.generate("x", &options(2)).unwrap().map(Result::unwrap).collect();
    let stop = format!("{} and more", whole.chars().next_back().unwrap());
    let begun = GenerateOptions { stop: vec![stop], ..options(2) };
    assert_eq!(model.generate("x", &begun).unwrap().map(Result::unwrap).collect::<String>(), whole);
}

/// Bytes, and the end of a document in place of byte 7.
struct Ends;

impl Tokenizer for Ends {
    fn vocab_size(&self) -> usize {
        256
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, hh_core::error::Error> {
        if text == "<|endoftext|>" { Ok(vec![7]) } else { Bytes.encode(text) }
    }

    fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        if id == 7 { Some(b"<|endoftext|>") } else { Bytes.token_bytes(id) }
    }

    fn to_json(&self) -> String {
        Bytes.to_json()
    }
}

#[test]
fn the_end_of_text_token_ends_the_text() {
    let greedy = SamplerConfig { temperature: 0.0, ..SamplerConfig::default() };
    let stops = StopStrings::new(["ab".to_owned()]);
    let decoder = Decoder::new(Sampler::new(greedy, 256).unwrap(), stops, &Ends);
    let draw = |decoder: &mut Decoder, id: usize| {
        let mut logits = [0.0; 256];
        logits[id] = 9.0;
        let piece = decoder.next(&logits, &Ends, &mut Default::default()).unwrap();
        assert_eq!(piece.token as usize, id);
        (piece.text, piece.stopped)
    };
    let mut ending = decoder.clone();
    assert_eq!(draw(&mut ending, 97), (String::new(), false));
    assert_eq!(draw(&mut ending, 7), ("a".to_owned(), true), "with the text that was held back");
    let mut going_on = decoder.ignoring_end_of_text();
    assert_eq!(draw(&mut going_on, 7), ("<|endoftext|>".to_owned(), false));
    assert_eq!(crate::tokenizer::end_of_text(&Bytes), None);
}

#[test]
fn threads_share_the_weights() {
    let model = model();
    let alone: Vec<String> = (0..4).map(|seed| model.generate("x", &options(seed)).unwrap().map(Result::unwrap).collect()).collect();
    thread::scope(|scope| {
        for (seed, alone) in (0..).zip(&alone) {
            let model = &model;
            scope.spawn(move || assert_eq!(&model.generate("x", &options(seed)).unwrap().map(Result::unwrap).collect::<String>(), alone));
        }
    });
}

#[test]
fn a_stop_string_ends_the_text_before_it() {
    let model = model();
    let whole: String = model.generate("x", &options(2)).unwrap().map(Result::unwrap).collect();
    let stop: String = whole.chars().skip(5).take(3).collect();
    let stopped = GenerateOptions { stop: vec![stop.clone()], ..options(2) };
    let text: String = model.generate("x", &stopped).unwrap().map(Result::unwrap).collect();
    assert_eq!(text, whole[..whole.find(&stop).unwrap()]);
}

#[test]
fn the_repetition_penalty_applies_to_the_prompt_and_survives_saving() {
    let model = model();
    let mut session = model.session().unwrap();
    let penalised = SamplerConfig { repetition_penalty: 1.3, repetition_window: 4, ..SamplerConfig::default() };
    let options = GenerateOptions { sampler: penalised, max_tokens: 2, ..GenerateOptions::default() };
    let recent = |session: &TextSession| session.decoder(&options).unwrap().sampler().state().recent;
    assert!(recent(&session).is_empty());
    session.prefill("abc").unwrap();
    let before = session.snapshot().unwrap();
    let mut decoder = session.decoder(&options).unwrap();
    let drawn = [(); 2].map(|()| session.draw(&mut decoder).unwrap().token);
    let wanted = [u32::from(b'b'), u32::from(b'c'), drawn[0], drawn[1]];
    assert_eq!(recent(&session), wanted, "the last token is not run yet");
    let mut again = model.session().unwrap();
    again.restore(&TextState::from_bytes(&session.snapshot().unwrap().to_bytes()).unwrap()).unwrap();
    assert_eq!(recent(&again), wanted);
    session.restore(&before).unwrap();
    assert_eq!(recent(&session), b"abc".map(u32::from));
    session.reset().unwrap();
    assert!(recent(&session).is_empty());
}

#[test]
fn states_of_earlier_versions_are_still_read() {
    let model = model();
    let mut session = model.session().unwrap();
    session.prefill("abc").unwrap();
    let state = session.snapshot().unwrap();
    let wanted = text(&mut session, &options(1));
    for version in 1..=3 {
        let mut again = model.session().unwrap();
        again.restore(&TextState::from_bytes(&earlier(&state, version)).unwrap()).unwrap();
        assert_eq!(text(&mut again, &options(1)), wanted, "version {version}");
    }
}

/// A state as an earlier version wrote it.
fn earlier(state: &TextState, version: u8) -> Vec<u8> {
    let mut out = format!("HHPAGE0{version}").into_bytes();
    if version == 3 {
        // Today's bytes, without a count of pending tokens, which is 0, the number of draws and the checksum.
        let now = state.to_bytes();
        out.extend(&now[out.len()..now.len() - 20]);
        out.extend(Hash::of(&out).to_le_bytes());
        return out;
    }
    let mut field = |count: &[u8], bytes: &[u8]| out.extend([count, bytes].concat());
    let recurrent = state.state.to_bytes();
    field(&(recurrent.len() as u64).to_le_bytes(), &recurrent);
    let logits: Vec<u8> = state.logits.iter().flat_map(|x| x.to_le_bytes()).collect();
    field(&(state.logits.len() as u32).to_le_bytes(), &logits);
    field(&(state.stream.held().len() as u32).to_le_bytes(), state.stream.held());
    if version == 2 {
        let recent: Vec<u8> = state.recent.iter().flat_map(|token| token.to_le_bytes()).collect();
        field(&(state.recent.len() as u32).to_le_bytes(), &recent);
    }
    out.extend(hash(&out).to_le_bytes());
    out
}

#[test]
fn a_text_goes_on_from_any_token_as_if_it_was_never_saved() {
    let model = model();
    let penalised = SamplerConfig { repetition_penalty: 1.3, repetition_window: 4, seed: 8, ..SamplerConfig::default() };
    let options = GenerateOptions { sampler: penalised, max_tokens: 1, ..GenerateOptions::default() };
    let mut whole = model.session().unwrap();
    whole.prefill("ab").unwrap();
    let mut state = whole.snapshot().unwrap().to_bytes();
    let mut decoder = whole.decoder(&options).unwrap();
    for n in 0..30 {
        let wanted = whole.draw(&mut decoder).unwrap();
        let mut parts = model.session().unwrap();
        parts.restore(&TextState::from_bytes(&state).unwrap()).unwrap();
        let found = parts.decoder(&options).unwrap();
        assert_eq!(parts.draw(&mut { found }).unwrap(), wanted, "token {n}");
        state = parts.snapshot().unwrap().to_bytes();
        assert_eq!(state, whole.snapshot().unwrap().to_bytes(), "after token {n}");
    }
}

#[test]
fn a_folder_in_the_hugging_face_layout_loads_like_the_checkpoint() {
    let folder = std::env::temp_dir().join(format!("hh-layout-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    // Weights without any metadata, as other programs write them.
    let bytes = checkpoint();
    let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    header.as_object_mut().unwrap().remove("__metadata__");
    let mut header = serde_json::to_vec(&header).unwrap();
    header.resize(header.len().next_multiple_of(8), b' ');
    let plain = [&(header.len() as u64).to_le_bytes()[..], &header, &bytes[8 + length..]].concat();
    fs::write(folder.join("model.safetensors"), plain).unwrap();
    let error = TextModel::from_file(&folder).map(drop).unwrap_err().to_string();
    assert!(error.contains("\"config\""), "{error}");
    fs::write(folder.join("config.json"), config().to_json()).unwrap();
    let error = TextModel::from_file(&folder).map(drop).unwrap_err();
    assert!(error.to_string().contains("no tokenizer"), "{error}");
    fs::write(folder.join("tokenizer.json"), Bytes.to_json()).unwrap();
    let read = |model: TextModel| model.generate("x", &options(1)).unwrap().map(Result::unwrap).collect::<String>();
    let found = read(TextModel::from_file(&folder).unwrap());
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(found, read(model()));
}

#[test]
fn bad_input_is_refused_by_name() {
    let model = model();
    let mut session = model.session().unwrap();
    let error = session.generate(&options(1)).unwrap().next().unwrap().unwrap_err().to_string();
    assert!(error.contains("prefill"), "{error}");
    let hot = SamplerConfig { temperature: -1.0, ..SamplerConfig::default() };
    assert!(session.generate(&GenerateOptions { sampler: hot, ..options(1) }).is_err());
    for path in ["no/such.safetensors", env!("CARGO_MANIFEST_DIR")] {
        let error = TextModel::from_file(path).map(drop).unwrap_err();
        assert!(matches!(&error, Error::File { path: p, .. } | Error::Folder(p) if p == &PathBuf::from(path)), "{error}");
        assert!(error.to_string().contains(path), "{error}");
    }
    let bytes = model.session().unwrap().snapshot().unwrap().to_bytes();
    for cut in 0..bytes.len() {
        assert!(TextState::from_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    let mut damaged = bytes;
    damaged[30] ^= 1;
    assert!(matches!(TextState::from_bytes(&damaged), Err(hh_core::error::Error::State(_))));
}
