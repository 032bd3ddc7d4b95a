//! Normalisation of a text before it is split: the `normalizer` of a `tokenizer.json`, as far as this crate knows it.

use alloc::{borrow::Cow, string::String, vec::Vec};
use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;

/// One step. Each has the effect of the step of the `tokenizers` library that it was read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// `Replace` of `\s+` by a space: runs of white space of any kind become one space.
    Spaces,
    /// `Replace` of `[\p{Cc}\p{Cf}]` by nothing: control and format characters vanish, zero-width spaces among them.
    Visible,
    /// `Replace` of ` +` by a space.
    OneSpace,
    /// `Strip` at both ends.
    Strip,
    /// `NFC`: canonical composition (Unicode Standard Annex 15).
    Compose,
    /// `Lowercase`, letter by letter: `str::to_lowercase` looks at a sigma's neighbours, the library does not.
    Lowercase,
}

/// Steps in their order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Normalizer(Vec<Step>);

/// The `normalizer` of a `tokenizer.json`, and each member of a `Sequence`.
#[derive(Deserialize)]
pub(super) struct Description {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    normalizers: Vec<Description>,
    #[serde(default)]
    pattern: Option<Pattern>,
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    strip_left: bool,
    #[serde(default)]
    strip_right: bool,
}

#[derive(Deserialize)]
enum Pattern {
    Regex(String),
    String(serde::de::IgnoredAny),
}

impl Normalizer {
    /// The steps that a description lists; `None` if it has one that is unknown here.
    pub(super) fn read(description: Option<&Description>) -> Option<Self> {
        let mut steps = Vec::new();
        description.is_none_or(|d| d.add_to(&mut steps)).then_some(Self(steps))
    }

    /// The text after all steps.
    pub(super) fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.0.iter().fold(Cow::Borrowed(text), |text, step| match text {
            Cow::Borrowed(text) => step.apply(text),
            Cow::Owned(text) => Cow::Owned(match step.apply(&text) {
                Cow::Borrowed(part) if part.len() == text.len() => text,
                other => other.into_owned(),
            }),
        })
    }
}

impl Description {
    fn add_to(&self, steps: &mut Vec<Step>) -> bool {
        let replaced = match (&self.pattern, self.content.as_deref()) {
            (Some(Pattern::Regex(from)), Some(to)) => Some((&from[..], to)),
            (Some(Pattern::String(_)), _) => return false,
            _ => None,
        };
        let step = match (&self.kind[..], replaced) {
            ("Sequence", None) => return self.normalizers.iter().all(|d| d.add_to(steps)),
            ("Replace", Some((r"\s+", " "))) => Step::Spaces,
            ("Replace", Some((r"[\p{Cc}\p{Cf}]", ""))) => Step::Visible,
            ("Replace", Some((" +", " "))) => Step::OneSpace,
            ("Strip", None) if self.strip_left && self.strip_right => Step::Strip,
            ("NFC", None) => Step::Compose,
            ("Lowercase", None) => Step::Lowercase,
            _ => return false,
        };
        steps.push(step);
        true
    }
}

impl Step {
    fn apply(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Spaces => join_runs(text, char::is_whitespace),
            Self::OneSpace => join_runs(text, |c| c == ' '),
            Self::Visible if text.contains(is_invisible) => text.replace(is_invisible, "").into(),
            Self::Visible => text.into(),
            Self::Strip => text.trim().into(),
            Self::Compose if text.is_ascii() => text.into(),
            Self::Compose => text.nfc().collect::<String>().into(),
            Self::Lowercase if text.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) => text.into(),
            Self::Lowercase => text.chars().flat_map(char::to_lowercase).collect::<String>().into(),
        }
    }
}

/// The text with one space for each run of characters that `is_space` names.
fn join_runs(text: &str, is_space: impl Fn(char) -> bool + Copy) -> Cow<'_, str> {
    let mut after_space = false;
    let joined = text.chars().all(|c| {
        let (space, before) = (is_space(c), after_space);
        after_space = space;
        !space || (c == ' ' && !before)
    });
    if joined {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    for (i, part) in text.split(is_space).enumerate() {
        // `split` gives an empty part between two spaces.
        if i > 0 && !out.ends_with(' ') {
            out.push(' ');
        }
        out.push_str(part);
    }
    out.into()
}

