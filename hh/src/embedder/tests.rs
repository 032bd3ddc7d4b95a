use super::{Blank, EmbedOptions, Embedder, Embeddings, Output, Prompt, Values, Vector};
use crate::{Convention, Error, Pooling};
use hh_core::{
    checkpoint::{Metadata, Stored, TOKENIZER, write},
    config::Config,
    embed::{CONVENTION, normalise},
    init,
    model::shapes,
    quant::Format,
    rng,
    tokenizer::{Bytes, Tokenizer},
};
use std::thread;

/// An untrained checkpoint in q8 with a pooled head.
fn checkpoint() -> Vec<u8> {
    let config = r#"{"vocab_size": 256, "width": 40, "layers": 2, "ffn": 40, "head_dim": 8, "ssm_width": 16, "hopfield_width": 8,
        "attention_width": 8, "hopfield_depths": [2, 1], "hopfield_slots": 2, "mixer_hidden": 8, "pooled_dim": 20}"#;
    let c = Config::from_json(config).unwrap();
    let tensors: Vec<_> = shapes(&c)
        .into_iter()
        .map(|(name, shape)| {
            let mut values = vec![0.0; shape.count()];
            init::value(&name, shape, &c, 1, &mut values);
            let site = name.bytes().fold(0u32, |h, b| h.wrapping_mul(31).wrapping_add(b.into()));
            values.iter_mut().zip(0..).for_each(|(x, i)| *x += 0.2 * rng::normal([7, 0, 0, 0], site, i));
            (name, shape, values)
        })
        .collect();
    let convention = Convention { pooling: Pooling::Weighted, query: "ask: ".into(), document: String::new() };
    let notes = Metadata::from([
        (TOKENIZER.to_owned(), Bytes.to_json()),
        (CONVENTION.to_owned(), convention.to_json()),
        ("context".to_owned(), "32".to_owned()),
    ]);
    write(&c, &notes, tensors.iter().map(|(n, s, v)| (n.as_str(), *s, &v[..])), Stored::Quantised(Format::Q8)).unwrap()
}

fn embedder() -> Embedder {
    Embedder::from_bytes(&checkpoint()).unwrap()
}

/// Texts of 1 to some 300 characters.
fn texts() -> Vec<String> {
    (0..60).map(|i| "the quick brown fox jumps over the lazy dog, then ".repeat(7)[i % 9..][..1 + (i * i) % 300].to_owned() + "x").collect()
}

fn numbers(embeddings: &Embeddings) -> &[f32] {
    embeddings.as_f32().unwrap()
}

#[test]
fn an_embedder_is_shared_by_reference() {
    fn shared<T: Send + Sync>(_: &T) {}
    let (embedder, texts) = (embedder().with_threads(2), texts());
    shared(&embedder);
    let wanted = embedder.embed(&texts, &EmbedOptions::default()).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(embedder.embed(&texts, &EmbedOptions::default()).unwrap() == wanted));
        }
    });
}

#[test]
fn an_identity_is_that_of_the_weights_however_they_are_read() {
    let bytes = checkpoint();
    let identity = |bytes: &[u8]| Embedder::from_bytes(bytes).unwrap().identity().unwrap();
    assert_eq!(identity(&bytes), Embedder::from_static(bytes.clone().leak()).unwrap().identity().unwrap());
    let mut other = bytes.clone();
    // A small integer of the last quantised block.
    *other.last_mut().unwrap() ^= 1;
    assert_ne!(identity(&bytes), identity(&other));
}

