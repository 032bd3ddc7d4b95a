//! What a `tokenizer.json` says, without copying its strings: a vocabulary has tens of thousands, and most of the time to load a small
//! model is theirs.

use crate::tokenizer::normalizer;
use alloc::{
    borrow::{Cow, ToOwned},
    vec::Vec,
};
use core::fmt;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};

/// `{"kind": "bpe", "tokenizer": a tokenizer.json}`.
#[derive(Deserialize)]
pub(super) struct Description<'a> {
    #[serde(borrow)]
    pub(super) tokenizer: File<'a>,
}

#[derive(Deserialize)]
pub(super) struct File<'a> {
    #[serde(borrow)]
    pub(super) model: Model<'a>,
    #[serde(default, borrow)]
    pub(super) added_tokens: Vec<Added<'a>>,
    #[serde(default)]
    pub(super) normalizer: Option<normalizer::Description>,
    #[serde(default, borrow)]
    pub(super) pre_tokenizer: Option<Step<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Model<'a> {
    #[serde(borrow, deserialize_with = "entries")]
    pub(super) vocab: Vec<(Text<'a>, u32)>,
    #[serde(borrow)]
    pub(super) merges: Vec<Pair<'a>>,
    #[serde(default)]
    pub(super) ignore_merges: bool,
}

#[derive(Deserialize)]
pub(super) struct Added<'a> {
    pub(super) id: u32,
    #[serde(borrow)]
    pub(super) content: Cow<'a, str>,
    #[serde(default)]
    pub(super) single_word: bool,
    #[serde(default)]
    pub(super) lstrip: bool,
    #[serde(default)]
    pub(super) rstrip: bool,
}

#[derive(Deserialize)]
pub(super) struct Step<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(default)]
    pub(super) add_prefix_space: bool,
    #[serde(default = "yes")]
    pub(super) use_regex: bool,
}

fn yes() -> bool {
    true
}

/// A string of the file, borrowed unless it has escapes. (`Cow` alone would be copied inside of a list.)
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

/// A merge: `"a b"` of older files, `["a", "b"]` of newer ones.
pub(super) enum Pair<'a> {
    Two(Text<'a>, Text<'a>),
    One(Text<'a>),
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

impl<'a, 'de: 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

impl<'a, 'de: 'a> Deserialize<'de> for Pair<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairVisitor;

        impl<'de> Visitor<'de> for PairVisitor {
            type Value = Pair<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a merge, \"a b\" or [\"a\", \"b\"]")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                TextVisitor.visit_borrowed_str(text).map(Pair::One)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                TextVisitor.visit_str(text).map(Pair::One)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut next = |i| seq.next_element()?.ok_or_else(|| de::Error::invalid_length(i, &"two tokens"));
                Ok(Pair::Two(next(0)?, next(1)?))
            }
        }

        deserializer.deserialize_any(PairVisitor)
    }
}

/// The entries of a map, in the order of the file.
fn entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(Text<'de>, u32)>, D::Error> {
    struct Entries;

    impl<'de> Visitor<'de> for Entries {
        type Value = Vec<(Text<'de>, u32)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a vocabulary, tokens with their ids")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = map.next_entry()? {
                entries.push(entry);
            }
            Ok(entries)
        }
    }

    deserializer.deserialize_map(Entries)
}
