//! Byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019) and unigram language models (Kudo 2018), by the `tokenizers`
//! crate.

use super::forms::Spelling;
use super::train::Trainer;
use crate::{Error, files, hugging_face::check_template};
use hh_core::error::Error as Core;
use hh_core::json::unique_keys;
use hh_core::tokenizer::{EMBEDDING_NORMALIZER, Tokenizer};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::path::Path;
use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, NormalizerWrapper, TokenizerImpl};

/// The `kind` of its description.
pub(super) const KIND: &str = "bpe";
/// The token that GPT-2 ends a document with.
const END_OF_TEXT: &str = "<|endoftext|>";
/// GPT-2's names for the list of merges and for the vocabulary beside it, and those of later exports.
const PAIRS: [(&str, &str); 2] = [("vocab.bpe", "encoder.json"), ("merges.txt", "vocab.json")];

/// What can be read.
const SPELLINGS: &str = "hh reads byte-level BPE, as GPT-2's, and SentencePiece's models";

fn bad(message: String) -> Error {
    Error::Tokenizer(message)
}

fn unreadable(why: impl Display) -> Error {
    bad(format!("it is not readable as a tokenizer.json: {why}"))
}

/// A tokenizer of subwords: a byte-level BPE, as GPT-2's; or a BPE or unigram model in SentencePiece's spelling, as those of Llama
/// and T5. Every id has its bytes, and every text has ids, unless the file has neither all bytes nor a token for what is unknown.
///
/// SentencePiece's begin a text as if a space stood before it, which comes back in the text of the ids.
pub struct Bpe {
    encoder: tokenizers::Tokenizer,
    /// The bytes of every id, one after the other.
    bytes: Vec<u8>,
    /// Id `i` is `bytes[starts[i]..starts[i + 1]]`; an id that the vocabulary skips is empty.
    starts: Vec<usize>,
    json: String,
}