/// Whether a character has the general category Cc or Cf (Unicode 16).
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

/// Whether a text has nothing but white space, control and format characters: there is nothing to embed then.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || is_invisible(c))
}

/// The normaliser of embeddings, as a `tokenizer.json` writes it: the same vector however the white space of a text is typed, wrapped or
/// padded, its accents are encoded, and its letters are cased.
pub const EMBEDDING_NORMALIZER: &str = concat!(
    r#"{"type":"Sequence","normalizers":["#,
    r#"{"type":"Replace","pattern":{"Regex":"\\s+"},"content":" "},"#,
    r#"{"type":"Replace","pattern":{"Regex":"[\\p{Cc}\\p{Cf}]"},"content":""},"#,
    r#"{"type":"Replace","pattern":{"Regex":" +"},"content":" "},"#,
    r#"{"type":"Strip","strip_left":true,"strip_right":true},"#,
    r#"{"type":"NFC"},{"type":"Lowercase"}]}"#,
);

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn embedding() -> Normalizer {
        Normalizer::read(Some(&serde_json::from_str(EMBEDDING_NORMALIZER).unwrap())).unwrap()
    }

    #[test]
    fn one_text_however_it_is_typed() {
        let n = embedding();
        for text in [
            "the old caf\u{e9} in z\u{fc}rich",
            "The  old   caf\u{e9} in Z\u{fc}rich",
            "\t The\told caf\u{e9}\r\nin\u{b}Z\u{fc}rich\n",
            "The\u{a0}old\u{202f}caf\u{e9}\u{3000}in\u{2028}Z\u{fc}rich",
            "\u{feff}T\u{200b}he old \u{200b} caf\u{e9} in \u{2060}Z\u{fc}\u{ad}rich\0",
            "THE OLD CAFE\u{301} IN ZU\u{308}RICH",
            "the old cafe\u{200d}\u{301} in zu\u{308}rich",
            "the old caf\u{e9}\u{85}\u{c}in z\u{fc}rich",
        ] {
            assert_eq!(n.apply(text), "the old caf\u{e9} in z\u{fc}rich", "{text:?}");
        }
        for blank in ["", " ", "\u{a0}\n\t", "\u{200b}"] {
            assert_eq!(n.apply(blank), "");
            assert!(is_blank(blank));
        }
        assert!(!is_blank(" \u{301}"));
        assert!(matches!(n.apply("nothing to do here."), Cow::Borrowed(_)));
    }

    #[test]
    fn letters_are_composed_in_their_canonical_order() {
        let n = embedding();
        // Marks of different classes commute; Hangul is composed by arithmetic; a compatibility character stays.
        assert_eq!(n.apply("q\u{307}\u{323}"), n.apply("q\u{323}\u{307}"));
        assert_eq!(n.apply("\u{1112}\u{1161}\u{11ab}"), "\u{d55c}");
        assert_eq!(n.apply("\u{fb01}\u{bd}\u{2026}"), "\u{fb01}\u{bd}\u{2026}");
        assert_eq!(n.apply("\u{212b}"), "\u{e5}");
    }

    #[test]
    fn unknown_steps_are_not_read() {
        let read = |json: &str| Normalizer::read(Some(&serde_json::from_str(json).unwrap()));
        assert_eq!(Normalizer::read(None), Some(Normalizer::default()));
        assert_eq!(read(r#"{"type":"Lowercase"}"#), Some(Normalizer([Step::Lowercase].to_vec())));
        for json in [
            r#"{"type":"NFKC"}"#.to_string(),
            r#"{"type":"Strip","strip_left":true,"strip_right":false}"#.into(),
            EMBEDDING_NORMALIZER.replace("NFC", "NFD"),
            EMBEDDING_NORMALIZER.replace(r#""content":"""#, r#""content":"x""#),
            EMBEDDING_NORMALIZER.replace(r#"{"Regex":" +"}"#, r#"{"String":" +"}"#),
        ] {
            assert_eq!(read(&json), None, "{json}");
        }
    }
}
