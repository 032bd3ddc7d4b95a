//! Text of any length through a tokenizer, in pieces that give the ids of the whole.

use anyhow::{Result, anyhow};
use hh_core::tokenizer::{Tokenizer, decode};

/// A text without a place to cut is cut anywhere once it is as long as this, so that memory stays bounded.
const LONGEST: usize = 16 << 20;

/// Splits a text before a space that follows a letter or a digit: no word spans such a place, and neither does a match
/// of any pattern that byte-level tokenizers split by, so the pieces give the tokens that the whole would.
pub fn pieces(texts: impl Iterator<Item = Result<String>>) -> impl Iterator<Item = Result<String>> {
    let mut texts = texts.fuse();
    let mut pending = String::new();
    let mut failed = false;
    std::iter::from_fn(move || {
        while !failed {
            match texts.next() {
                Some(Ok(text)) => {
                    pending.push_str(&text);
                    let cut = last_cut(&pending).or((pending.len() >= LONGEST).then_some(pending.len()));
                    if let Some(cut) = cut {
                        let rest = pending.split_off(cut);
                        return Some(Ok(std::mem::replace(&mut pending, rest)));
                    }
                }
                Some(Err(e)) => {
                    failed = true;
                    return Some(Err(e));
                }
                None => return (!pending.is_empty()).then(|| Ok(std::mem::take(&mut pending))),
            }
        }
        None
    })
}

fn last_cut(text: &str) -> Option<usize> {
    text.rmatch_indices(' ').map(|(at, _)| at).find(|&at| text[..at].ends_with(char::is_alphanumeric))
}

/// The ids of a text of any length, a piece at a time. An error is what reading the text or the tokenizer says.
pub fn encode(tokenizer: &dyn Tokenizer, texts: impl Iterator<Item = Result<String>>) -> impl Iterator<Item = Result<Vec<u32>>> {
    let (mut lines, mut first) = (0, true);
    let doubles = doubles_space(tokenizer);
    pieces(texts).map(move |piece| {
        let piece = piece?;
        let begins = std::mem::take(&mut first) || !doubles;
        let own = if begins { &piece } else { piece.strip_prefix(' ').unwrap_or(&piece) };
        let ids = tokenizer.encode(own).map_err(|e| match lines {
            0 => anyhow!(e),
            _ => anyhow!("{e} (lines are counted from line {} of the text)", lines + 1),
        })?;
        lines += piece.bytes().filter(|&b| b == b'\n').count();
        Ok(ids)
    })
}

/// Whether a tokenizer puts a space before every text, even before one that begins with a space: Llama 2's does. The space at the
/// beginning of a piece is then left to it.
fn doubles_space(tokenizer: &dyn Tokenizer) -> bool {
    tokenizer.encode(" a").is_ok_and(|ids| decode(tokenizer, &ids) == "  a")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hh_core::tokenizer::Chars;

    #[test]
    fn pieces_are_the_text_cut_between_words() {
        let text = "one two,  three\n\n four five ";
        for size in 1..text.len() {
            let chunks: Vec<_> = text.as_bytes().chunks(size).map(|c| Ok(String::from_utf8(c.to_vec()).unwrap())).collect();
            let pieces: Vec<_> = pieces(chunks.into_iter()).map(Result::unwrap).collect();
            assert_eq!(pieces.concat(), text);
            for piece in &pieces[1..] {
                assert!(piece.starts_with(' '), "{pieces:?}");
            }
        }
    }

    #[test]
    fn a_text_without_spaces_is_cut_before_memory_ends() {
        let chunks = (0..40).map(|_| Ok("-".repeat(1 << 20)));
        let lengths: Vec<_> = pieces(chunks).map(|p| p.unwrap().len()).collect();
        assert_eq!(lengths.iter().sum::<usize>(), 40 << 20);
        assert!(lengths.iter().all(|&n| n <= LONGEST), "{lengths:?}");
    }

    #[test]
    fn a_character_outside_of_the_vocabulary_is_placed() {
        let chars = Chars::from_text("ab \n").unwrap();
        let texts = ["ab\nab ", "ab é"].map(|t| Ok(t.to_owned()));
        let error = encode(&chars, texts.into_iter()).find_map(Result::err).unwrap().to_string();
        assert!(error.contains("'é'") && error.contains("counted from line 2"), "{error}");
    }
}
