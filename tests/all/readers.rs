//! The fuzz targets' functions over a small corpus and what damage makes of it.

use hh_core::{
    checkpoint::{Dtype, TOKENIZER, write},
    model::shapes,
    rng,
    sample::SamplerState,
    session::{Options, Session},
    tokenizer::{Bytes, Tokenizer},
};
use hh_runtime::{
    conversation::Conversation,
    data::shard::{Header, Width},
};
use hh_tests::{
    model::{config, cpu, disturbed, model},
    readers,
};

/// Reads whole files, and thousands of damaged ones. What is damaged must be refused or read; it may not panic.
fn check(read: fn(&[u8]) -> bool, whole: &[Vec<u8>]) {
    for file in whole {
        assert!(read(file), "a whole file reads");
        for cut in (0..file.len()).step_by(1 + file.len() / 400).chain(file.len().saturating_sub(9)..file.len()) {
            assert!(!read(&file[..cut]), "a file cut at {cut} of {} bytes does not", file.len());
        }
        assert!(!read(&[&file[..], b"x"].concat()), "a file with something behind it does not");
        for round in 0..3000 {
            let mut file = file.clone();
            for change in 0..1 + round % 4 {
                if file.is_empty() {
                    break;
                }
                let [at, how, byte, _] = rng::block([round, change, 0, 0], 1, 0);
                // Half of the damage goes to where the structure is.
                let span = if how & 8 == 0 { file.len().min(200) } else { file.len() };
                let at = at as usize % span;
                match how % 8 {
                    0 => file[at] = byte as u8,
                    1 => file[at] ^= 1 << (byte % 8),
                    2 => file[at] = 0xff,
                    3 => file[at] = 0,
                    4 => file.insert(at, byte as u8),
                    5 => drop(file.remove(at)),
                    6 => file.truncate(at),
                    _ => file.copy_within(at.., 0),
                }
            }
            read(&file);
        }
    }
    for junk in [&b""[..], b"{", b"\xff\xff\xff\xff\xff\xff\xff\xff{", b"\x02\0\0\0\0\0\0\0{}", &[0; 300]] {
        assert!(!read(junk));
    }
}

#[test]
fn a_checkpoint_that_is_damaged_is_refused_without_a_panic() {
    let files = ["", r#""hopfield_kind": "classic", "hopfield_slots": 0"#].map(|changes| {
        let c = config(changes);
        let tensors: Vec<_> = shapes(&c)
            .into_iter()
            .map(|(name, shape)| {
                let mut values = vec![0.0; shape.count()];
                disturbed(&name, shape, &c, &mut values);
                (name, shape, values)
            })
            .collect();
        let notes = [(TOKENIZER.to_string(), Bytes.to_json())].into();
        write(&c, &notes, tensors.iter().map(|(n, s, v)| (n.as_str(), *s, &v[..])), Dtype::Bf16).expect("finite weights")
    });
    check(readers::checkpoint, &files);
}

#[test]
fn a_shard_that_is_damaged_is_refused_without_a_panic() {
    let files = [(13, 50), (70_000, 50), (1, 1)].map(|(vocab, count)| {
        let width = Width::of(vocab);
        let header = Header { width, count, vocab_size: vocab as u64, tokenizer: [5; 32] };
        let mut bytes = header.to_bytes().to_vec();
        width.pack(&(0..count as u32).map(|i| i % vocab as u32).collect::<Vec<_>>(), &mut bytes);
        bytes
    });
    check(readers::shard, &files);
}

#[test]
fn a_state_that_is_damaged_is_refused_without_a_panic() {
    let c = config("");
    let mut b = cpu::<f32>(1);
    let model = model(&mut b, &c);
    let mut session = Session::new(b, &model, Options { context: 4, ..Options::default() }).expect("a session");
    let empty = session.snapshot().expect("no device to lose").to_bytes();
    session.prefill(&[1, 2, 3]).expect("ids of the vocabulary");
    let full = session.snapshot().expect("no device to lose");
    let sampler = SamplerState { draws: 5, recent: vec![1, 2, 3] };
    let talk =
        Conversation { origin: [7; 32], context: 4, segments: 2, snapshot: full.clone(), sampler, pending: vec![3], held: vec![0xe2] };
    check(readers::state, &[empty, full.to_bytes()]);
    check(readers::conversation, &[talk.to_bytes()]);
}

#[test]
fn a_description_of_a_tokenizer_that_is_damaged_is_refused_without_a_panic() {
    let texts = ["the cat's hat sat on the mat. ".repeat(20)];
    let bpe = |lower| hh::tokenizer::Bpe::train::<hh::Error>(270, lower, texts.iter().cloned().map(Ok)).expect("a text").to_json();
    check(readers::tokenizer, &[Bytes.to_json(), bpe(false), bpe(true)].map(String::into_bytes));
}

#[test]
fn a_request_that_is_damaged_is_refused_without_a_panic() {
    let bodies = [
        r#"{"model": "m", "input": ["a", "b\u00e9"], "encoding_format": "base64", "dimensions": 5, "user": null}"#,
        r#"{"prompt": "a", "max_tokens": 5, "stop": ["x"], "stream": true, "stream_options": {"include_usage": true}}"#,
    ];
    check(readers::request, &bodies.map(|body| body.as_bytes().to_vec()));
}

#[test]
fn an_array_that_is_damaged_is_refused_without_a_panic() {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    let header = format!("{header:<117}\n");
    let numbers = (0..6).flat_map(|i| (i as f32).to_le_bytes());
    check(readers::npy, &[b"\x93NUMPY\x01\0\x76\0".iter().copied().chain(header.bytes()).chain(numbers).collect()]);
}
