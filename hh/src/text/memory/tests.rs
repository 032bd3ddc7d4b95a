use super::*;
use hh_core::tokenizer::Bytes;

/// A memory of documents whose tokens are bytes; the first token of each has no item.
fn memory(documents: &[&[u8]]) -> Memory {
    let (keys, tokens, uses) = (Vec::new(), Vec::new(), Vec::new());
    let mut memory = Memory { model: 0, width: 1, documents: Vec::new(), format: KeyFormat::F32, keys, tokens, uses };
    for (i, text) in documents.iter().enumerate() {
        let tokens: Vec<u32> = text[1..].iter().map(|&byte| byte.into()).collect();
        let document = Document { name: i.to_string(), first_token: Some(text[0].into()), items: tokens.len() };
        memory.add(document, &vec![1.0; tokens.len()], &tokens);
    }
    memory
}

/// Document, position and token of what is found.
fn found(memory: &Memory, text: &str) -> Vec<(String, usize, String)> {
    memory.search(text, &Bytes).into_iter().map(|passage| (passage.document, passage.position, passage.token)).collect()
}

#[test]
fn a_search_finds_the_item_whose_token_ends_the_text() {
    let memory = memory(&[b"lives, lives", "caf\u{e9}".as_bytes()]);
    assert_eq!(found(&memory, "lives"), [("0".into(), 4, "s".into()), ("0".into(), 11, "s".into())]);
    assert_eq!(found(&memory, "\u{e9}"), [("1".into(), 4, "\u{fffd}".into())]);
    assert_eq!(found(&memory, "l"), [("0".into(), 7, "l".into())], "the first token of a document has no item");
    assert_eq!((found(&memory, ""), found(&memory, "dies")), (vec![], vec![]));
}

#[test]
fn a_text_that_is_not_valid_utf8_is_searched() {
    let memory = memory(&[b"\xff\xc3lives\x80 here"]);
    assert_eq!(found(&memory, "lives"), [("0".into(), 6, "s".into())]);
    assert_eq!(found(&memory, "here"), [("0".into(), 12, "e".into())]);
}