impl Bpe {
    /// Opens a `tokenizer.json`; or the list of merges (`vocab.bpe`, `merges.txt`) with the vocabulary beside it
    /// (`encoder.json`, `vocab.json`); or a folder with either.
    ///
    /// # Errors
    /// One sentence for what is missing, unreadable, or of another kind, and for a tokenizer that puts special tokens around every
    /// text, which hh does not.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if path.is_dir() {
            let names = ["tokenizer.json", PAIRS[0].0, PAIRS[1].0];
            let Some(name) = names.into_iter().find(|name| path.join(name).is_file()) else {
                return Err(bad(format!("{} has no tokenizer: it needs a tokenizer.json, or vocab.bpe and encoder.json", path.display())));
            };
            return Self::open(&path.join(name));
        }
        let pair = PAIRS.into_iter().find(|(merges, _)| path.file_name().is_some_and(|name| name == *merges));
        let json = files::read_to_string(path)?;
        let read = match pair {
            Some((_, vocabulary)) => Self::gpt2(&files::read_to_string(&path.with_file_name(vocabulary))?, &json),
            None => check_template(&json).map_err(bad).and_then(|()| Self::from_tokenizer_json(&json)),
        };
        read.map_err(|e| bad(format!("{}: {e}", path.display())))
    }

    fn gpt2(vocabulary: &str, merges: &str) -> Result<Self, Error> {
        let vocabulary: HashMap<String, u32> = unique_keys(vocabulary)
            .and_then(|()| serde_json::from_str(vocabulary))
            .map_err(|e| bad(format!("the vocabulary beside it is not readable: {e}")))?;
        let merges = merges.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with("#version"));
        let merges = merges
            .map(|(i, line)| match line.split_once(' ') {
                Some((a, b)) => Ok((a.to_owned(), b.to_owned())),
                None => Err(bad(format!("line {} is no merge: it should be two tokens with a space between", i + 1))),
            })
            .collect::<Result<Vec<_>, Error>>()?;
        check_merges(&merges, |token| vocabulary.contains_key(token))?;
        let ends = vocabulary.contains_key(END_OF_TEXT);
        let model = BPE::builder().vocab_and_merges(vocabulary.into_iter().collect::<Vocabulary>(), merges).build();
        let model = model.map_err(|e| bad(format!("the merges do not fit the vocabulary: {e}")))?;
        let mut tokenizer = byte_level(model, false);
        if ends {
            tokenizer.add_special_tokens([AddedToken::from(END_OF_TEXT, true)]).map_err(|e| bad(format!("{e}")))?;
        }
        Self::new(tokenizer.into())
    }

    fn from_tokenizer_json(json: &str) -> Result<Self, Error> {
        let mut value: Value = unique_keys(json).and_then(|()| serde_json::from_str(json)).map_err(unreadable)?;
        // A text has one encoding here, whatever its length: nothing is cut off, filled up, or drawn by chance.
        let root = value.as_object_mut().ok_or_else(|| unreadable("it is no JSON object"))?;
        root.insert("truncation".into(), Value::Null);
        root.insert("padding".into(), Value::Null);
        let model = root.get_mut("model").and_then(Value::as_object_mut).ok_or_else(|| unreadable("it has no model"))?;
        match model.get("type").and_then(Value::as_str) {
            Some("Unigram") => check_pieces(model)?,
            None | Some("BPE") => {
                for affix in ["continuing_subword_prefix", "end_of_word_suffix"] {
                    if model.get(affix).and_then(Value::as_str).is_some_and(|affix| !affix.is_empty()) {
                        return Err(bad(format!("its model has a {affix}, which no byte-level BPE has")));
                    }
                    model.insert(affix.into(), Value::Null);
                }
                model.insert("dropout".into(), Value::Null);
                check_bpe(model)?;
            }
            Some(kind) => return Err(bad(format!("its model is {kind}; hh reads BPE and Unigram"))),
        }
        let bytes = serde_json::to_vec(&value).map_err(unreadable)?;
        Self::new(tokenizers::Tokenizer::from_bytes(bytes).map_err(unreadable)?)
    }

    /// Learns a vocabulary of at most `size` tokens, the 256 bytes among them, from merges that occur twice or more. `lower` is for
    /// embeddings: texts are normalised by [`EMBEDDING_NORMALIZER`] (lower case, one kind of white space, NFC), and begin as if a
    /// space stood before them, so a word is one token wherever it stands. Texts do not come back as they were.
    ///
    /// # Errors
    /// What reading the text says; a size below 256.
    pub fn train<E: From<Error> + Send>(
        size: usize,
        lower: bool,
        texts: impl Iterator<Item = Result<String, E>> + Send,
    ) -> Result<Self, E> {
        if size < 256 {
            return Err(bad(format!("a byte-level vocabulary of {size} is too small for the 256 bytes; make it larger")).into());
        }
        let mut trainer = Trainer::new(size, ByteLevel::alphabet());
        let mut failure = None;
        let readable = texts.map_while(|piece| piece.map_err(|e| failure = Some(e)).ok());
        let mut tokenizer = byte_level(BPE::default(), lower);
        let trained = tokenizer.train(&mut trainer, readable).map(|_| ()).map_err(|e| bad(format!("the BPE cannot be trained: {e}")));
        match failure {
            Some(e) => return Err(e),
            None => trained?,
        }
        Ok(Self::new(tokenizer.into())?)
    }

    /// Reads what [`to_json`](Tokenizer::to_json) wrote.
    ///
    /// # Errors
    /// One sentence for damaged JSON.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let value: Value = serde_json::from_str(json).map_err(|e| bad(format!("the description of the tokenizer is not readable: {e}")))?;
        match value.get("tokenizer") {
            // Its own words, so that the numbers in it stay as they are.
            Some(inner) => Ok(Self { json: json.to_owned(), ..Self::from_tokenizer_json(&inner.to_string())? }),
            None => Err(bad("the description of the tokenizer lacks its vocabulary".into())),
        }
    }

    fn new(encoder: tokenizers::Tokenizer) -> Result<Self, Error> {
        let inner = encoder.to_string(false).map_err(|e| bad(format!("{e}")))?;
        let value: Value = serde_json::from_str(&inner).map_err(unreadable)?;
        let spelling =
            Spelling::of(&value).ok_or_else(|| bad(format!("its tokens are not bytes and have no mark for spaces; {SPELLINGS}")))?;
        let vocabulary = encoder.get_vocab(true);
        let count = vocabulary.values().max().map_or(0, |&id| id as usize + 1);
        if count == 0 || count > 1 << 24 {
            return Err(bad(format!("its vocabulary has {count} ids; 1 to {} are possible", 1 << 24)));
        }
        let mut tokens = vec![Vec::new(); count];
        let added = encoder.get_added_tokens_decoder();
        for (token, id) in vocabulary {
            tokens[id as usize] = match added.contains_key(&id) {
                true => token.into_bytes(),
                false => spelling.bytes(&token).ok_or_else(|| bad(format!("its token {token:?} is not made of bytes; {SPELLINGS}")))?,
            };
        }
        let mut starts = vec![0];
        starts.extend(tokens.iter().scan(0, |end, token| {
            *end += token.len();
            Some(*end)
        }));
        Ok(Self { encoder, bytes: tokens.concat(), starts, json: format!("{{\"kind\":\"{KIND}\",\"tokenizer\":{inner}}}") })
    }
}