#[test]
fn vectors_depend_neither_on_threads_nor_on_company_nor_on_where_the_bytes_lie() {
    let (bytes, texts) = (checkpoint(), texts());
    let embed = |threads| Embedder::from_bytes(&bytes).unwrap().with_threads(threads).embed(&texts, &EmbedOptions::default()).unwrap();
    let all = embed(1);
    assert!((2..5).all(|threads| embed(threads) == all), "the same bits");
    assert!(Embedder::from_static(bytes.clone().leak()).unwrap().embed(&texts, &EmbedOptions::default()).unwrap() == all);
    let embedder = embedder();
    for (text, together) in texts.iter().zip(numbers(&all).chunks(20)) {
        let alone = embedder.embed(&[text], &EmbedOptions::default()).unwrap();
        assert!(numbers(&alone).iter().zip(together).all(|(a, b)| (a - b).abs() < 1e-5), "{text}");
        assert!((together.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
    }
    let none = embedder.embed(&[] as &[&str], &EmbedOptions::default()).unwrap();
    assert!(none.is_empty() && none.dim() == 20 && none.top_k(all.vector(0), 3).unwrap().is_empty());
}

#[test]
fn a_short_vector_is_the_beginning_of_the_long_one_made_a_unit_again() {
    let (embedder, texts) = (embedder(), texts());
    let whole = embedder.embed(&texts, &EmbedOptions::default()).unwrap();
    let short = embedder.embed(&texts, &EmbedOptions { truncate_dim: Some(7), ..EmbedOptions::default() }).unwrap();
    for (whole, short) in numbers(&whole).chunks(20).zip(numbers(&short).chunks(7)) {
        let mut begin = whole[..7].to_vec();
        normalise(&mut begin);
        assert!(begin.iter().zip(short).all(|(a, b)| (a - b).abs() < 1e-5));
    }
    let raw = embedder.embed(&texts, &EmbedOptions { normalise: false, ..EmbedOptions::default() }).unwrap();
    for (raw, whole) in numbers(&raw).chunks(20).zip(numbers(&whole).chunks(20)) {
        let mut unit = raw.to_vec();
        normalise(&mut unit);
        assert!(raw != whole && unit.iter().zip(whole).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}

#[test]
fn small_numbers_are_those_of_f32_made_small() {
    let (embedder, texts) = (embedder(), texts());
    let plain = embedder.embed(&texts, &EmbedOptions::default()).unwrap();
    let of = |output| embedder.embed(&texts, &EmbedOptions { output, normalise: false, ..EmbedOptions::default() }).unwrap();
    let (int8, binary) = (of(Output::Int8), of(Output::Binary));
    let (Values::Int8(bytes), Values::Binary(bits)) = (int8.values(), binary.values()) else { panic!("another output") };
    assert!(bytes.iter().zip(numbers(&plain)).all(|(&b, x)| (f32::from(b) / 127.0 - x).abs() <= 0.5 / 127.0 + 1e-6));
    assert_eq!(bits.len(), texts.len() * 3, "20 bits are three bytes");
    for (bits, row) in bits.chunks(3).zip(numbers(&plain).chunks(20)) {
        for (i, x) in row.iter().enumerate() {
            assert_eq!(bits[i / 8] >> (7 - i % 8) & 1 == 1, *x > 0.0, "number {i}");
        }
        assert_eq!(bits[2] & 0x0f, 0, "the rest of the last byte");
    }
    for (i, j) in [(0, 1), (3, 40), (17, 17)] {
        let exact = plain.vector(i).similarity(plain.vector(j)).unwrap();
        assert!((int8.vector(i).similarity(int8.vector(j)).unwrap() - exact).abs() < 0.02);
    }
}

#[test]
fn a_prompt_is_text_before_the_text() {
    let embedder = embedder();
    let embed = |text: &str, prompt| embedder.embed(&[text], &EmbedOptions { prompt, ..EmbedOptions::default() }).unwrap();
    assert_eq!(embed("why", Prompt::Query), embed("ask: why", Prompt::Plain));
    assert_eq!(embed("why", Prompt::Document), embed("why", Prompt::Plain));
    let pooled = |pooling| embedder.embed(&["some words"], &EmbedOptions { pooling, ..EmbedOptions::default() }).unwrap();
    assert_eq!(pooled(None), pooled(Some(Pooling::Weighted)), "the model's own");
    assert!(pooled(None) != pooled(Some(Pooling::Mean)));
    let cut = EmbedOptions { max_tokens: Some(4), ..EmbedOptions::default() };
    assert_eq!(embedder.embed(&["some words"], &cut).unwrap(), embed("some", Prompt::Plain));
    // 300 bytes are ten times the context: nothing of them is lost.
    let long = |first: &str| embed(&(first.to_owned() + &"b".repeat(300)), Prompt::Plain);
    assert!(long("a") != long("c"));
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let embedder = embedder();
    let refused = |texts: &[&str], options: EmbedOptions| embedder.embed(texts, &options).unwrap_err();
    assert!(matches!(refused(&["a", "b", " \n"], EmbedOptions::default()), Error::Empty { text: 2 }));
    assert!(matches!(refused(&[""], EmbedOptions::query()), Error::Empty { text: 0 }));
    assert!(refused(&["a", ""], EmbedOptions::default()).to_string().contains("text 1"));
    for dim in [0, 21] {
        let error = refused(&["a"], EmbedOptions { truncate_dim: Some(dim), ..EmbedOptions::default() });
        assert!(matches!(&error, Error::Options(why) if why.contains("vectors have 20")), "{error}");
    }
    assert!(matches!(refused(&["a"], EmbedOptions { max_tokens: Some(0), ..EmbedOptions::default() }), Error::Options(_)));
    assert!(Embedder::from_bytes(b"no model").is_err());
    let missing = Embedder::from_file("no/such.safetensors").map(drop).unwrap_err();
    assert!(matches!(&missing, Error::File { path, .. } if path.ends_with("no/such.safetensors")), "{missing}");
    let (a, b) = (embedder.embed(&["a"], &EmbedOptions::default()).unwrap(), Embeddings::new(2, Values::F32(vec![1.0, 0.0])).unwrap());
    let error = a.similarity(&b).unwrap_err().to_string();
    assert!(error.contains("20 f32") && error.contains("2 f32"), "{error}");
    assert!(b.top_k(Vector::Int8(&[1, 2]), 1).is_err());
    assert!(Embeddings::new(3, Values::F32(vec![0.0; 4])).is_err() && Embeddings::new(0, Values::F32(vec![])).is_err());
}

#[test]
fn the_nearest_come_first() {
    let rows = Embeddings::new(2, Values::F32(vec![1.0, 0.0, 0.0, 2.0, 3.0, 3.0, -1.0, 0.0, 0.0, 0.0, 5.0, 0.0])).unwrap();
    let hits = |k| rows.top_k(Vector::F32(&[1.0, 0.0]), k).unwrap();
    let found: Vec<_> = hits(9).iter().map(|hit| hit.index).collect();
    assert_eq!(found, [0, 5, 2, 1, 4, 3], "of equals the first, a zero between");
    assert!((hits(3)[2].score - 0.5f32.sqrt()).abs() < 1e-6);
    assert_eq!(hits(3), hits(9)[..3]);
    assert!(hits(0).is_empty());
    let bits = Embeddings::new(10, Values::Binary(vec![0b1111_0000, 0b1100_0000, 0, 0, 0xff, 0xc0])).unwrap();
    let hits = bits.top_k(Vector::Binary { bits: &[0b1111_0000, 0b1000_0000], dim: 10 }, 2).unwrap();
    assert_eq!((hits[0].index, hits[1].index), (0, 1));
    assert!((hits[0].score - 0.8).abs() < 1e-6 && hits[1].score.abs() < 1e-6, "1 and 5 of 10 bits differ: {hits:?}");
}

#[test]
fn a_blank_text_is_zeros_where_that_is_asked_for() {
    let embedder = embedder();
    let texts = ["", "the fox", " \t\n", "a dog"];
    assert!(matches!(embedder.embed(&texts, &EmbedOptions::default()), Err(Error::Empty { text: 0 })));
    for output in [Output::F32, Output::Int8] {
        let options = EmbedOptions { blank: Blank::Zero, output, ..EmbedOptions::default() };
        let all = embedder.embed(&texts, &options).unwrap();
        let some = embedder.embed(&["the fox", "a dog"], &options).unwrap();
        assert!(all.vector(1) == some.vector(0) && all.vector(3) == some.vector(1));
        assert_eq!((all.vector(0).similarity(all.vector(1)).unwrap(), all.vector(2).similarity(all.vector(2)).unwrap()), (0.0, 0.0));
        assert!(embedder.embed(&["", " "], &options).unwrap().len() == 2);
    }
}

#[test]
fn stored_vectors_are_quantised_as_new_ones_are() {
    let (embedder, texts) = (embedder(), texts());
    let plain = embedder.embed(&texts, &EmbedOptions::default()).unwrap();
    for output in [Output::Int8, Output::Binary] {
        let wanted = embedder.embed(&texts, &EmbedOptions { output, ..EmbedOptions::default() }).unwrap();
        assert!(plain.clone().quantised(output).unwrap() == wanted);
        assert!(wanted.quantised(output).is_err());
    }
}
