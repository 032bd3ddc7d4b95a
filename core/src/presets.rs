//! Configurations that go by a name: those of the reference implementation.

use crate::config::Config;

/// Names and one-line descriptions of all presets.
pub const PRESETS: [(&str, &str); 5] = [
    ("char-0.8m", "all three paths, 0.8M parameters: minutes on a laptop"),
    ("char-4.5m", "the full hybrid at character level, 2 segments"),
    ("gpt-4.5m", "attention only, the size of char-4.5m: its baseline"),
    ("bpe-97m", "the full hybrid for GPT-2's byte-pair vocabulary"),
    ("word-107m", "the full hybrid at word level, factorised embedding"),
];

/// The configuration of that name.
pub fn preset(name: &str) -> Option<Config> {
    let json = match name {
        "char-0.8m" => {
            r#"{"vocab_size": 65, "width": 128, "layers": 4, "ffn": 208, "head_dim": 32, "ssm_width": 64, "hopfield_width": 64, "attention_width": 64, "hopfield_depths": [3, 2, 2, 1], "hopfield_slots": 8, "mixer_hidden": 64}"#
        }
        "char-4.5m" => {
            r#"{"vocab_size": 65, "width": 256, "layers": 6, "ffn": 496, "head_dim": 32, "ssm_width": 160, "hopfield_width": 64, "attention_width": 64, "hopfield_depths": [3, 2, 2, 1, 1, 1], "hopfield_slots": 16, "mixer_hidden": 64, "segments": 2, "controller_width": 128}"#
        }
        "gpt-4.5m" => r#"{"vocab_size": 65, "width": 256, "layers": 6, "ffn": 640, "head_dim": 32, "attention_width": 256}"#,
        "bpe-97m" => {
            r#"{"vocab_size": 50257, "width": 704, "layers": 8, "ffn": 2048, "head_dim": 64, "ssm_width": 512, "hopfield_width": 256, "attention_width": 256, "hopfield_depths": [3, 2, 2, 2, 1, 1, 1, 1], "hopfield_slots": 64, "mixer_hidden": 128, "segments": 2, "controller_width": 256, "flow_hidden": 512}"#
        }
        "word-107m" => {
            r#"{"vocab_size": 267735, "width": 640, "embed_dim": 192, "layers": 8, "ffn": 1920, "head_dim": 64, "ssm_width": 512, "hopfield_width": 256, "attention_width": 256, "hopfield_depths": [3, 2, 2, 2, 1, 1, 1, 1], "hopfield_slots": 64, "mixer_hidden": 128, "segments": 2, "controller_width": 256, "flow_hidden": 512}"#
        }
        _ => return None,
    };
    Some(Config::from_json(json).expect("presets are valid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_valid_and_survives_json() {
        for (name, _) in PRESETS {
            let config = preset(name).unwrap();
            assert_eq!(Config::from_json(&config.to_json()).unwrap(), config, "{name}");
        }
        assert!(preset("no-such").is_none());
    }
}
