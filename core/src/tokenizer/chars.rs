use super::{Description, Tokenizer};
use crate::error::{Error, TokenizerError};
use alloc::{borrow::Cow, collections::BTreeSet, string::String, vec::Vec};

/// The distinct characters of a text, in order of their code points.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chars {
    sorted: Vec<char>,
    /// The same, one after the other.
    text: String,
    /// Character `i` is `text[starts[i]..starts[i + 1]]`.
    starts: Vec<u32>,
}

impl Chars {
    /// The characters of a text.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if there are none.
    pub fn from_text(text: &str) -> Result<Self, Error> {
        Self::from_chars(text.chars())
    }

    /// The characters of a text that comes in pieces.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if there are none.
    pub fn from_chars(chars: impl IntoIterator<Item = char>) -> Result<Self, Error> {
        let sorted: Vec<char> = chars.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        if sorted.is_empty() {
            return Err(Error::Tokenizer("a character vocabulary needs at least one character, and the text is empty".into()));
        }
        let mut starts = Vec::with_capacity(sorted.len() + 1);
        let mut text = String::new();
        starts.push(0);
        for &c in &sorted {
            text.push(c);
            starts.push(text.len() as u32);
        }
        Ok(Self { sorted, text, starts })
    }

    /// The characters as a description lists them. Another order would give the ids another meaning.
    pub(super) fn from_sorted(chars: &str) -> Result<Self, Error> {
        let this = Self::from_text(chars)?;
        if this.text == chars {
            Ok(this)
        } else {
            Err(Error::Tokenizer("the characters of the tokenizer are not sorted and distinct: its description is damaged".into()))
        }
    }

    fn missing(&self, text: &str, byte: usize, c: char) -> Error {
        let before = &text[..byte];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
        TokenizerError::UnknownCharacter { character: c, line, column, known: self.sorted.len() }.into()
    }
}

impl Tokenizer for Chars {
    fn vocab_size(&self) -> usize {
        self.sorted.len()
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        let id = |(byte, c)| self.sorted.binary_search(&c).map(|i| i as u32).map_err(|_| self.missing(text, byte, c));
        text.char_indices().map(id).collect()
    }

    fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        let (start, end) = (self.starts.get(id as usize)?, self.starts.get(id as usize + 1)?);
        Some(&self.text.as_bytes()[*start as usize..*end as usize])
    }

    fn to_json(&self) -> String {
        Description::Chars { chars: Cow::Borrowed(&self.text) }.to_json()
    }
}
