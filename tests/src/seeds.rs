//! Small files of this project's own formats, to start fuzzing from and to damage in tests.

use crate::model::{config, cpu, disturbed, model};
use hh_core::{
    checkpoint::{Dtype, Metadata, TOKENIZER, write},
    model::shapes,
    session::{Options, Session},
    state::TextState,
    tokenizer::{Bytes, Tokenizer},
};
use hh_runtime::data::shard::{Header, Width};

/// Checkpoints with each kind of memory.
pub fn checkpoints() -> Vec<Vec<u8>> {
    let of = |changes| {
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
    };
    ["", r#""hopfield_kind": "classic", "hopfield_slots": 0"#].map(of).to_vec()
}

/// Shards with ids of both widths.
pub fn shards() -> Vec<Vec<u8>> {
    let of = |(vocab, count): (usize, u64)| {
        let width = Width::of(vocab);
        let header = Header { width, count, vocab_size: vocab as u64, tokenizer: [5; 32] };
        let mut bytes = header.to_bytes().to_vec();
        width.pack(&(0..count as u32).map(|i| i % vocab as u32).collect::<Vec<_>>(), &mut bytes);
        bytes
    };
    [(13, 50), (70_000, 50), (1, 1)].map(of).to_vec()
}

/// The state of a session before and after a text, and that of the text after it; of a model with an episodic memory.
pub fn states() -> ([Vec<u8>; 2], Vec<u8>) {
    let c = config(r#""episodic_width": 3"#);
    let mut b = cpu::<f32>(1);
    let model = model(&mut b, &c);
    let mut session =
        Session::new(b, &model, Options { context: 4, chunk: 4, episodes: Some(5), ..Options::default() }).expect("a session");
    let empty = session.snapshot().expect("no device to lose").to_bytes();
    session.prefill(&[1, 2, 3]).expect("ids of the vocabulary");
    let full = session.snapshot().expect("no device to lose");
    let mut text = TextState { logits: vec![0.5; 5], recent: vec![1, 2, 3], pending: vec![3], draws: 5, ..TextState::of(full.clone()) };
    text.stream.push(&[0xe2], &mut String::new());
    ([empty, full.to_bytes()], text.to_bytes())
}

/// Memory files of two documents, with keys in each format.
pub fn memories() -> Vec<Vec<u8>> {
    let c = config(r#""vocab_size": 256, "episodic_width": 3"#);
    let model = model(&mut cpu::<f32>(1), &c);
    let loaded = hh::LoadedModel::with_tokenizer(&Metadata::default(), model, Box::new(Bytes)).expect("as many ids");
    let mut session = hh::TextSession::new(cpu::<f32>(1), &loaded, Some(4), None).expect("a session");
    let mut of = |format| {
        let mut memory = hh::Memory::new(&mut session, format).expect("a model with a memory");
        for (name, text) in [("a", "A cat."), ("b", "\u{e9}t\u{e9}")] {
            memory.learn(&mut session, name, text).expect("bytes");
        }
        memory.to_bytes()
    };
    [hh::KeyFormat::F32, hh::KeyFormat::F16, hh::KeyFormat::Q8].map(&mut of).to_vec()
}

/// Descriptions of tokenizers.
pub fn tokenizers() -> Vec<Vec<u8>> {
    let texts = ["the cat's hat sat on the mat. ".repeat(20)];
    let bpe = |lower| hh::tokenizer::Bpe::train::<hh::Error>(270, lower, texts.iter().cloned().map(Ok)).expect("a text").to_json();
    [Bytes.to_json(), bpe(false), bpe(true)].map(String::into_bytes).to_vec()
}

/// Bodies of requests to the server.
pub fn requests() -> Vec<Vec<u8>> {
    let bodies = [
        r#"{"model": "m", "input": ["a", "b\u00e9"], "encoding_format": "base64", "dimensions": 5, "user": null}"#,
        r#"{"prompt": "a", "max_tokens": 5, "stop": ["x"], "stream": true, "stream_options": {"include_usage": true}}"#,
    ];
    bodies.map(|body| body.as_bytes().to_vec()).to_vec()
}

/// An array of NumPy, `[2, 3]`.
pub fn arrays() -> Vec<Vec<u8>> {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    let header = format!("{header:<117}\n");
    let numbers = (0..6).flat_map(|i| (i as f32).to_le_bytes());
    vec![b"\x93NUMPY\x01\0\x76\0".iter().copied().chain(header.bytes()).chain(numbers).collect()]
}
