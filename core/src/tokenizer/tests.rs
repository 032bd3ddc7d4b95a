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
        Err(Error::Tokenizer(message)) => message,
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
        (r#"{"kind":"bpe","vocab":1}"#, r#"kind "bpe"; known here are bytes, chars, words"#),
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
