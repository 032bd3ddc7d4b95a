//! Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019), as GPT-2 has it.

mod letters;
mod merge;
mod split;

use super::{Tokenizer, unreadable};
use crate::error::Error;
use alloc::{borrow::Cow, collections::BTreeMap, format, string::String, vec, vec::Vec};
use merge::{Merge, Merges};
use serde::Deserialize;

/// The `kind` of its description.
pub(super) const KIND: &str = "bpe";

/// A byte-level BPE of GPT-2's form: every text has ids, and every id its bytes. Reads what the `tokenizers` library writes, and
/// gives the same ids; what that library knows beside (other patterns, normalisers but lower case) is refused by name.
#[derive(Clone, Debug)]
pub struct Bpe {
    /// The bytes of every id, one after the other.
    bytes: Vec<u8>,
    /// Id `i` is `bytes[starts[i]..starts[i + 1]]`; an id that the vocabulary skips is empty.
    starts: Vec<usize>,
    /// The id of each byte.
    alphabet: [u32; 256],
    merges: Merges,
    /// Texts that are tokens wherever they stand, the longest first.
    added: Vec<(String, u32)>,
    /// Upper and lower case are one.
    lower: bool,
    /// A text begins as if a space stood before it, so that its first word is the same token as anywhere else.
    prefix_space: bool,
    json: String,
}

#[derive(Deserialize)]
struct Description<'a> {
    #[serde(borrow)]
    tokenizer: File<'a>,
}

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    model: Model<'a>,
    #[serde(default, borrow)]
    added_tokens: Vec<Added<'a>>,
    #[serde(default, borrow)]
    normalizer: Option<Normaliser<'a>>,
    #[serde(default, borrow)]
    pre_tokenizer: Option<Step<'a>>,
}

#[derive(Deserialize)]
struct Model<'a> {
    #[serde(borrow)]
    vocab: BTreeMap<Cow<'a, str>, u32>,
    #[serde(borrow)]
    merges: Vec<Pair<'a>>,
    #[serde(default)]
    ignore_merges: bool,
}

/// A merge: `"a b"` of older files, `["a", "b"]` of newer ones.
#[derive(Deserialize)]
#[serde(untagged)]
enum Pair<'a> {
    Two(#[serde(borrow)] [Cow<'a, str>; 2]),
    One(#[serde(borrow)] Cow<'a, str>),
}

#[derive(Deserialize)]
struct Added<'a> {
    id: u32,
    #[serde(borrow)]
    content: Cow<'a, str>,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
}

#[derive(Deserialize)]
struct Normaliser<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Step<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    add_prefix_space: bool,
    #[serde(default = "yes")]
    use_regex: bool,
}

fn yes() -> bool {
    true
}

/// Most ids of a vocabulary.
const MAX_IDS: usize = 1 << 24;

fn refuse<T>(what: impl core::fmt::Display) -> Result<T, Error> {
    Err(Error::Tokenizer(format!("the BPE {what}").into()))
}

