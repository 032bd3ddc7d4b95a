//! Halves of surrogate pairs in JSON, which are no characters.

/// Replaces each escape of half a surrogate pair (`\ud83d` without its other half) by that of U+FFFD, as decoders of UTF-16 do.
/// Programs that cut text at a number of UTF-16 units write them. `json` keeps its length.
pub(crate) fn replace_lone(json: &mut String) {
    const HALF: usize = r"\ud83d".len();
    if !json.contains(r"\uD") && !json.contains(r"\ud") {
        return;
    }
    let (mut at, mut lone) = (0, Vec::new());
    let bytes = json.as_bytes();
    while let Some(next) = bytes[at..].iter().position(|&byte| byte == b'\\') {
        at += next;
        at += match (half(bytes, at), half(bytes, at + HALF)) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => 2 * HALF,
            (Some(0xd800..0xe000), _) => {
                lone.push(at);
                HALF
            }
            // Another escape, whose second character may be a backslash.
            _ => 2,
        };
        at = at.min(bytes.len());
    }
    for at in lone {
        json.replace_range(at..at + HALF, r"\ufffd");
    }
}

/// The number of the escape `\uXXXX` at this byte.
fn half(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(br"\u")?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::replace_lone;

    #[test]
    fn halves_alone_are_replaced_and_pairs_kept() {
        for (json, expected) in [
            (r#""bad \ud83d one""#, r#""bad \ufffd one""#),
            (r#""\uD83D\uDE00 \ude00""#, r#""\uD83D\uDE00 \ufffd""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\udE00\uD83d""#, r#""\ufffd\ufffd""#),
            (r#""\\ud83d \\\ud83d""#, r#""\\ud83d \\\ufffd""#),
            (r#""\u00e9 \ud83""#, r#""\u00e9 \ud83""#),
            (r#""\ud83d\n""#, r#""\ufffd\n""#),
            (r"\ud8", r"\ud8"),
            ("\\ud83d\\", "\\ufffd\\"),
        ] {
            let mut found = json.to_owned();
            replace_lone(&mut found);
            assert_eq!(found, expected);
        }
    }
}
