//! Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019), as GPT-2 has it.

mod file;
mod letters;
mod merge;
mod split;
mod vocab;

use super::{Tokenizer, normalizer::Normalizer, unreadable};
use crate::error::Error;
use alloc::{format, string::String, vec, vec::Vec};
use file::{Description, File, Pair, Text};
use merge::{Merge, Merges};
use vocab::{Unusable, Vocab, character, spell};

/// The `kind` of its description.
pub(super) const KIND: &str = "bpe";

/// A byte-level BPE of GPT-2's form: every text has ids, and every id its bytes. Reads what the `tokenizers` library writes, and
/// gives the same ids; what else that library knows (other patterns, normalisers other than those of
/// [`EMBEDDING_NORMALIZER`](super::EMBEDDING_NORMALIZER)) is refused by name.
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
    normalizer: Normalizer,
    /// A text begins as if a space stood before it, so that its first word is the same token as anywhere else.
    prefix_space: bool,
    json: String,
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
        let (Some(split), Some(normalizer), false) = (split, Normalizer::read(normalizer.as_ref()), model.ignore_merges) else {
            return refuse(
                "is not of GPT-2's form (its pattern, no normaliser but white space, NFC and lower case, all merges): hh-runtime reads \
                 it, this build does not",
            );
        };
        let ids = model.vocab.iter().map(|(_, id)| id).chain(added_tokens.iter().map(|a| &a.id));
        let ids = ids.max().map_or(0, |&id| id as usize + 1);
        if ids == 0 || ids > MAX_IDS {
            return refuse(format_args!("has {ids} ids; 1 to {MAX_IDS} are possible"));
        }
        let vocab = vocabulary(&model.vocab, ids, |id| added_tokens.iter().any(|a| a.id == id))?;
        let mut tokens: Vec<&[u8]> = vec![&[]; ids];
        for (token, id) in vocab.iter() {
            tokens[id as usize] = token;
        }
        let mut added = Vec::with_capacity(added_tokens.len());
        for token in &added_tokens {
            if token.single_word || token.lstrip || token.rstrip {
                return refuse(format_args!(
                    "has the token {:?}, which looks at its neighbours: hh-runtime reads it, this build does not",
                    token.content
                ));
            }
            tokens[token.id as usize] = token.content.as_bytes();
            added.push((token.content.clone().into_owned(), token.id));
        }
        added.sort_by_key(|(text, _)| core::cmp::Reverse(text.len()));
        let mut alphabet = [0; 256];
        for (b, id) in (0..=255u8).zip(&mut alphabet) {
            *id = vocab.find(&[b]).map_or_else(|| lacks(character(b).encode_utf8(&mut [0; 4])), Ok)?;
        }
        let (merges, mut starts) = (merges(&model.merges, &vocab)?, vec![0]);
        starts.extend(tokens.iter().scan(0, |end, token| {
            *end += token.len();
            Some(*end)
        }));
        let (bytes, prefix_space) = (tokens.concat(), split.add_prefix_space);
        Ok(Self { bytes, starts, alphabet, merges, added, normalizer, prefix_space, json: json.into() })
    }

    /// The added token that stands first in the text, the longest of several: its place, bytes and id.
    fn added(&self, text: &str) -> Option<(usize, usize, u32)> {
        let places = self.added.iter().filter_map(|(token, id)| text.find(&**token).map(|at| (at, token.len(), *id)));
        // `min_by_key` keeps the first of equals, and the longest tokens come first.
        places.min_by_key(|&(at, ..)| at)
    }

    fn encode_plain(&self, text: &str, out: &mut Vec<u32>) {
        let text = self.normalizer.apply(text);
        if self.prefix_space && !text.is_empty() && !text.starts_with(' ') {
            self.encode_pieces(&[" ", &text].concat(), out);
        } else {
            self.encode_pieces(&text, out);
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

/// The vocabulary of a file; tokens that are no bytes must be among the added ones.
fn vocabulary(entries: &[(Text<'_>, u32)], ids: usize, is_added: impl Fn(u32) -> bool) -> Result<Vocab, Error> {
    Vocab::new(entries, ids, is_added).or_else(|unusable| {
        let (Unusable::Characters(at) | Unusable::Token(at) | Unusable::Id(at)) = unusable;
        let (Text(token), id) = &entries[at];
        match unusable {
            Unusable::Characters(_) => refuse(format_args!("has the token {token:?}, which is not made of bytes")),
            Unusable::Token(_) => refuse(format_args!("has the token {token:?} twice")),
            Unusable::Id(_) => refuse(format_args!("has a second token of the id {id}, {token:?}")),
        }
    })
}

/// The merges of a file as ids.
fn merges(pairs: &[Pair<'_>], vocab: &Vocab) -> Result<Merges, Error> {
    let mut made = Vec::new();
    let mut known = |a: &str, b: &str| {
        made.clear();
        match spell(a, &mut made) && spell(b, &mut made) {
            true => vocab.find(&made),
            false => None,
        }
    };
    let merge = |(rank, pair): (usize, &Pair<'_>)| {
        let (a, b) = match pair {
            Pair::Two(Text(a), Text(b)) => (&**a, &**b),
            Pair::One(Text(pair)) => match pair.split_once(' ') {
                Some(pair) => pair,
                None => return refuse(format_args!("has the merge {pair:?}, which is not two tokens")),
            },
        };
        match (known(a, ""), known(b, ""), known(a, b)) {
            (Some(left), Some(right), Some(made)) => Ok(Merge { pair: (left, right), rank: rank as u32, made }),
            (None, ..) => lacks(a),
            (_, None, _) => lacks(b),
            _ => lacks(&[a, b].concat()),
        }
    };
    Ok(Merges::new(pairs.iter().enumerate().map(merge).collect::<Result<_, _>>()?))
}

fn lacks<T>(token: &str) -> Result<T, Error> {
    refuse(format_args!("has merges that do not fit its vocabulary, which lacks {token:?}"))
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