impl Bpe {
    /// Reads what [`to_json`](Tokenizer::to_json) wrote: `{"kind": "bpe", "tokenizer": a tokenizer.json}`.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for damaged JSON, a vocabulary that lacks a byte or a merge's token, and forms other than GPT-2's.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let Description { tokenizer: File { model, added_tokens, normalizer, pre_tokenizer } } =
            serde_json::from_str(json).map_err(unreadable)?;
        let split = pre_tokenizer.filter(|step| step.kind == "ByteLevel" && step.use_regex);
        let (Some(split), true, false) = (split, normalizer.as_ref().is_none_or(|n| n.kind == "Lowercase"), model.ignore_merges) else {
            return refuse(
                "is not of GPT-2's form (its pattern, no normaliser but lower case, all merges): hh-runtime reads it, this build does not",
            );
        };
        let ids = model.vocab.values().chain(added_tokens.iter().map(|a| &a.id)).max().map_or(0, |&id| id as usize + 1);
        if ids == 0 || ids > MAX_IDS {
            return refuse(format_args!("has {ids} ids; 1 to {MAX_IDS} are possible"));
        }
        let mut tokens = vec![Vec::new(); ids];
        for (token, &id) in &model.vocab {
            tokens[id as usize] = token.chars().map(byte).collect::<Option<_>>().unwrap_or_default();
        }
        let mut added = Vec::with_capacity(added_tokens.len());
        for token in added_tokens {
            if token.single_word || token.lstrip || token.rstrip {
                return refuse(format_args!(
                    "has the token {:?}, which looks at its neighbours: hh-runtime reads it, this build does not",
                    token.content
                ));
            }
            tokens[token.id as usize] = token.content.as_bytes().to_vec();
            added.push((token.content.into_owned(), token.id));
        }
        if let Some((token, _)) = model.vocab.iter().find(|&(token, &id)| tokens[id as usize].is_empty() && !token.is_empty()) {
            return refuse(format_args!("has the token {token:?}, which is not made of bytes"));
        }
        added.sort_by_key(|(text, _)| core::cmp::Reverse(text.len()));
        let known = |token: &str| match model.vocab.get(token) {
            Some(&id) => Ok(id),
            None => refuse(format_args!("has merges that do not fit its vocabulary, which lacks {token:?}")),
        };
        let mut alphabet = [0; 256];
        for (b, id) in alphabet.iter_mut().enumerate() {
            *id = known(character(b as u8).encode_utf8(&mut [0; 4]))?;
        }
        let merge = |(rank, pair): (usize, &Pair<'_>)| {
            let (a, b) = match pair {
                Pair::Two([a, b]) => (&**a, &**b),
                Pair::One(pair) => match pair.split_once(' ') {
                    Some(pair) => pair,
                    None => return refuse(format_args!("has the merge {pair:?}, which is not two tokens")),
                },
            };
            Ok(Merge { pair: (known(a)?, known(b)?), rank: rank as u32, made: known(&[a, b].concat())? })
        };
        let merges = Merges::new(model.merges.iter().enumerate().map(merge).collect::<Result<_, _>>()?);
        let mut starts = vec![0];
        starts.extend(tokens.iter().scan(0, |end, token| {
            *end += token.len();
            Some(*end)
        }));
        let (lower, prefix_space) = (normalizer.is_some(), split.add_prefix_space);
        Ok(Self { bytes: tokens.concat(), starts, alphabet, merges, added, lower, prefix_space, json: json.into() })
    }

    /// The added token that stands first in the text, the longest of several: its place, bytes and id.
    fn added(&self, text: &str) -> Option<(usize, usize, u32)> {
        let places = self.added.iter().filter_map(|(token, id)| text.find(&**token).map(|at| (at, token.len(), *id)));
        // `min_by_key` keeps the first of equals, and the longest tokens come first.
        places.min_by_key(|&(at, ..)| at)
    }

    fn encode_plain(&self, text: &str, out: &mut Vec<u32>) {
        let space = if self.prefix_space && !text.is_empty() && !text.starts_with(' ') { " " } else { "" };
        if self.lower {
            // Letter by letter, as the `tokenizers` library does it: `str::to_lowercase` looks at a sigma's neighbours.
            let folded: String = space.chars().chain(text.chars().flat_map(char::to_lowercase)).collect();
            self.encode_pieces(&folded, out);
        } else if space.is_empty() {
            self.encode_pieces(text, out);
        } else {
            self.encode_pieces(&[space, text].concat(), out);
        }
    }

    fn encode_pieces(&self, mut text: &str, out: &mut Vec<u32>) {
        while !text.is_empty() {
            let (piece, rest) = text.split_at(split::first(text));
            self.merges.apply(piece.bytes().map(|b| self.alphabet[b as usize]), out);
            text = rest;
        }
    }
}

/// The printable character that stands for a byte: itself where it is printable in Latin-1, from U+0100 on where it is not
/// (`bytes_to_unicode` of GPT-2).
fn character(b: u8) -> char {
    let shifted = match b {
        0..=0x20 => b as u32,
        0x7f..=0xa0 => 0x21 + (b - 0x7f) as u32,
        0xad => 0x43,
        _ => return b.into(),
    };
    char::from_u32(0x100 + shifted).expect("68 characters from U+0100")
}

/// The byte that a character stands for.
fn byte(c: char) -> Option<u8> {
    Some(match u32::from(c) {
        u @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => u as u8,
        u @ 0x100..=0x120 => (u - 0x100) as u8,
        u @ 0x121..=0x142 => (u - 0x121 + 0x7f) as u8,
        0x143 => 0xad,
        _ => return None,
    })
}

impl Tokenizer for Bpe {
    fn vocab_size(&self) -> usize {
        self.starts.len() - 1
    }

    fn encode(&self, mut text: &str) -> Result<Vec<u32>, Error> {
        let mut ids = Vec::new();
        while let Some((at, length, id)) = self.added(text) {
            self.encode_plain(&text[..at], &mut ids);
            ids.push(id);
            text = &text[at + length..];
        }
        self.encode_plain(text, &mut ids);
        Ok(ids)
    }

    fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        let (start, end) = (self.starts.get(id as usize)?, self.starts.get(id as usize + 1)?);
        Some(&self.bytes[*start..*end])
    }

    fn to_json(&self) -> String {
        self.json.clone()
    }
}
