use super::*;
use crate::rng;
use alloc::{
    string::{String, ToString},
    vec,
};

fn words() -> Words {
    Words::from_text("b a a\n c <unk> a b <eos>", 5).unwrap()
}

fn message<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => panic!("this must be an error"),
        Err(Error::Tokenizer(message)) => message.to_string(),
        Err(other) => panic!("{other:?} is not about the tokenizer"),
    }
}

#[test]
fn a_description_builds_the_same_tokenizer_again() {
    let text = "ab\n c é 日本 \u{1F600}\"\\\u{7f}";
    let all: [Box<dyn Tokenizer>; 3] = [Box::new(Bytes), Box::new(Chars::from_text(text).unwrap()), Box::new(words())];
    for tokenizer in all {
        let again = from_json(&tokenizer.to_json()).unwrap();
        assert_eq!((again.to_json(), again.vocab_size()), (tokenizer.to_json(), tokenizer.vocab_size()));
        assert_eq!(again.encode(text), tokenizer.encode(text));
        for id in 0..tokenizer.vocab_size() as u32 {
            assert_eq!(again.token_bytes(id), tokenizer.token_bytes(id));
        }
        assert_eq!(tokenizer.token_bytes(tokenizer.vocab_size() as u32), None);
        assert_eq!(tokenizer.token_bytes(u32::MAX), None);
    }
}

