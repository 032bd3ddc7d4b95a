use super::{Description, Tokenizer};
use crate::error::Error;
use alloc::{borrow::Cow, collections::BTreeMap, format, string::String, vec::Vec};

/// Words between white space, as in WikiText: one `<eos>` per line break, `<unk>` for words outside of the vocabulary.
///
/// A word's bytes begin with the space before it and `<eos>` is a line break, so that what follows a prompt reads on
/// from it. Encoding what was decoded gives the same ids.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Words {
    /// The bytes of every id, one after the other.
    text: String,
    /// Id `i` is `text[starts[i]..starts[i + 1]]`.
    starts: Vec<usize>,
    /// All ids, in the order of their words.
    sorted: Vec<u32>,
    unk: u32,
    eos: u32,
}

const UNK: &str = "<unk>";
const EOS: &str = "<eos>";

impl Words {
    /// A vocabulary from its words; an id is a place in the list.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if `<unk>` or `<eos>` is missing, a word comes twice, is empty or has white space in it.
    pub fn new<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> Result<Self, Error> {
        let (mut text, mut starts) = (String::new(), Vec::new());
        starts.push(0);
        for word in words {
            let word = word.as_ref();
            if word.is_empty() || word.contains(char::is_whitespace) {
                return Err(Error::Tokenizer(
                    format!("word {} of the vocabulary, {word:?}, is empty or has white space in it", starts.len()).into(),
                ));
            }
            if word == EOS {
                text.push('\n');
            } else {
                text.push(' ');
                text.push_str(word);
            }
            starts.push(text.len());
        }
        let count = u32::try_from(starts.len() - 1).map_err(|_| Error::Tokenizer("the vocabulary has over 2^32 words".into()))?;
        let mut this = Self { text, starts, sorted: (0..count).collect(), unk: 0, eos: 0 };
        let mut sorted = core::mem::take(&mut this.sorted);
        sorted.sort_unstable_by_key(|&id| this.word(id));
        if let Some(pair) = sorted.windows(2).find(|pair| this.word(pair[0]) == this.word(pair[1])) {
            return Err(Error::Tokenizer(format!("the word {:?} comes twice in the vocabulary", this.word(pair[0])).into()));
        }
        this.sorted = sorted;
        for (name, place) in [(UNK, this.find(UNK)), (EOS, this.find(EOS))] {
            let id = place
                .ok_or_else(|| Error::Tokenizer(format!("the vocabulary has {count} words and no {name}; add it to the list").into()))?;
            *(if name == UNK { &mut this.unk } else { &mut this.eos }) = id;
        }
        Ok(this)
    }

    /// The `max` most frequent words, `<unk>` and `<eos>` among them as ids 0 and 1; words of equal count by name.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if `max` leaves no id for a word, or a word has white space in it.
    pub fn from_counts<'a>(counts: impl IntoIterator<Item = (&'a str, u64)>, max: usize) -> Result<Self, Error> {
        if max < 3 {
            return Err(Error::Tokenizer(
                format!("a vocabulary of {max} words has no room beside <unk> and <eos>; make it 3 at least").into(),
            ));
        }
        let mut counts: Vec<_> = counts.into_iter().filter(|&(word, _)| word != UNK && word != EOS).collect();
        counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        counts.truncate(max - 2);
        Self::new([UNK, EOS].into_iter().chain(counts.into_iter().map(|(word, _)| word)))
    }

    /// The `max` most frequent words of a text; see [`from_counts`](Self::from_counts).
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if `max` leaves no id for a word.
    pub fn from_text(text: &str, max: usize) -> Result<Self, Error> {
        let mut counts = BTreeMap::new();
        for word in text.split_whitespace() {
            *counts.entry(word).or_insert(0) += 1;
        }
        Self::from_counts(counts, max)
    }

    /// The id that stands for every word outside of the vocabulary.
    pub fn unk(&self) -> u32 {
        self.unk
    }

    /// The id of a line break.
    pub fn eos(&self) -> u32 {
        self.eos
    }

    fn bytes(&self, id: u32) -> &str {
        &self.text[self.starts[id as usize]..self.starts[id as usize + 1]]
    }

    fn word(&self, id: u32) -> &str {
        self.bytes(id).strip_prefix(' ').unwrap_or(EOS)
    }

    fn find(&self, word: &str) -> Option<u32> {
        self.sorted.binary_search_by_key(&word, |&id| self.word(id)).ok().map(|i| self.sorted[i])
    }
}

impl Tokenizer for Words {
    fn vocab_size(&self) -> usize {
        self.sorted.len()
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        let mut ids = Vec::new();
        for (i, line) in text.split('\n').enumerate() {
            if i > 0 {
                ids.push(self.eos);
            }
            ids.extend(line.split_whitespace().map(|word| self.find(word).unwrap_or(self.unk)));
        }
        Ok(ids)
    }

    fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        ((id as usize) < self.vocab_size()).then(|| self.bytes(id).as_bytes())
    }

    fn to_json(&self) -> String {
        let words = (0..self.vocab_size() as u32).map(|id| Cow::Borrowed(self.word(id))).collect();
        Description::Words { words }.to_json()
    }
}
