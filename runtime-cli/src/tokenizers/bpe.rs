//! Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019), by the `tokenizers` crate.

use super::pieces;
use crate::files;
use anyhow::{Result, anyhow, bail};
use hh_core::error::Error;
use hh_core::tokenizer::Tokenizer;
use std::collections::HashMap;
use std::path::Path;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::normalizers::Lowercase;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, NormalizerWrapper, TokenizerImpl};

/// The `kind` of its description.
pub(super) const KIND: &str = "bpe";
/// The token that GPT-2 ends a document with.
const END_OF_TEXT: &str = "<|endoftext|>";
/// GPT-2's names for the list of merges and for the vocabulary beside it, and those of later exports.
const PAIRS: [(&str, &str); 2] = [("vocab.bpe", "encoder.json"), ("merges.txt", "vocab.json")];

/// A byte-level BPE: every text has ids, and every id its bytes.
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
    /// One sentence for what is missing, unreadable, or no byte-level BPE.
    pub fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            let names = ["tokenizer.json", PAIRS[0].0, PAIRS[1].0];
            let Some(name) = names.into_iter().find(|name| path.join(name).is_file()) else {
                bail!("{} has no tokenizer: it needs a tokenizer.json, or vocab.bpe and encoder.json", path.display());
            };
            return Self::open(&path.join(name));
        }
        let pair = PAIRS.into_iter().find(|(merges, _)| path.file_name().is_some_and(|name| name == *merges));
        let json = files::read_to_string(path)?;
        let read = match pair {
            Some((_, vocabulary)) => Self::gpt2(&files::read_to_string(&path.with_file_name(vocabulary))?, &json),
            None => Self::from_tokenizer_json(&json),
        };
        read.map_err(|e| anyhow!("{}: {e}", path.display()))
    }

    fn gpt2(vocabulary: &str, merges: &str) -> Result<Self> {
        let vocabulary: HashMap<String, u32> =
            serde_json::from_str(vocabulary).map_err(|e| anyhow!("the vocabulary beside it is not readable: {e}"))?;
        let merges = merges.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with("#version"));
        let merges = merges
            .map(|(i, line)| match line.split_once(' ') {
                Some((a, b)) => Ok((a.to_owned(), b.to_owned())),
                None => Err(anyhow!("line {} is no merge: it should be two tokens with a space between", i + 1)),
            })
            .collect::<Result<Vec<_>>>()?;
        check_merges(&merges, |token| vocabulary.contains_key(token))?;
        let ends = vocabulary.contains_key(END_OF_TEXT);
        let model = BPE::builder().vocab_and_merges(vocabulary.into_iter().collect::<Vocabulary>(), merges).build();
        let model = model.map_err(|e| anyhow!("the merges do not fit the vocabulary: {e}"))?;
        let mut tokenizer = byte_level(model, false);
        if ends {
            tokenizer.add_special_tokens([AddedToken::from(END_OF_TEXT, true)]).map_err(|e| anyhow!("{e}"))?;
        }
        Self::new(tokenizer.into())
    }

    fn from_tokenizer_json(json: &str) -> Result<Self> {
        let mut value: serde_json::Value =
            serde_json::from_str(json).map_err(|e| anyhow!("it is not readable as a tokenizer.json: {e}"))?;
        // A text has one encoding here, whatever its length: nothing is cut off, filled up, or drawn by chance.
        let root = value.as_object_mut().ok_or_else(|| anyhow!("it is not readable as a tokenizer.json: it is no JSON object"))?;
        root.insert("truncation".into(), serde_json::Value::Null);
        root.insert("padding".into(), serde_json::Value::Null);
        let Some(model) = root.get_mut("model").and_then(|m| m.as_object_mut()) else {
            bail!("it is not readable as a tokenizer.json: it has no model");
        };
        if let Some(kind) = model.get("type").and_then(|kind| kind.as_str()).filter(|&kind| kind != "BPE") {
            bail!("its model is {kind}; hh reads byte-level BPE");
        }
        for affix in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if model.get(affix).and_then(|affix| affix.as_str()).is_some_and(|affix| !affix.is_empty()) {
                bail!("its model has a {affix}, which no byte-level BPE has");
            }
            model.insert(affix.into(), serde_json::Value::Null);
        }
        model.insert("dropout".into(), serde_json::Value::Null);
        let (Some(vocabulary), Some(merges)) =
            (model.get("vocab").and_then(|v| v.as_object()), model.get("merges").and_then(|m| m.as_array()))
        else {
            bail!("it is not readable as a tokenizer.json: its model lacks vocab or merges");
        };
        let pair = |merge: &serde_json::Value| match merge {
            serde_json::Value::String(pair) => pair.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())),
            serde_json::Value::Array(pair) => match &pair[..] {
                [a, b] => Some((a.as_str()?.to_owned(), b.as_str()?.to_owned())),
                _ => None,
            },
            _ => None,
        };
        let merges: Option<Vec<_>> = merges.iter().map(pair).collect();
        let merges = merges.ok_or_else(|| anyhow!("it is not readable as a tokenizer.json: a merge is not two tokens"))?;
        check_merges(&merges, |token| vocabulary.contains_key(token))?;
        let bytes = serde_json::to_vec(&value)?;
        Self::new(tokenizers::Tokenizer::from_bytes(bytes).map_err(|e| anyhow!("it is not readable as a tokenizer.json: {e}"))?)
    }

    /// Learns a vocabulary of at most `size` tokens, the 256 bytes among them, from merges that occur twice or more. With `lower`,
    /// upper and lower case are one, and a text begins as if a space stood before it: a word is one token wherever it stands, which
    /// embeddings want, and texts do not come back as they were.
    ///
    /// # Errors
    /// What reading the text says; a size below 256.
    pub fn train(size: usize, lower: bool, texts: impl Iterator<Item = Result<String>> + Send) -> Result<Self> {
        if size < 256 {
            bail!("a byte-level vocabulary of {size} has no room for the 256 bytes; make it larger");
        }
        let mut trainer = BpeTrainer::builder()
            .vocab_size(size)
            .min_frequency(2)
            .show_progress(false)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let mut failure = None;
        let readable = pieces(texts).map_while(|piece| piece.map_err(|e| failure = Some(e)).ok());
        let mut tokenizer = byte_level(BPE::default(), lower);
        let trained = tokenizer.train(&mut trainer, readable).map(|_| ()).map_err(|e| anyhow!("the BPE cannot be trained: {e}"));
        match failure {
            Some(e) => return Err(e),
            None => trained?,
        }
        Self::new(tokenizer.into())
    }

    /// Reads what [`to_json`](Tokenizer::to_json) wrote.
    ///
    /// # Errors
    /// One sentence for damaged JSON.
    pub fn from_json(json: &str) -> Result<Self> {
        let value: serde_json::Value = serde_json::from_str(json)?;
        match value.get("tokenizer") {
            Some(inner) => Self::from_tokenizer_json(&inner.to_string()),
            None => bail!("the description of the tokenizer lacks its vocabulary"),
        }
    }

    fn new(encoder: tokenizers::Tokenizer) -> Result<Self> {
        let inner = encoder.to_string(false).map_err(|e| anyhow!("{e}"))?;
        if !inner.contains("\"type\":\"ByteLevel\"") {
            bail!("its tokens are not bytes; hh reads byte-level BPE, as GPT-2's");
        }
        let vocabulary = encoder.get_vocab(true);
        let count = vocabulary.values().max().map_or(0, |&id| id as usize + 1);
        if count == 0 || count > 1 << 24 {
            bail!("its vocabulary has {count} ids; 1 to {} are possible", 1 << 24);
        }
        let mut tokens = vec![Vec::new(); count];
        let (bytes_of, added) = (alphabet(), encoder.get_added_tokens_decoder());
        for (token, id) in vocabulary {
            tokens[id as usize] = match added.contains_key(&id) {
                true => token.into_bytes(),
                false => token
                    .chars()
                    .map(|c| bytes_of.get(&c).copied())
                    .collect::<Option<_>>()
                    .ok_or_else(|| anyhow!("its token {token:?} is not made of bytes; hh reads byte-level BPE, as GPT-2's"))?,
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

/// Every merge makes a token of the vocabulary from two others. The crate underneath takes the first for granted.
fn check_merges(merges: &[(String, String)], known: impl Fn(&str) -> bool) -> Result<()> {
    for (a, b) in merges {
        let made = [&a[..], b].concat();
        if let Some(missing) = [a, b, &made].into_iter().find(|token| !known(token)) {
            bail!("the merges do not fit the vocabulary: it lacks {missing:?}");
        }
    }
    Ok(())
}

type Vocabulary = tokenizers::models::bpe::Vocab;
type ByteLevelBpe = TokenizerImpl<BPE, NormalizerWrapper, ByteLevel, ByteLevel, ByteLevel>;

/// GPT-2's pipeline around a BPE: split by its pattern, bytes spelled as printable characters; `lower` as in [`Bpe::train`].
fn byte_level(model: BPE, lower: bool) -> ByteLevelBpe {
    let mut tokenizer = TokenizerImpl::new(model);
    let bytes = ByteLevel::new(lower, true, true);
    tokenizer.with_normalizer(lower.then_some(NormalizerWrapper::Lowercase(Lowercase))).expect("no added tokens to normalise");
    tokenizer.with_pre_tokenizer(Some(bytes)).with_decoder(Some(bytes));
    tokenizer
}

/// The byte behind each printable character: itself where it is printable in Latin-1, from U+0100 on where it is not
/// (`bytes_to_unicode` of GPT-2).
fn alphabet() -> HashMap<char, u8> {
    let mut next = 0x100;
    (0..=255)
        .map(|byte| match byte {
            b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => (char::from(byte), byte),
            _ => {
                next += 1;
                (char::from_u32(next - 1).expect("68 characters from U+0100"), byte)
            }
        })
        .collect()
}

impl Tokenizer for Bpe {
    fn vocab_size(&self) -> usize {
        self.starts.len() - 1
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        let encoding =
            self.encoder.encode_fast(text, false).map_err(|e| Error::Tokenizer(format!("the text cannot be encoded: {e}").into()))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizers::{encode, from_json};
    use hh_core::tokenizer::decode;

    const TEXT: &str = "The cat sat on the mat.\n\nThe cat's hat — a *naïve* hat — sat, too: 12 345 hats!  \n\tEnd";

    /// GPT-2's files, which are data of the workplace and not of the repository.
    fn gpt2() -> Option<Bpe> {
        let shared = std::env::var_os("HH_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), Into::into);
        let folder = shared.join("data/gpt2");
        if !folder.is_dir() {
            eprintln!("skipped: GPT-2's vocabulary is not at {} (set HH_SHARED)", folder.display());
            return None;
        }
        Some(Bpe::open(&folder).unwrap())
    }

    #[test]
    fn gpt2_gives_its_known_ids() {
        let Some(bpe) = gpt2() else { return };
        assert_eq!(bpe.vocab_size(), 50257);
        assert_eq!(bpe.encode("Hello world").unwrap(), [15496, 995]);
        assert_eq!(bpe.encode("Hello, world!").unwrap(), [15496, 11, 995, 0]);
        assert_eq!(bpe.encode("<|endoftext|>").unwrap(), [50256]);
        assert_eq!(bpe.token_bytes(995), Some(&b" world"[..]));
        assert_eq!(bpe.token_bytes(50256), Some(&b"<|endoftext|>"[..]));
        assert_eq!(bpe.token_bytes(50257), None);
        assert_eq!(decode(&bpe, &bpe.encode(TEXT).unwrap()), TEXT);
        let again = from_json(&bpe.to_json()).unwrap();
        assert_eq!(again.encode(TEXT).unwrap(), bpe.encode(TEXT).unwrap());
        assert_eq!(again.to_json(), bpe.to_json());
    }

    /// Texts that a pattern could cut wrongly: every kind of character beside every other.
    fn mixtures() -> impl Iterator<Item = String> {
        const KINDS: [&str; 18] =
            ["a", "Ĳ", "漢", "7", "Ⅷ", "½", " ", "  ", "\n", "\u{a0}", "\u{3000}", "'", "'s", "'LL", "!", "\u{301}", "\u{5d0}\u{5b0}", "🜂"];
        let pairs = KINDS.iter().flat_map(|a| KINDS.iter().flat_map(move |b| KINDS.iter().map(move |c| [*a, b, c, "x"].concat())));
        let all = ('\0'..='\u{2ffff}').collect::<Vec<_>>();
        pairs.chain(all.chunks(997).map(|c| c.iter().collect()).collect::<Vec<_>>())
    }

    #[test]
    fn core_s_own_encoder_gives_the_same_ids() {
        let train = |lower| Bpe::train(400, lower, [Ok(TEXT.repeat(3))].into_iter()).unwrap();
        let shared = std::env::var_os("HH_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), Into::into);
        for bpe in gpt2().into_iter().chain([train(false), train(true)]) {
            let own = hh_core::tokenizer::Bpe::from_json(&bpe.to_json()).unwrap();
            assert_eq!(own.vocab_size(), bpe.vocab_size());
            assert!((0..own.vocab_size() as u32 + 1).all(|id| own.token_bytes(id) == bpe.token_bytes(id)));
            for text in mixtures() {
                assert_eq!(own.encode(&text).unwrap(), bpe.encode(&text).unwrap(), "{text:?}");
            }
            for long in [String::new(), "ΌΔΟΣ ΣΑΣ".into(), "İI ẞ Ǆ".into(), "a".repeat(5000), " ".repeat(5000), "ab ".repeat(2000)]
            {
                assert_eq!(own.encode(&long).unwrap(), bpe.encode(&long).unwrap());
            }
            match std::fs::read_to_string(shared.join("data/tinyshakespeare/input.txt")) {
                Ok(text) => assert!(own.encode(&text).unwrap() == bpe.encode(&text).unwrap(), "a real text"),
                Err(_) => eprintln!("skipped: no real text at {} (set HH_SHARED)", shared.display()),
            }
        }
    }

    #[test]
    fn a_text_in_pieces_has_the_ids_of_the_whole() {
        let train = |lower| Bpe::train(300, lower, [Ok(TEXT.repeat(3))].into_iter()).unwrap();
        for bpe in gpt2().into_iter().chain([train(false), train(true)]) {
            let whole = bpe.encode(TEXT).unwrap();
            let chars: Vec<char> = TEXT.chars().collect();
            for size in 1..20 {
                let mut ids = Vec::new();
                let chunks = chars.chunks(size).map(|c| Ok(c.iter().collect()));
                encode(&bpe, chunks, |piece| {
                    ids.extend_from_slice(piece);
                    Ok(())
                })
                .unwrap();
                assert_eq!(ids, whole, "chunks of {size}");
            }
        }
    }

    #[test]
    fn training_learns_frequent_pairs_and_is_the_same_each_time() {
        let train = || Bpe::train(280, false, [Ok(TEXT.repeat(20))].into_iter()).unwrap();
        let bpe = train();
        assert_eq!(bpe.vocab_size(), 280);
        assert_eq!(bpe.to_json(), train().to_json());
        let ids = bpe.encode("the hat").unwrap();
        assert!(ids.len() < 7, "{ids:?}");
        let any: String = ('\0'..'\u{300}').chain("漢字🜂".chars()).collect();
        assert_eq!(decode(&bpe, &bpe.encode(&any).unwrap()), any);
    }

    #[test]
    fn a_tokenizer_file_is_read_and_a_wrong_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        assert!(Bpe::open(&path).err().unwrap().to_string().contains("no such file"));
        assert!(Bpe::open(folder.path()).err().unwrap().to_string().contains("has no tokenizer"));
        let bpe = Bpe::train(270, false, [Ok(TEXT.repeat(3))].into_iter()).unwrap();
        std::fs::write(&path, bpe.encoder.to_string(true).unwrap()).unwrap();
        assert_eq!(Bpe::open(folder.path()).unwrap().to_json(), bpe.to_json());
        let refuse = |text: &str, word: &str| {
            std::fs::write(&path, text).unwrap();
            let error = Bpe::open(&path).err().unwrap().to_string();
            assert!(error.contains(word) && error.contains("tokenizer.json"), "{error}");
        };
        refuse("nonsense", "not readable");
        for text in ["{}", "[]", "3", r#"{"model": 3}"#, r#"{"model": {}}"#] {
            refuse(text, "not readable");
        }
        refuse(r#"{"model": {"type": "WordPiece"}}"#, "its model is WordPiece");
        for model in [
            r#"{"vocab": {"h": 0, "e": 1}, "merges": ["h e"]}"#,
            r#"{"vocab": {"h": 0, "e": 1}, "merges": [["h", "e"]]}"#,
            r#"{"vocab": {"he": 0, "e": 1}, "merges": ["h e"]}"#,
            r#"{"vocab": {"h": 0, "e": 1, "he": 2}, "merges": ["h e"], "continuing_subword_prefix": "long"}"#,
            r#"{"vocab": {}, "merges": [3]}"#,
        ] {
            refuse(&format!("{{\"model\": {model}}}"), "");
        }
        refuse(
            r#"{"version":"1.0","added_tokens":[],"normalizer":null,"pre_tokenizer":null,"post_processor":null,"decoder":null,
                "model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#,
            "its tokens are not bytes",
        );
    }

    #[test]
    fn merges_without_their_vocabulary_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let merges = folder.path().join("vocab.bpe");
        std::fs::write(&merges, "#version: 0.2\nh e\n").unwrap();
        assert!(Bpe::open(&merges).err().unwrap().to_string().contains("encoder.json"));
        std::fs::write(folder.path().join("encoder.json"), r#"{"h": 0, "e": 1, "he": 2}"#).unwrap();
        assert_eq!(Bpe::open(&merges).unwrap().encode("he").unwrap(), [2]);
        std::fs::write(folder.path().join("encoder.json"), r#"{"h": 0, "e": 1}"#).unwrap();
        assert!(Bpe::open(&merges).err().unwrap().to_string().contains("lacks \"he\""));
        std::fs::write(&merges, "he\n").unwrap();
        assert!(Bpe::open(&merges).err().unwrap().to_string().contains("line 1"));
    }
}
