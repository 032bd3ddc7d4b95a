//! Which tokenizer, where it comes from, and text of any length through it.

#[cfg(not(feature = "tokenizers"))]
mod absent;
#[cfg(all(test, feature = "tokenizers"))]
mod bpe_tests;
mod pieces;

#[cfg(not(feature = "tokenizers"))]
pub use absent::Bpe;
#[cfg(feature = "tokenizers")]
pub use hh::tokenizer::Bpe;
pub use pieces::{encode, pieces};

use anyhow::{Result, anyhow, bail};
use hh_core::tokenizer::{Bytes, Chars, Tokenizer, Words};
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::str::FromStr;

/// A choice of tokenizer, as the command line and a run's configuration spell it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Spec {
    /// `bytes`: 256 ids, no vocabulary.
    Bytes,
    /// `chars`: the distinct characters of the text.
    Chars,
    /// `words[:max]`: the words of the text by frequency, `<unk>` and `<eos>` included in `max`.
    Words {
        /// Entries of the vocabulary at most.
        max: Option<usize>,
    },
    /// `bpe:FILE`: subwords of a tokenizer that exists; see [`Bpe::open`].
    Bpe {
        /// A `tokenizer.json`, a `vocab.bpe` or `merges.txt`, or a folder with either.
        path: PathBuf,
    },
    /// `bpe-train:N[:lower]`: a byte-level BPE learned from the text; see [`Bpe::train`].
    BpeTrain {
        /// Entries of the vocabulary at most.
        size: usize,
        /// For embeddings: letter case, white space and Unicode forms are normalised, and a text's first word is the same token as
        /// anywhere else.
        lower: bool,
    },
}

/// Reads a choice of tokenizer.
///
/// # Errors
/// One sentence that lists what there is.
pub fn parse_spec(spec: &str) -> Result<Spec> {
    let number = |text: &str, least: usize| match text.parse() {
        Ok(n) if (least..=1 << 24).contains(&n) => Ok(n),
        _ => Err(anyhow!(
            "the tokenizer \"{spec}\" has \"{text}\" for the size of its vocabulary; give a number from {least} to {}",
            1 << 24
        )),
    };
    Ok(match spec.split_once(':') {
        None if spec == "bytes" => Spec::Bytes,
        None if spec == "chars" => Spec::Chars,
        None if spec == "words" => Spec::Words { max: None },
        Some(("words", max)) => Spec::Words { max: Some(number(max, 3)?) },
        Some(("bpe", path)) if !path.is_empty() => Spec::Bpe { path: path.into() },
        Some(("bpe-train", size)) => match size.strip_suffix(":lower") {
            Some(size) => Spec::BpeTrain { size: number(size, 256)?, lower: true },
            None => Spec::BpeTrain { size: number(size, 256)?, lower: false },
        },
        _ => bail!("\"{spec}\" is no tokenizer; give bytes, chars, words, words:MAX, bpe:FILE, bpe-train:N or bpe-train:N:lower"),
    })
}

impl FromStr for Spec {
    type Err = anyhow::Error;

    fn from_str(spec: &str) -> Result<Self> {
        parse_spec(spec)
    }
}

impl std::fmt::Display for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes => f.write_str("bytes"),
            Self::Chars => f.write_str("chars"),
            Self::Words { max: None } => f.write_str("words"),
            Self::Words { max: Some(max) } => write!(f, "words:{max}"),
            Self::Bpe { path } => write!(f, "bpe:{}", path.display()),
            Self::BpeTrain { size, lower } => write!(f, "bpe-train:{size}{}", if *lower { ":lower" } else { "" }),
        }
    }
}

impl Spec {
    /// Whether the vocabulary comes from the text, so that it has to be read once before it can be encoded.
    pub fn learns(&self) -> bool {
        matches!(self, Self::Chars | Self::Words { .. } | Self::BpeTrain { .. })
    }

