//! Tokenizers of a checkpoint as a `tokenizer.json` of the `tokenizers` library, and back.

use crate::Error;
use hh_core::json::unique_keys;
use hh_core::tokenizer::kind;
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

/// GPT-2's spelling of bytes: see [`byte_character`].
const BYTES: usize = 256;
const UNK: &str = "<unk>";
const EOS: &str = "<eos>";

#[derive(Deserialize)]
struct Description<'a> {
    kind: String,
    #[serde(borrow, default)]
    tokenizer: Option<&'a RawValue>,
    #[serde(default)]
    chars: String,
    #[serde(default)]
    words: Vec<String>,
}

/// The `tokenizer.json` that gives the ids of a checkpoint's tokenizer, whose description this is; where the tokenizer refuses a text
/// (characters that it does not have), so does the `tokenizers` library.
///
/// # Errors
/// [`Error::Tokenizer`] for a description that is not readable, and for a tokenizer that puts special tokens around texts.
pub fn tokenizer_json(description: &str) -> Result<String, Error> {
    let read: Description<'_> = serde_json::from_str(description)
        .map_err(|e| Error::Tokenizer(format!("the description of the tokenizer is not readable: {e}")))?;
    let file = match (&read.kind[..], read.tokenizer) {
        ("bpe", Some(file)) => {
            check_template(file.get()).map_err(Error::Tokenizer)?;
            return Ok(file.get().to_owned());
        }
        ("bytes", _) => bytes(),
        ("chars", _) => chars(&read.chars),
        ("words", _) => words(&read.words),
        (kind, _) => return Err(Error::Tokenizer(format!("a tokenizer of kind {kind:?} has no tokenizer.json"))),
    };
    Ok(serde_json::to_string(&file).expect("strings and numbers are JSON"))
}

/// The description, as a checkpoint has it, of a `tokenizer.json`, or of what is one already. Added tokens beyond the `ids` of the
/// model are left out: other programs add one for padding, which the model does not see.
///
/// # Errors
/// A sentence about the file.
pub(super) fn description(file: &str, ids: usize) -> Result<String, String> {
    if kind(file).is_ok() {
        return Ok(file.to_owned());
    }
    let unreadable = |e: serde_json::Error| format!("it is not readable: {e}");
    unique_keys(file).map_err(unreadable)?;
    let mut value: Map<String, Value> = serde_json::from_str(file).map_err(unreadable)?;
    check_template(file)?;
    let outside = |token: &Value| token["id"].as_u64().is_none_or(|id| id >= ids as u64);
    let added = value.get_mut("added_tokens").and_then(Value::as_array_mut);
    let dropped = added.is_some_and(|tokens| tokens.extract_if(.., |token| outside(token)).count() > 0);
    if let Some(own) = own(&value) {
        return Ok(own);
    }
    let mut state = false;
    for key in ["truncation", "padding"] {
        state |= value.insert(key.to_owned(), Value::Null).is_some_and(|value| !value.is_null());
    }
    // As it is written where nothing changed, so that a checkpoint comes back with the same bytes.
    let inner = if dropped || state { Value::Object(value).to_string() } else { file.trim().to_owned() };
    Ok(format!("{{\"kind\":\"bpe\",\"tokenizer\":{inner}}}"))
}

/// The description of one of hh's own tokenizers, if the file is what [`tokenizer_json`] makes of it.
fn own(file: &Map<String, Value>) -> Option<String> {
    let model = file.get("model")?;
    let mut vocab: Vec<(&str, u64)> =
        model["vocab"].as_object()?.iter().filter_map(|(token, id)| Some((&token[..], id.as_u64()?))).collect();
    vocab.sort_unstable_by_key(|&(_, id)| id);
    let tokens: Vec<&str> = vocab.into_iter().map(|(token, _)| token).collect();
    let descriptions = match model["type"].as_str()? {
        "BPE" => vec![json!({"kind": "bytes"})],
        "WordLevel" => vec![json!({"kind": "chars", "chars": tokens.concat()}), json!({"kind": "words", "words": tokens})],
        _ => return None,
    };
    let same = |description: &String| {
        let made: Map<String, Value> = serde_json::from_str(&tokenizer_json(description).ok()?).ok()?;
        let parts = ["normalizer", "pre_tokenizer", "model", "decoder", "added_tokens"];
        parts.iter().all(|&part| made.get(part) == file.get(part)).then_some(())
    };
    // As the tokenizers write themselves.
    let written = |description: Value| hh_core::tokenizer::from_json(&description.to_string()).ok().map(|tokenizer| tokenizer.to_json());
    descriptions.into_iter().filter_map(written).find(|description| same(description).is_some())
}

