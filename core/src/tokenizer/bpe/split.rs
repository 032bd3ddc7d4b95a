//! GPT-2's pattern, by hand: where a text is cut before pairs are merged.
//!
//! ```text
//! 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//! ```

use super::letters::is_letter;

const CONTRACTIONS: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Number,
    Space,
    Other,
}

fn class(c: char) -> Class {
    match c {
        _ if is_letter(c) => Class::Letter,
        _ if c.is_numeric() => Class::Number,
        _ if c.is_whitespace() => Class::Space,
        _ => Class::Other,
    }
}

/// Bytes of the piece that the text begins with; 0 of an empty text.
pub(super) fn first(text: &str) -> usize {
    if let Some(contraction) = CONTRACTIONS.into_iter().find(|&with| text.starts_with(with)) {
        return contraction.len();
    }
    // One space goes with what follows it.
    let rest = text.strip_prefix(' ').unwrap_or(text);
    if let Some(kind) = rest.chars().next().map(class).filter(|&kind| kind != Class::Space) {
        return text.len() - rest.trim_start_matches(|c| class(c) == kind).len();
    }
    let after = text.trim_start_matches(char::is_whitespace);
    let run = &text[..text.len() - after.len()];
    let last = run.chars().next_back().map_or(0, char::len_utf8);
    // The last space of a run goes with what follows it, if it is not the only one and something follows.
    if after.is_empty() || run.len() == last { run.len() } else { run.len() - last }
}