    /// Makes the tokenizer. The text is not touched unless the tokenizer [learns](Self::learns) from it, and never held whole.
    ///
    /// # Errors
    /// What reading the text says; a tokenizer file that cannot be read; a text without a word.
    pub fn build(&self, texts: impl Iterator<Item = Result<String>> + Send) -> Result<Box<dyn Tokenizer>> {
        Ok(match self {
            Self::Bytes => Box::new(Bytes),
            Self::Chars => {
                let mut chars = BTreeSet::new();
                for text in texts {
                    chars.extend(text?.chars());
                }
                Box::new(Chars::from_chars(chars)?)
            }
            Self::Words { max } => {
                let mut counts: HashMap<String, u64> = HashMap::new();
                for piece in pieces(texts) {
                    for word in piece?.split_whitespace() {
                        match counts.get_mut(word) {
                            Some(count) => *count += 1,
                            None => _ = counts.insert(word.to_owned(), 1),
                        }
                    }
                }
                if counts.is_empty() {
                    bail!("the text has no words; choose another tokenizer, or another text");
                }
                Box::new(Words::from_counts(counts.iter().map(|(word, &count)| (&word[..], count)), max.unwrap_or(usize::MAX))?)
            }
            Self::Bpe { path } => Box::new(Bpe::open(path)?),
            Self::BpeTrain { size, lower } => Box::new(Bpe::train(*size, *lower, pieces(texts))?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hh::tokenizer::from_json;

    fn build(spec: &str, text: &str) -> Box<dyn Tokenizer> {
        // In pieces of three characters, so that nothing may depend on where the text was cut.
        let chars: Vec<char> = text.chars().collect();
        let chunks: Vec<Result<String>> = chars.chunks(3).map(|c| Ok(c.iter().collect())).collect();
        parse_spec(spec).unwrap().build(chunks.into_iter()).unwrap()
    }

    #[test]
    fn a_choice_is_read_and_spelled_alike() {
        for spec in
            ["bytes", "chars", "words", "words:500", "bpe:some/tokenizer.json", "bpe:C:\\x", "bpe-train:1000", "bpe-train:1000:lower"]
        {
            assert_eq!(parse_spec(spec).unwrap().to_string(), spec);
        }
        for spec in [
            "",
            "byte",
            "bpe",
            "bpe:",
            "words:",
            "words:2",
            "words:x",
            "bpe-train:255",
            "bpe-train:99999999999",
            "bpe-train:1000:upper",
            "bytes:3",
        ] {
            let error = parse_spec(spec).unwrap_err().to_string();
            assert!(error.contains(&format!("\"{spec}\"")), "{error}");
        }
    }

    #[cfg(feature = "tokenizers")]
    #[test]
    fn every_tokenizer_comes_back_from_its_description_and_from_its_ids() {
        let text = "to be or not to be\nthat is the question — naïve\n";
        for spec in ["bytes", "chars", "words", "words:6", "bpe-train:270"] {
            let tokenizer = build(spec, text);
            let json = tokenizer.to_json();
            let again = from_json(&json).unwrap();
            assert_eq!(again.to_json(), json, "{spec}");
            let ids = tokenizer.encode(text).unwrap();
            assert_eq!(again.encode(text).unwrap(), ids, "{spec}");
            assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()), "{spec}");
            if !spec.starts_with("words") {
                assert_eq!(hh::tokenizer::decode(&*again, &ids), text, "{spec}");
            }
        }
    }

    #[test]
    fn words_are_counted_across_chunks() {
        let tokenizer = build("words:4", "aa bb bb aa aa cc");
        assert_eq!(tokenizer.vocab_size(), 4);
        assert_eq!(tokenizer.encode("aa bb cc\n").unwrap(), [2, 3, 0, 1]);
    }

    #[cfg(feature = "tokenizers")]
    #[test]
    fn an_error_in_the_text_stops_the_building() {
        for spec in ["chars", "words", "bpe-train:300"] {
            let texts = [Ok("some text".to_owned()), Err(anyhow!("byte 9 is bad"))];
            let error = parse_spec(spec).unwrap().build(texts.into_iter()).err().unwrap();
            assert_eq!(error.to_string(), "byte 9 is bad", "{spec}");
        }
    }

    #[test]
    fn an_unreadable_description_is_refused() {
        for json in ["", "{}", "{\"kind\": \"runes\"}", "{\"kind\": \"bpe\"}", "{\"kind\": \"bpe\", \"tokenizer\": {}}"] {
            assert!(from_json(json).is_err(), "{json}");
        }
    }
}
