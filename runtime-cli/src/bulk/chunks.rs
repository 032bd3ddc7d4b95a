//! Long texts in chunks of at most N tokens, which begin and end at words.

use anyhow::{Result, bail};
use hh_core::tokenizer::Tokenizer;
use std::ops::Range;

/// How to divide texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunks {
    tokens: usize,
    overlap: usize,
}

/// A word, or a part of one that is longer than a chunk.
struct Word {
    range: Range<usize>,
    tokens: usize,
}

impl Chunks {
    /// Chunks of at most `tokens` tokens, of which at most `overlap` are those of the chunk before.
    ///
    /// # Errors
    /// No tokens, or an overlap that leaves nothing new.
    pub fn new(tokens: usize, overlap: usize) -> Result<Self> {
        if tokens == 0 || overlap >= tokens {
            bail!("chunks of {tokens} tokens that overlap by {overlap} contain nothing new: give an overlap below the number of tokens");
        }
        Ok(Self { tokens, overlap })
    }

    /// The ranges of bytes of the chunks of a text, without the white space around them. They cover every word.
    ///
    /// # Errors
    /// A text that the tokenizer cannot encode.
    pub fn split(&self, tokenizer: &dyn Tokenizer, text: &str) -> Result<Vec<Range<usize>>> {
        let words = self.words(tokenizer, text)?;
        let mut chunks = Vec::new();
        let mut first = 0;
        while first < words.len() {
            let (mut end, mut sum) = (first, 0);
            while end < words.len() && (end == first || sum + words[end].tokens <= self.tokens) {
                sum += words[end].tokens;
                end += 1;
            }
            // Words together may have more tokens than one by one.
            let range = |end: usize| words[first].range.start..words[end - 1].range.end;
            while end > first + 1 && tokenizer.encode(&text[range(end)])?.len() > self.tokens {
                end -= 1;
            }
            chunks.push(range(end));
            if end == words.len() {
                break;
            }
            let (mut next, mut repeated) = (end, 0);
            // The word after the chunk must fit behind what is repeated.
            let most = self.overlap.min(self.tokens.saturating_sub(words[end].tokens));
            while next > first + 1 && repeated + words[next - 1].tokens <= most {
                next -= 1;
                repeated += words[next].tokens;
            }
            first = next;
        }
        Ok(chunks)
    }

    fn words(&self, tokenizer: &dyn Tokenizer, text: &str) -> Result<Vec<Word>> {
        let mut words: Vec<Word> = Vec::new();
        let mut at = 0;
        while let Some(start) = text[at..].find(|c: char| !c.is_whitespace()).map(|next| at + next) {
            let end = text[start..].find(char::is_whitespace).map_or(text.len(), |next| start + next);
            // With the white space before it, which may be a part of its first token.
            let tokens = tokenizer.encode(&text[at..end])?.len();
            if tokens <= self.tokens {
                words.push(Word { range: start..end, tokens });
            } else {
                self.cut(tokenizer, text, start..end, &mut words)?;
            }
            at = end;
        }
        Ok(words)
    }

    /// Divides a word into parts of at most as many tokens as a chunk has, or of one character.
    fn cut(&self, tokenizer: &dyn Tokenizer, text: &str, word: Range<usize>, words: &mut Vec<Word>) -> Result<()> {
        let mut rest = vec![word];
        while let Some(part) = rest.pop() {
            let tokens = tokenizer.encode(&text[part.clone()])?.len();
            let middle = text.ceil_char_boundary(part.start + part.len() / 2);
            if tokens <= self.tokens || middle >= part.end || middle == part.start {
                words.push(Word { range: part, tokens });
            } else {
                rest.push(middle..part.end);
                rest.push(part.start..middle);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hh_core::tokenizer::Bytes;

    fn split(tokens: usize, overlap: usize, text: &str) -> Vec<&str> {
        Chunks::new(tokens, overlap).unwrap().split(&Bytes, text).unwrap().into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn chunks_begin_and_end_at_words_and_cover_all() {
        assert_eq!(split(11, 0, "  one two\nthree four  five "), ["one two", "three four", "five"]);
        assert_eq!(split(100, 0, "one two"), ["one two"]);
        assert_eq!(split(11, 4, "one two three four"), ["one two", "two three", "four"]);
        assert_eq!(split(3, 0, "abcdefgh é—"), ["ab", "cd", "ef", "gh", "é", "—"]);
        assert!(split(5, 0, " \n").is_empty());
        assert!(Chunks::new(4, 4).is_err() && Chunks::new(0, 0).is_err());
    }

    #[test]
    fn no_chunk_is_longer_than_asked_and_no_word_is_lost() {
        let text: String = (0..500).map(|i| format!("{} ", "x".repeat(1 + i * i % 23))).collect();
        for (tokens, overlap) in [(10, 0), (25, 5), (64, 32), (64, 63)] {
            let chunks = Chunks::new(tokens, overlap).unwrap().split(&Bytes, &text).unwrap();
            assert!(chunks.iter().all(|range| range.len() <= tokens));
            assert!(chunks.windows(2).all(|two| two[0].start < two[1].start && two[0].end < two[1].end));
            // What is between chunks is white space.
            let gaps = chunks.windows(2).filter(|two| two[0].end < two[1].start).map(|two| &text[two[0].end..two[1].start]);
            assert!(gaps.into_iter().all(|gap| gap.trim().is_empty()));
        }
    }
}
