//! The files of the tokenizer.

use super::pretty;
use anyhow::Result;
use hh::hugging_face::{TOKENIZER_JSON, tokenizer_json};
use hh::tokenizer::{end_of_text, from_json};
use hh_core::config::{Config, Positions};
use serde_json::{Map, Value, json};

/// Pads a batch where the vocabulary has nothing for it. Its id is beyond the model's, which does not look at padding.
const PAD: &str = "<pad>";

/// A tokenizer in the form of the `tokenizers` library.
pub(super) struct Files {
    json: String,
    /// The added tokens that are special, by their text.
    special: Vec<String>,
    /// The id that ends a document.
    pub(super) end_of_text: Option<u32>,
    /// The token that pads, and its id if it is one of the vocabulary.
    pad: String,
    pub(super) pad_id: Option<u64>,
    prefix_space: bool,
    /// Longest text in tokens, if there is a limit.
    limit: Option<usize>,
}

impl Files {
    /// The files for a checkpoint's tokenizer, whose description this is.
    ///
    /// # Errors
    /// A tokenizer that has no such form.
    pub(super) fn new(description: &str, config: &Config) -> Result<Self> {
        let (json, tokenizer) = (tokenizer_json(description)?, from_json(description)?);
        let file: Value = serde_json::from_str(&json)?;
        let added = file["added_tokens"].as_array().map_or(&[][..], |tokens| tokens);
        let special: Vec<_> = added.iter().filter(|token| token["special"] == true).collect();
        let text = |token: &Value| token["content"].as_str().unwrap_or_default().to_owned();
        let end_of_text = end_of_text(&*tokenizer);
        let is = |id: Option<u32>| move |token: &&&Value| id.is_some() && token["id"].as_u64() == id.map(u64::from);
        let own = special.iter().find(|token| token["content"] == PAD).or_else(|| special.iter().find(is(end_of_text))).or(special.first());
        Ok(Self {
            pad: own.map_or(PAD.to_owned(), |token| text(token)),
            pad_id: own.and_then(|token| token["id"].as_u64()),
            special: special.iter().map(|token| text(token)).collect(),
            end_of_text,
            prefix_space: file["pre_tokenizer"]["add_prefix_space"] == true,
            limit: (config.positions == Positions::Learned).then_some(config.max_len),
            json,
        })
    }

    /// Names and contents of the files.
    pub(super) fn texts(&self, is_embedder: bool) -> Vec<(&'static str, String)> {
        let mut tokens = Map::from_iter([("pad_token".to_owned(), Value::from(&self.pad[..]))]);
        for (name, texts) in [("eos_token", ["<|endoftext|>", "</s>", "<|end_of_text|>"]), ("unk_token", ["<unk>"; 3])] {
            let text = texts.into_iter().find(|&text| self.special.iter().any(|own| own == text));
            tokens.extend(text.map(|text| (name.to_owned(), text.into())));
        }
        let mut config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "add_prefix_space": self.prefix_space,
            "clean_up_tokenization_spaces": false,
            "model_input_names": ["input_ids", "attention_mask"],
            // A language model goes on at the right end.
            "padding_side": if is_embedder { "right" } else { "left" },
            // Where the vocabulary has no special token, a text that spells one is text.
            "split_special_tokens": self.special.is_empty(),
        });
        let members = config.as_object_mut().expect("an object");
        members.extend(tokens.clone());
        members.extend(self.limit.map(|limit| ("model_max_length".to_owned(), limit.into())));
        let mut files = vec![
            (TOKENIZER_JSON, self.json.clone()),
            ("tokenizer_config.json", pretty(&config)),
            ("special_tokens_map.json", pretty(&tokens.into())),
        ];
        if !is_embedder {
            let generation = json!({"eos_token_id": self.end_of_text, "pad_token_id": self.pad_id, "use_cache": false});
            files.push(("generation_config.json", pretty(&generation)));
        }
        files
    }
}
