//! The byte-level BPE of the `tokenizers` crate beside core's own, and through texts of any length.

use super::{Bpe, encode};
use anyhow::Result;
use hh::tokenizer::{Tokenizer, decode, from_json};
use std::path::Path;

const TEXT: &str = "The cat sat on the mat.\n\nThe cat's hat — a *naïve* hat — sat, too: 12 345 hats!  \n\tEnd";

fn learn(size: usize, lower: bool, text: String) -> Result<Bpe> {
    Bpe::train(size, lower, [Ok(text)].into_iter())
}

/// GPT-2's files, which are data of the workplace and not of the repository.
fn gpt2() -> Option<Bpe> {
    let shared = std::env::var_os("HH_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), Into::into);
    let folder = shared.join("data/gpt2");
    if !folder.is_dir() {
        eprintln!("skipped: GPT-2's vocabulary is not at {} (set HH_SHARED)", folder.display());
        return None;
    }
    Some(Bpe::open(&folder).unwrap())
}

#[test]
fn gpt2_gives_its_known_ids() {
    let Some(bpe) = gpt2() else { return };
    assert_eq!(bpe.vocab_size(), 50257);
    assert_eq!(bpe.encode("Hello world").unwrap(), [15496, 995]);
    assert_eq!(bpe.encode("Hello, world!").unwrap(), [15496, 11, 995, 0]);
    assert_eq!(bpe.encode("<|endoftext|>").unwrap(), [50256]);
    assert_eq!(bpe.token_bytes(995), Some(&b" world"[..]));
    assert_eq!(bpe.token_bytes(50256), Some(&b"<|endoftext|>"[..]));
    assert_eq!(bpe.token_bytes(50257), None);
    assert_eq!(decode(&bpe, &bpe.encode(TEXT).unwrap()), TEXT);
    let again = from_json(&bpe.to_json()).unwrap();
    assert_eq!(again.encode(TEXT).unwrap(), bpe.encode(TEXT).unwrap());
    assert_eq!(again.to_json(), bpe.to_json());
}

/// Characters whose composition the `tokenizers` library does not know: its tables are of an older Unicode version.
const COMPOSED_SINCE: [std::ops::RangeInclusive<char>; 3] =
    ['\u{11380}'..='\u{113d8}', '\u{16120}'..='\u{16129}', '\u{16d60}'..='\u{16d6f}'];

/// Texts that a pattern could cut wrongly: every kind of character beside every other.
fn mixtures() -> impl Iterator<Item = String> {
    const KINDS: [&str; 18] =
        ["a", "Ĳ", "漢", "7", "Ⅷ", "½", " ", "  ", "\n", "\u{a0}", "\u{3000}", "'", "'s", "'LL", "!", "\u{301}", "\u{5d0}\u{5b0}", "🜂"];
    let pairs = KINDS.iter().flat_map(|a| KINDS.iter().flat_map(move |b| KINDS.iter().map(move |c| [*a, b, c, "x"].concat())));
    let all = ('\0'..='\u{2ffff}').filter(|c| !COMPOSED_SINCE.iter().any(|new| new.contains(c))).collect::<Vec<_>>();
    // With a letter between them, since the order of neighbouring marks is also that of an older version there.
    let apart = |chars: &[char]| chars.iter().flat_map(|&c| [c, 'x']).collect::<String>();
    pairs.chain(all.chunks(997).map(apart).collect::<Vec<_>>())
}

#[test]
fn core_s_own_encoder_gives_the_same_ids() {
    let train = |lower| learn(400, lower, TEXT.repeat(3)).unwrap();
    let shared = std::env::var_os("HH_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), Into::into);
    for bpe in gpt2().into_iter().chain([train(false), train(true)]) {
        let own = hh_core::tokenizer::Bpe::from_json(&bpe.to_json()).unwrap();
        assert_eq!(own.vocab_size(), bpe.vocab_size());
        assert!((0..own.vocab_size() as u32 + 1).all(|id| own.token_bytes(id) == bpe.token_bytes(id)));
        for text in mixtures() {
            assert_eq!(own.encode(&text).unwrap(), bpe.encode(&text).unwrap(), "{text:?}");
        }
        for long in [
            String::new(),
            " A\u{200b} \r\n e\u{323}\u{301}\u{ad}".into(),
            "ΌΔΟΣ ΣΑΣ".into(),
            "İI ẞ Ǆ".into(),
            "a".repeat(5000),
            " ".repeat(5000),
            "ab ".repeat(2000),
        ] {
            assert_eq!(own.encode(&long).unwrap(), bpe.encode(&long).unwrap());
        }
        match std::fs::read_to_string(shared.join("data/tinyshakespeare/input.txt")) {
            Ok(text) => assert!(own.encode(&text).unwrap() == bpe.encode(&text).unwrap(), "a real text"),
            Err(_) => eprintln!("skipped: no real text at {} (set HH_SHARED)", shared.display()),
        }
    }
}

#[test]
fn a_text_in_pieces_has_the_ids_of_the_whole() {
    let train = |lower| learn(300, lower, TEXT.repeat(3)).unwrap();
    for bpe in gpt2().into_iter().chain([train(false), train(true)]) {
        let whole = bpe.encode(TEXT).unwrap();
        let chars: Vec<char> = TEXT.chars().collect();
        for size in 1..20 {
            let chunks = chars.chunks(size).map(|c| Ok(c.iter().collect()));
            let ids: Vec<u32> = encode(&bpe, chunks).flat_map(Result::unwrap).collect();
            assert_eq!(ids, whole, "chunks of {size}");
        }
    }
}

/// SentencePiece's tokenizers begin a text with a space of their own, each form in its way.
#[test]
fn a_text_in_pieces_has_one_space_of_its_own() {
    use serde_json::{Value, json};
    let bytes = (0..=255).map(|byte| format!("<0x{byte:02X}>"));
    let vocab: serde_json::Map<String, Value> =
        bytes.chain(["▁", "t", "h", "th", "▁th", "▁▁"].map(String::from)).zip((0..).map(Value::from)).collect();
    let model = json!({"type": "BPE", "byte_fallback": true, "vocab": vocab, "merges": ["t h", "▁ th", "▁ ▁"]});
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let prepend = json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace]});
    let metaspace = |scheme: &str| json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": false});
    let forms = [(prepend, Value::Null), (Value::Null, metaspace("first")), (Value::Null, metaspace("always")), (replace, Value::Null)];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    for (normalizer, pre_tokenizer) in forms {
        let file = json!({"version": "1.0", "added_tokens": [], "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "model": model});
        std::fs::write(&path, file.to_string()).unwrap();
        let bpe = Bpe::open(&path).unwrap();
        for text in ["that  thing, that  ", " th th", "é th"] {
            let whole = bpe.encode(text).unwrap();
            let chars: Vec<char> = text.chars().collect();
            for size in 1..text.len() {
                let chunks = chars.chunks(size).map(|c| Ok(c.iter().collect()));
                let ids: Vec<u32> = encode(&bpe, chunks).flat_map(Result::unwrap).collect();
                assert_eq!(ids, whole, "chunks of {size} of {text:?}, {file}");
            }
        }
    }
}

#[test]
fn training_learns_frequent_pairs_and_is_the_same_each_time() {
    let train = || learn(280, false, TEXT.repeat(20)).unwrap();
    let bpe = train();
    assert_eq!(bpe.vocab_size(), 280);
    assert_eq!(bpe.to_json(), train().to_json());
    let ids = bpe.encode("the hat").unwrap();
    assert!(ids.len() < 7, "{ids:?}");
    let any: String = ('\0'..'\u{300}').chain("漢字🜂".chars()).collect();
    assert_eq!(decode(&bpe, &bpe.encode(&any).unwrap()), any);
}

#[test]
fn a_tokenizer_file_is_read_and_a_wrong_one_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    assert!(Bpe::open(&path).err().unwrap().to_string().contains("no such file"));
    assert!(Bpe::open(folder.path()).err().unwrap().to_string().contains("has no tokenizer"));
    let bpe = learn(270, false, TEXT.repeat(3)).unwrap();
    let description: serde_json::Value = serde_json::from_str(&bpe.to_json()).unwrap();
    std::fs::write(&path, serde_json::to_string_pretty(&description["tokenizer"]).unwrap()).unwrap();
    assert_eq!(Bpe::open(folder.path()).unwrap().to_json(), bpe.to_json());
    let refuse = |text: &str, word: &str| {
        std::fs::write(&path, text).unwrap();
        let error = Bpe::open(&path).err().unwrap().to_string();
        assert!(error.contains(word) && error.contains("tokenizer.json"), "{error}");
    };
    refuse("nonsense", "not readable");
    for text in ["{}", "[]", "3", r#"{"model": 3}"#, r#"{"model": {}}"#] {
        refuse(text, "not readable");
    }
    refuse(r#"{"model": {"type": "WordPiece"}}"#, "its model is WordPiece");
    for model in [
        r#"{"vocab": {"h": 0, "e": 1}, "merges": ["h e"]}"#,
        r#"{"vocab": {"h": 0, "e": 1}, "merges": [["h", "e"]]}"#,
        r#"{"vocab": {"he": 0, "e": 1}, "merges": ["h e"]}"#,
        r#"{"vocab": {"h": 0, "e": 1, "he": 2}, "merges": ["h e"], "continuing_subword_prefix": "long"}"#,
        r#"{"vocab": {}, "merges": [3]}"#,
    ] {
        refuse(&format!("{{\"model\": {model}}}"), "");
    }
    refuse(
        r#"{"version":"1.0","added_tokens":[],"normalizer":null,"pre_tokenizer":null,"post_processor":null,"decoder":null,
            "model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#,
        "its tokens are not bytes",
    );
}

#[test]
fn merges_without_their_vocabulary_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let merges = folder.path().join("vocab.bpe");
    std::fs::write(&merges, "#version: 0.2\nh e\n").unwrap();
    assert!(Bpe::open(&merges).err().unwrap().to_string().contains("encoder.json"));
    std::fs::write(folder.path().join("encoder.json"), r#"{"h": 0, "e": 1, "he": 2}"#).unwrap();
    assert_eq!(Bpe::open(&merges).unwrap().encode("he").unwrap(), [2]);
    std::fs::write(folder.path().join("encoder.json"), r#"{"h": 0, "e": 1}"#).unwrap();
    assert!(Bpe::open(&merges).err().unwrap().to_string().contains("lacks \"he\""));
    std::fs::write(&merges, "he\n").unwrap();
    assert!(Bpe::open(&merges).err().unwrap().to_string().contains("line 1"));
}
