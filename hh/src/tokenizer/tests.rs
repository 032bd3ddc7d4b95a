//! SentencePiece's models, in the forms that the exports of Llama and T5 have.

use super::{Bpe, Tokenizer, Utf8Stream, decode, end_of_text, from_json};
use crate::{Decoder, SamplerConfig, StopStrings};
use hh_core::sample::Sampler;
use serde_json::{Value, json};

const SPECIAL: [&str; 3] = ["<unk>", "<s>", "</s>"];

/// A `tokenizer.json` around a model.
fn file(model: &Value, normalizer: &Value, pre_tokenizer: &Value, post_processor: &Value) -> String {
    let added = |(id, content): (usize, &&str)| json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
        "padding": null,
        "added_tokens": SPECIAL.iter().enumerate().map(added).collect::<Vec<_>>(),
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor,
        "decoder": {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        "model": model,
    })
    .to_string()
}

/// A BPE with all bytes, as Llama 2's.
fn llama() -> Value {
    let bytes = (0..=255).map(|byte| format!("<0x{byte:02X}>"));
    let pieces = ["▁", "t", "h", "e", "c", "a", "th", "the", "▁the", "▁c", "at", "▁cat"].map(String::from);
    let vocab: serde_json::Map<String, Value> =
        SPECIAL.map(String::from).into_iter().chain(bytes).chain(pieces).zip((0..).map(Value::from)).collect();
    json!({
        "type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null, "end_of_word_suffix": null,
        "fuse_unk": true, "byte_fallback": true, "vocab": vocab,
        "merges": ["t h", "th e", "▁ the", "▁ c", "a t", "▁c at"],
    })
}

/// A unigram model without bytes, as T5's.
fn t5() -> Value {
    let pieces =
        ["▁the", "▁cat", "▁", "the", "c", "at", "a", "t", "h", "e"].into_iter().zip(1..).map(|(piece, n)| json!([piece, -n as f64 / 3.0]));
    let vocab: Vec<Value> = SPECIAL.iter().map(|special| json!([special, 0.0])).chain(pieces).collect();
    json!({"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": false})
}

fn prepend() -> Value {
    json!({"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    ]})
}

fn metaspace(scheme: &str, split: bool) -> Value {
    json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split})
}

fn open(text: &str) -> Result<Bpe, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, text).unwrap();
    Bpe::open(&path).map_err(|e| e.to_string())
}

fn tokens(bpe: &Bpe, text: &str) -> Vec<String> {
    bpe.encode(text).unwrap().iter().map(|&id| String::from_utf8_lossy(bpe.token_bytes(id).unwrap()).into_owned()).collect()
}

#[test]
fn bytes_stand_for_what_a_bpe_of_pieces_lacks() {
    let forms = [(prepend(), Value::Null), (Value::Null, metaspace("first", false)), (Value::Null, metaspace("always", true))];
    for (normalizer, pre_tokenizer) in forms {
        let bpe = open(&file(&llama(), &normalizer, &pre_tokenizer, &Value::Null)).unwrap();
        assert_eq!(bpe.vocab_size(), 3 + 256 + 12);
        assert_eq!(tokens(&bpe, "the cat"), [" the", " cat"]);
        assert_eq!(bpe.encode("the é").unwrap()[1..], [259, 3 + 0xc3, 3 + 0xa9]);
        for text in ["the cat", "cat é 漢 🜂", "the\ncat\t", "<0x41>"] {
            assert_eq!(decode(&bpe, &bpe.encode(text).unwrap()), format!(" {text}"));
        }
        assert_eq!(end_of_text(&bpe), Some(2));
        let again = from_json(&bpe.to_json()).unwrap();
        assert_eq!(again.encode("the cat é").unwrap(), bpe.encode("the cat é").unwrap());
        assert_eq!(again.to_json(), bpe.to_json());
    }
}

