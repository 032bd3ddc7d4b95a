//! Data options, shared by the command line and the configuration file.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::path::PathBuf;

/// Data options, as flags and as the `[data]` section of a configuration.
#[derive(clap::Args, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Text")]
#[serde(default, deny_unknown_fields)]
pub struct DataOptions {
    /// Text files (.txt, .jsonl, also compressed as .gz or .zst), - for the standard input, one folder of shards written by
    /// `tokenize`, or builtin: the generated built-in corpus; any file with --tokenizer bytes [default: builtin]
    #[arg(long = "data", value_name = "FILE", num_args = 1..)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<PathBuf>>,
    /// Held-out text files, or one folder of shards [default: the end of --data, see --holdout]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<Vec<PathBuf>>,
    /// Held-out fraction of --data; cannot be combined with --validation [default: 0.1]
    #[arg(long, value_name = "PART")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holdout: Option<f64>,
    /// Tokenizer: bytes, chars, `words[:MAX]`, bpe:FILE (a tokenizer.json, or GPT-2's vocab.bpe with its encoder.json in the
    /// same folder) or `bpe-train:N[:lower]` [default: chars, or that of the shards]
    #[arg(long, value_name = "KIND")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// Field of a .jsonl line that contains the text [default: text]
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_field: Option<String>,
}

/// Merges two sets of options: values of `first` override those of `second`.
pub(super) fn first_wins<T: Serialize + DeserializeOwned>(first: &T, second: &T) -> T {
    let object = |x: &T| match serde_json::to_value(x).expect("options are JSON") {
        serde_json::Value::Object(map) => map,
        _ => unreachable!("options are structs"),
    };
    let mut merged = object(second);
    merged.extend(object(first));
    serde_json::from_value(merged.into()).expect("of the same type")
}