/// Checks the vocabulary and the merges of a BPE.
fn check_bpe(model: &Map<String, Value>) -> Result<(), Error> {
    let (Some(vocabulary), Some(merges)) = (model.get("vocab").and_then(Value::as_object), model.get("merges").and_then(Value::as_array))
    else {
        return Err(unreadable("its model lacks vocab or merges"));
    };
    let pair = |merge: &Value| match merge {
        Value::String(pair) => pair.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())),
        Value::Array(pair) => match &pair[..] {
            [a, b] => Some((a.as_str()?.to_owned(), b.as_str()?.to_owned())),
            _ => None,
        },
        _ => None,
    };
    let merges: Option<Vec<_>> = merges.iter().map(pair).collect();
    check_merges(&merges.ok_or_else(|| unreadable("a merge is not two tokens"))?, |token| vocabulary.contains_key(token))
}

/// Checks that no piece of a unigram model comes twice: the crate underneath would give both ids to one of them.
fn check_pieces(model: &Map<String, Value>) -> Result<(), Error> {
    let pieces = model.get("vocab").and_then(Value::as_array).ok_or_else(|| unreadable("its model lacks vocab"))?;
    let mut seen = HashSet::new();
    match pieces.iter().filter_map(|piece| piece[0].as_str()).find(|piece| !seen.insert(*piece)) {
        Some(twice) => Err(bad(format!("its piece {twice:?} comes twice"))),
        None => Ok(()),
    }
}

/// Every merge makes a token of the vocabulary from two others. The crate underneath takes the first for granted.
fn check_merges(merges: &[(String, String)], known: impl Fn(&str) -> bool) -> Result<(), Error> {
    for (a, b) in merges {
        let made = [&a[..], b].concat();
        if let Some(missing) = [a, b, &made].into_iter().find(|token| !known(token)) {
            return Err(bad(format!("the merges do not fit the vocabulary: it lacks {missing:?}")));
        }
    }
    Ok(())
}

pub(super) type Vocabulary = tokenizers::models::bpe::Vocab;
pub(super) type ByteLevelBpe = TokenizerImpl<BPE, NormalizerWrapper, ByteLevel, ByteLevel, ByteLevel>;

/// GPT-2's pipeline around a BPE: split by its pattern, bytes spelled as printable characters; `lower` as in [`Bpe::train`].
pub(super) fn byte_level(model: BPE, lower: bool) -> ByteLevelBpe {
    let mut tokenizer = TokenizerImpl::new(model);
    let bytes = ByteLevel::new(lower, true, true);
    let normalizer = lower.then(|| serde_json::from_str::<NormalizerWrapper>(EMBEDDING_NORMALIZER).expect("a normaliser of the crate"));
    tokenizer.with_normalizer(normalizer).expect("no added tokens to normalise");
    tokenizer.with_pre_tokenizer(Some(bytes)).with_decoder(Some(bytes));
    tokenizer
}

impl Tokenizer for Bpe {
    fn vocab_size(&self) -> usize {
        self.starts.len() - 1
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, Core> {
        let encoding =
            self.encoder.encode_fast(text, false).map_err(|e| Core::Tokenizer(format!("the text cannot be encoded: {e}").into()))?;
        Ok(encoding.get_ids().to_vec())
    }

    fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        let (start, end) = (self.starts.get(id as usize)?, self.starts.get(id as usize + 1)?);
        Some(&self.bytes[*start..*end])
    }

    fn to_json(&self) -> String {
        self.json.clone()
    }
}