fn file(normalizer: Value, pre_tokenizer: Value, model: Value, decoder: Value) -> Value {
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer, "post_processor": null, "decoder": decoder, "model": model,
    })
}

/// A BPE that merges nothing: each byte is its own token.
fn bytes() -> Value {
    let vocab: Map<String, Value> = (0..BYTES).map(|byte| (byte_character(byte as u8).to_string(), byte.into())).collect();
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let model = json!({
        "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
        "fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": [],
    });
    file(Value::Null, bytes.clone(), model, bytes)
}

/// Each character is a token. The one for unknown characters is not in the vocabulary, so the library refuses them.
fn chars(chars: &str) -> Value {
    let vocab: Map<String, Value> = chars.chars().zip(0..).map(|(c, id)| (c.to_string(), id.into())).collect();
    let split = json!({"type": "Split", "pattern": {"Regex": "[\\s\\S]"}, "behavior": "Isolated", "invert": false});
    file(Value::Null, split, json!({"type": "WordLevel", "vocab": vocab, "unk_token": ""}), json!({"type": "Fuse"}))
}

/// Words between white space, a token for each line break.
fn words(words: &[String]) -> Value {
    let vocab: Map<String, Value> = words.iter().zip(0..).map(|(word, id)| (word.clone(), id.into())).collect();
    let lines = json!({"type": "Replace", "pattern": {"String": "\n"}, "content": format!(" {EOS} ")});
    let decoder = json!({"type": "Sequence", "decoders": [
        // A space before each word but the first; no word has the prefix that would glue it to the one before.
        {"type": "WordPiece", "prefix": " ", "cleanup": false},
        {"type": "Replace", "pattern": {"Regex": format!("^ ?{EOS}$")}, "content": "\n"},
    ]});
    file(lines, json!({"type": "WhitespaceSplit"}), json!({"type": "WordLevel", "vocab": vocab, "unk_token": UNK}), decoder)
}

/// The character that stands for a byte: itself where it is printable in Latin-1, from U+0100 on where it is not
/// (`bytes_to_unicode` of GPT-2).
fn byte_character(byte: u8) -> char {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    match printable(byte) {
        true => char::from(byte),
        false => char::from_u32(0x100 + (0..byte).filter(|&byte| !printable(byte)).count() as u32).expect("68 characters from U+0100"),
    }
}

/// Refuses a `tokenizer.json` that puts special tokens around every text. Here a text may be a piece of a longer one.
pub(crate) fn check_template(file: &str) -> Result<(), String> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        post_processor: Value,
    }
    let file: File = serde_json::from_str(file).map_err(|e| format!("it is not readable as a tokenizer.json: {e}"))?;
    match &around_texts(&file.post_processor)[..] {
        [] => Ok(()),
        tokens => Err(format!(
            "its post_processor puts {} around every text, which hh does not; to use it without, set \"post_processor\" to null in the file",
            tokens.join(" and ")
        )),
    }
}

/// The special tokens that a tokenizer puts around every text.
fn around_texts(post_processor: &Value) -> Vec<&str> {
    let tokens = match post_processor["type"].as_str() {
        Some("TemplateProcessing") => {
            post_processor["single"].as_array().into_iter().flatten().map(|part| &part["SpecialToken"]["id"]).collect()
        }
        Some("BertProcessing" | "RobertaProcessing") => vec![&post_processor["cls"][0], &post_processor["sep"][0]],
        Some("Sequence") => return post_processor["processors"].as_array().into_iter().flatten().flat_map(around_texts).collect(),
        _ => Vec::new(),
    };
    tokens.into_iter().filter_map(Value::as_str).collect()
}