#[test]
fn a_unigram_model_takes_the_most_likely_pieces() {
    let bpe = open(&file(&t5(), &json!({"type": "NFKC"}), &metaspace("always", true), &Value::Null)).unwrap();
    assert_eq!(bpe.vocab_size(), 13);
    assert_eq!(tokens(&bpe, "the cat"), [" the", " cat"]);
    // " cat", "h" and "e" are less likely together, by 21 to 19 thirds.
    assert_eq!(tokens(&bpe, "cathe"), [" ", "c", "a", "the"]);
    assert_eq!(tokens(&bpe, "the 漢"), [" the", " ", "<unk>"]);
    assert_eq!(end_of_text(&bpe), Some(2));
    let again = from_json(&bpe.to_json()).unwrap();
    assert_eq!(again.encode("the cat").unwrap(), bpe.encode("the cat").unwrap());
    assert_eq!(again.to_json(), bpe.to_json(), "the scores are the same to the last digit");
}

#[test]
fn a_text_ends_at_the_token_that_ends_texts() {
    let bpe = open(&file(&t5(), &Value::Null, &metaspace("always", true), &Value::Null)).unwrap();
    let config = SamplerConfig { temperature: 0.0, ..SamplerConfig::default() };
    let decoder = || Decoder::new(Sampler::new(config, bpe.vocab_size()).unwrap(), StopStrings::default(), &bpe);
    let draw = |mut decoder: Decoder, id: usize| {
        let logits: Vec<f32> = (0..bpe.vocab_size()).map(|i| if i == id { 9.0 } else { 0.0 }).collect();
        let piece = decoder.next(&logits, &bpe, &mut Utf8Stream::default()).unwrap();
        (piece.text, piece.stopped)
    };
    assert_eq!(draw(decoder(), 3), (" the".into(), false));
    assert_eq!(draw(decoder(), 2), (String::new(), true));
    assert_eq!(draw(decoder().ignoring_end_of_text(), 2), ("</s>".into(), false));
}

#[test]
fn tokens_around_every_text_are_refused_by_name() {
    let template = |single: Value| {
        json!({"type": "TemplateProcessing", "single": single, "pair": [],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}, "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}}})
    };
    let (text, start, end) = (
        json!({"Sequence": {"id": "A", "type_id": 0}}),
        json!({"SpecialToken": {"id": "<s>", "type_id": 0}}),
        json!({"SpecialToken": {"id": "</s>", "type_id": 0}}),
    );
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true});
    let roberta =
        json!({"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1], "trim_offsets": true, "add_prefix_space": true});
    for (post_processor, named) in [
        (template(json!([start, text])), "puts <s> around"),
        (template(json!([text, end])), "puts </s> around"),
        (json!({"type": "Sequence", "processors": [byte_level, template(json!([start, text, end]))]}), "puts <s> and </s> around"),
        (roberta, "puts <s> and </s> around"),
    ] {
        let error = open(&file(&llama(), &prepend(), &Value::Null, &post_processor)).err().unwrap();
        assert!(error.contains(named) && error.contains("\"post_processor\" to null") && error.contains("tokenizer.json"), "{error}");
    }
    for harmless in [Value::Null, byte_level, template(json!([text]))] {
        open(&file(&llama(), &prepend(), &Value::Null, &harmless)).unwrap();
    }
}

#[test]
fn a_damaged_model_is_refused() {
    let refuse = |model: Value, said: &str| {
        let error = open(&file(&model, &prepend(), &Value::Null, &Value::Null)).err().unwrap();
        assert!(error.contains(said) && !error.contains('\n'), "{error}");
    };
    let mut twice = t5();
    twice["vocab"].as_array_mut().unwrap().push(json!(["▁cat", -9.0]));
    refuse(twice, "\"▁cat\" comes twice");
    let mut outside = t5();
    outside["unk_id"] = json!(99);
    refuse(outside, "not readable");
    refuse(json!({"type": "Unigram", "unk_id": 0}), "lacks vocab");
    refuse(json!({"type": "Unigram", "unk_id": 0, "vocab": [["a"]]}), "not readable");
    refuse(json!({"type": "WordPiece"}), "its model is WordPiece");
    let text = file(&llama(), &prepend(), &Value::Null, &Value::Null);
    let error = open(&text.replacen("\"the\":", "\"th\":", 1)).err().unwrap();
    assert!(error.contains("\"th\" comes twice"), "{error}");
    let bare = json!({"type": "BPE", "vocab": {"a": 0}, "merges": []});
    let text = file(&bare, &Value::Null, &Value::Null, &Value::Null).replace('▁', "_");
    assert!(open(&text).err().unwrap().contains("its tokens are not bytes"));
}
