//! What the command line and a configuration file may say about the text; both say it with the same words.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::path::PathBuf;

/// The text, as flags and as the `[data]` section of a configuration.
#[derive(clap::Args, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Text")]
#[serde(default, deny_unknown_fields)]
pub struct DataOptions {
    /// Text files (.txt, .jsonl, either also .gz or .zst), one folder of shards that `tokenize` wrote, or builtin: a corpus
    /// that the program writes itself [default: builtin]
    #[arg(long = "data", value_name = "FILE", num_args = 1..)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<PathBuf>>,
    /// Held-out text files, or one folder of shards; without, the last part of --data is held out
    #[arg(long, value_name = "FILE", num_args = 1..)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<Vec<PathBuf>>,
    /// The part of --data that is held out; cannot stand beside --validation [default: 0.1]
    #[arg(long, value_name = "PART")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holdout: Option<f64>,
    /// bytes, chars, `words[:MAX]`, bpe:FILE (a tokenizer.json, or GPT-2's vocab.bpe beside its encoder.json) or
    /// `bpe-train:N[:lower]` [default: chars, or that of the shards]
    #[arg(long, value_name = "KIND")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// The field of a .jsonl line that holds the text [default: text]
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_field: Option<String>,
}

/// What `first` says, and where it is silent, what `second` says.
pub(super) fn first_wins<T: Serialize + DeserializeOwned>(first: &T, second: &T) -> T {
    let object = |x: &T| match serde_json::to_value(x).expect("options are JSON") {
        serde_json::Value::Object(map) => map,
        _ => unreachable!("options are structs"),
    };
    let mut merged = object(second);
    merged.extend(object(first));
    serde_json::from_value(merged.into()).expect("of the same type")
}