#[test]
fn descriptions_have_the_written_form() {
    assert_eq!(Bytes.to_json(), r#"{"kind":"bytes"}"#);
    assert_eq!(Chars::from_text("b\na").unwrap().to_json(), r#"{"kind":"chars","chars":"\nab"}"#);
    assert_eq!(words().to_json(), r#"{"kind":"words","words":["<unk>","<eos>","a","b","c"]}"#);
}

#[test]
fn bytes_and_characters_give_a_text_back() {
    let text = "naïve 日本語\r\n\u{1F600}\0";
    let chars = Chars::from_text(text).unwrap();
    assert_eq!(decode(&chars, &chars.encode(text).unwrap()), text);
    assert_eq!(decode(&Bytes, &Bytes.encode(text).unwrap()), text);
    assert_eq!(chars.encode("\0"), Ok(vec![0]), "ids follow code points");
    assert_eq!(Bytes.encode("é"), Ok(vec![0xc3, 0xa9]));
}

#[test]
fn a_character_outside_of_the_vocabulary_is_named_with_its_place() {
    let chars = Chars::from_text("ab\n").unwrap();
    let message = message(chars.encode("ab\naéb"));
    assert!(message.contains("'é' (U+00E9) at line 2, column 2") && message.contains("3 characters"), "{message}");
}

#[test]
fn words_are_counted_split_and_joined() {
    let words = words();
    assert_eq!((words.vocab_size(), words.unk(), words.eos()), (5, 0, 1));
    let ids = words.encode("a  b\r\n\nzebra c").unwrap();
    assert_eq!(ids, [2, 3, 1, 1, 0, 4]);
    let text = decode(&words, &ids);
    assert_eq!(text, " a b\n\n <unk> c");
    assert_eq!(words.encode(&text), Ok(ids));
    assert_eq!(words.encode(""), Ok(vec![]));
    assert_eq!(words.encode("a\n"), Ok(vec![2, 1]), "a line break is one <eos>, the end of the text is none");
    let cut = Words::from_text("x y y z z z", 4).unwrap();
    assert_eq!(cut.encode("x y z"), Ok(vec![0, 3, 2]), "the most frequent come first, the rarest is left out");
}

#[test]
fn bad_vocabularies_and_descriptions_are_named() {
    for (json, part) in [
        ("", "not readable"),
        ("[]", "not readable"),
        ("{}", "missing field `kind`"),
        (r#"{"kind":"runes","vocab":1}"#, r#"kind "runes"; known here are bpe, bytes, chars, words"#),
        (r#"{"kind":"bpe","vocab":1}"#, "missing field `tokenizer`"),
        (r#"{"kind":"chars"}"#, "missing field `chars`"),
        (r#"{"kind":"chars","chars":""}"#, "at least one character"),
        (r#"{"kind":"chars","chars":"ba"}"#, "not sorted"),
        (r#"{"kind":"chars","chars":"aa"}"#, "not sorted"),
        (r#"{"kind":"words","words":["<unk>","a"]}"#, "no <eos>"),
        (r#"{"kind":"words","words":["<eos>","a"]}"#, "no <unk>"),
        (r#"{"kind":"words","words":[]}"#, "no <unk>"),
        (r#"{"kind":"words","words":["<eos>","<unk>","a","a"]}"#, r#""a" comes twice"#),
        (r#"{"kind":"words","words":["<eos>","<eos>","<unk>"]}"#, r#""<eos>" comes twice"#),
        (r#"{"kind":"words","words":["<eos>","<unk>","a b"]}"#, r#"word 3 of the vocabulary, "a b","#),
        (r#"{"kind":"words","words":["<eos>","<unk>",""]}"#, "is empty"),
    ] {
        let message = message(from_json(json).map(|_| ()));
        assert!(message.contains(part), "{json}: {message}");
    }
    assert!(message(Words::from_text("a", 2)).contains("vocabulary of 2 words"));
    assert!(message(Chars::from_text("")).contains("at least one"));
}

#[test]
fn a_stream_of_bytes_reads_as_the_whole_does_wherever_it_is_cut() {
    let pieces: [&[u8]; 12] = [
        b"a",
        "é".as_bytes(),
        "日".as_bytes(),
        "\u{1F600}".as_bytes(),
        b"\xff",
        b"\xe6\x97",
        b"\xf0\x9f\x98",
        b"\xc3",
        b"\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xc0\xaf",
    ];
    for round in 0..2000 {
        let mut bytes = Vec::new();
        for i in 0..12 {
            bytes.extend(pieces[rng::block([1, 0, 0, 0], round, i)[0] as usize % pieces.len()]);
        }
        let (mut stream, mut text) = (Utf8Stream::default(), String::new());
        for piece in bytes.chunks(1 + round as usize % 5) {
            stream.push(piece, &mut text);
        }
        stream.finish(&mut text);
        assert_eq!(text, String::from_utf8_lossy(&bytes), "{bytes:x?}");
    }
}

#[test]
fn a_character_cut_in_two_waits_for_its_other_half() {
    let (mut stream, mut text) = (Utf8Stream::default(), String::new());
    stream.push(b"a\xe6\x97", &mut text);
    assert_eq!(text, "a");
    stream.push(b"\xa5b", &mut text);
    assert_eq!(text, "a日b");
    assert_eq!(decode(&Bytes, &[0x61, 256, 0x62]), "a\u{fffd}b");
    assert_eq!(decode(&Bytes, &[0xe6, 0x97]).to_string(), "\u{fffd}");
}

/// A BPE of the 256 bytes, these further tokens, and these merges.
fn bpe(tokens: &[&str], merges: &str, more: &str) -> Result<Bpe, Error> {
    let bytes = (0..=255u8).map(|b| match b {
        0..=0x20 => char::from_u32(0x100 + b as u32).unwrap(),
        0x7f..=0xa0 => char::from_u32(0x121 + (b - 0x7f) as u32).unwrap(),
        0xad => '\u{143}',
        _ => b.into(),
    });
    let vocab: Vec<String> = bytes.map(String::from).chain(tokens.iter().map(|&t| t.into())).collect();
    let vocab =
        vocab.iter().enumerate().map(|(i, t)| alloc::format!("{}:{i}", serde_json::to_string(t).unwrap())).collect::<Vec<_>>().join(",");
    Bpe::from_json(&alloc::format!(
        r#"{{"kind":"bpe","tokenizer":{{"pre_tokenizer":{{"type":"ByteLevel","add_prefix_space":false}},"normalizer":null{more},
            "model":{{"type":"BPE","vocab":{{{vocab}}},"merges":{merges}}}}}}}"#
    ))
}

#[test]
fn pairs_are_merged_by_rank_and_then_from_the_left() {
    for merges in [r#"["a a", "aa aa", "b a", "Ġ b"]"#, r#"[["a", "a"], ["aa", "aa"], ["b", "a"], ["Ġ", "b"]]"#] {
        let bpe = bpe(&["aa", "aaaa", "ba", "Ġb"], merges, "").unwrap();
        let ids = |text: &str| bpe.encode(text).unwrap();
        assert_eq!(ids("aaaaaaa"), [257, 256, 97], "seven: four, two, one");
        assert_eq!(ids("ba baa"), [258, 259, 256], "the lower rank first, and a space goes with its word");
        assert_eq!((bpe.vocab_size(), bpe.token_bytes(259), bpe.token_bytes(260)), (260, Some(&b" b"[..]), None));
        let any = "naïve — 漢字 \u{ad}\u{7f}\0";
        assert_eq!(decode(&bpe, &ids(any)), any);
        assert_eq!(from_json(&bpe.to_json()).unwrap().encode("baa").unwrap(), ids("baa"));
    }
}

#[test]
fn added_tokens_stand_wherever_they_are_and_the_longest_counts() {
    let added = r#","added_tokens":[{"id":256,"content":"<|end|>"},{"id":258,"content":"<|end|>!"}]"#;
    let bpe = bpe(&["<|end|>", "a b"], "[]", added);
    assert!(bpe.unwrap_err().to_string().contains("\"a b\", which is not made of bytes"));
    let bpe = self::bpe(&["<|end|>"], "[]", added).unwrap();
    assert_eq!(bpe.encode("a<|end|>b<|end|>!<|end").unwrap()[..4], [97, 256, 98, 258]);
    assert_eq!(bpe.token_bytes(256), Some(&b"<|end|>"[..]));
    assert_eq!((bpe.vocab_size(), bpe.token_bytes(257)), (259, Some(&b""[..])), "an id that the vocabulary skips");
}

#[test]
fn a_bpe_of_another_form_is_refused() {
    let error = |tokens: &[&str], merges: &str, more: &str| bpe(tokens, merges, more).unwrap_err().to_string();
    assert!(error(&[], r#"["a b"]"#, "").contains("lacks \"ab\""));
    assert!(error(&["ab"], r#"["ab"]"#, "").contains("not two tokens"));
    assert!(error(&[], "[]", r#","added_tokens":[{"id":256,"content":"x","lstrip":true}]"#).contains("its neighbours"));
    let whole = bpe(&[], "[]", "").unwrap().to_json();
    for (from, to) in [
        (r#""normalizer":null"#, r#""normalizer":{"type":"NFKC"}"#),
        ("ByteLevel", "Split"),
        (r#""type":"BPE""#, r#""ignore_merges":true"#),
    ] {
        let changed = whole.replacen(from, to, 1);
        assert_ne!(changed, whole);
        assert!(Bpe::from_json(&changed).unwrap_err().to_string().contains("GPT-2's form"), "{to}");
    }
    assert!(Bpe::from_json(&whole.replacen("\"a\":97,", "", 1)).unwrap_err().to_string().contains("lacks \"a\""));
    assert!(Bpe::from_json(&whole.replacen("\"a\":97", "\"b\":97", 1)).unwrap_err().to_string().contains("\"b\" twice"));
    assert!(Bpe::from_json(&whole.replacen("\"a\":97", "\"a\":98", 1)).unwrap_err().to_string().contains("a second token of the id 98"));
}

#[test]
fn a_bpe_for_embeddings_sees_one_text_however_it_is_typed() {
    let plain = bpe(&["Ġa", "Ġb"], r#"["Ġ a", "Ġ b"]"#, r#","added_tokens":[{"id":258,"content":"<|x|>"}]"#).unwrap().to_json();
    let json = plain.replacen(r#""normalizer":null"#, &alloc::format!("\"normalizer\":{EMBEDDING_NORMALIZER}"), 1);
    let bpe = Bpe::from_json(&json.replacen(r#""add_prefix_space":false"#, r#""add_prefix_space":true"#, 1)).unwrap();
    for text in ["a b", "  A\n\nB ", "\u{a0}a\u{3000}\u{200b} b\u{feff}"] {
        assert_eq!(bpe.encode(text).unwrap(), [256, 257], "{text:?}");
    }
    assert_eq!(bpe.encode("a <|x|>\n b").unwrap(), [256, 258, 257], "each side of an added token for itself");
    assert!(bpe.encode("\u{200b}\n").unwrap().is_empty());
    assert_eq!(bpe.encode("e\u{301}").unwrap(), bpe.encode("\u{c9}").unwrap());
}
