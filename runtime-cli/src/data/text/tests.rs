use super::*;
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// The text of a file of that name and content, or the error.
fn read(name: &str, bytes: &[u8]) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join(name);
    std::fs::write(&path, bytes)?;
    Text::open(&path, "text")?.collect()
}

fn error(name: &str, bytes: &[u8]) -> String {
    read(name, bytes).unwrap_err().to_string()
}

/// Longer than a few chunks, with characters of one to four bytes at every offset modulo four.
fn long() -> String {
    (0..60_000).map(|i| ["a", "é", "—", "🜂", "bc\n"][(i * i + i / 7) % 5].to_owned() + &i.to_string()).collect()
}

#[test]
fn every_format_gives_the_same_text() {
    let text = long();
    assert_eq!(read("a.txt", text.as_bytes()).unwrap(), text);
    assert_eq!(read("a.md", text.as_bytes()).unwrap(), text);
    assert_eq!(read("a.txt.gz", &gz(text.as_bytes())).unwrap(), text);
    assert_eq!(read("A.TXT.ZST", &zst(text.as_bytes())).unwrap(), text);
}

#[test]
fn concatenated_archives_are_read_to_the_end() {
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 7, 7, 7];
    assert_eq!(read("a.gz", &[gz(b"one "), gz(b"two")].concat()).unwrap(), "one two");
    assert_eq!(read("a.zst", &[&skippable[..], &zst(b"one "), &skippable, &zst(b"two")].concat()).unwrap(), "one two");
}

#[test]
fn a_line_of_json_is_a_document() {
    let lines = "{\"text\": \"one\", \"id\": 1}\n\n{\"text\": \"two\\n\"}\n{\"text\": \"\"}\n{\"text\": \"drei — 3\"}";
    assert_eq!(read("a.jsonl", lines.as_bytes()).unwrap(), "one\ntwo\ndrei — 3\n");
    assert_eq!(read("a.jsonl.zst", &zst(lines.as_bytes())).unwrap(), "one\ntwo\ndrei — 3\n");
}

#[test]
fn a_byte_order_mark_is_not_text() {
    assert_eq!(read("a.txt", b"\xef\xbb\xbfhello").unwrap(), "hello");
    assert!(error("a.txt", b"\xef\xbb\xbf").contains("contains no text"));
}

#[test]
fn content_that_is_not_text_is_rejected() {
    assert!(error("a.txt", b"").contains("is empty"));
    assert!(error("a.txt", b"abc\0def").contains("byte 3 is zero"));
    assert!(error("a.txt", b"caf\xe9 noir").contains("byte 3 is not part"));
    assert!(error("a.txt", b"caf\xc3").contains("byte 3 is not part"));
    let late = [long().as_bytes(), b"\xff"].concat();
    assert!(error("a.txt", &late).contains(&format!("byte {} is not", late.len() - 1)));
    let folder = tempfile::tempdir().unwrap();
    assert!(Text::open(folder.path(), "text").err().unwrap().to_string().contains("it is a folder"));
    assert!(Text::open(&folder.path().join("x"), "text").err().unwrap().to_string().contains("no such file"));
}

#[test]
fn a_damaged_archive_is_rejected() {
    let text = long();
    for (name, archive) in [("a.gz", gz(text.as_bytes())), ("a.zst", zst(text.as_bytes()))] {
        let cut = error(name, &archive[..archive.len() / 2]);
        assert!(cut.contains("is cut off"), "{name}: {cut}");
        let cut = error(name, &archive[..archive.len() - 1]);
        assert!(cut.contains("is cut off"), "{name}: {cut}");
        let mut damaged = archive.clone();
        *damaged.last_mut().unwrap() ^= 1;
        let wrong = error(name, &damaged);
        assert!(wrong.contains("cannot be decompressed"), "{name}: {wrong}");
        let plain = error(name, b"no archive at all");
        assert!(plain.contains("cannot be decompressed"), "{name}: {plain}");
    }
}

#[test]
fn a_wrong_line_is_named() {
    assert!(error("a.jsonl", b"{\"text\": \"a\"}\nnot json\n").contains("line 2 of"));
    assert!(error("a.jsonl", b"{\"body\": \"a\"}\n").contains("no text in the field \"text\""));
    assert!(error("a.jsonl", b"{\"text\": 3}\n").contains("line 1 of"));
    assert!(error("a.jsonl", b"[1, 2]\n").contains("line 1 of"));
    assert!(error("a.jsonl", b"{\"text\": \"\xff\"}\n").contains("its byte 10"));
    assert!(error("a.jsonl", b"\n\n").contains("contains no text"));
}

#[test]
fn bytes_are_taken_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let ids = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let ids: Result<Vec<_>> = super::ids(&Bytes, &[path], "text").and_then(Iterator::collect);
        ids.map(|ids| ids.concat().into_iter().map(|id| id as u8).collect::<Vec<_>>())
    };
    let all: Vec<u8> = (0..=255).cycle().take(CHUNK + 1000).collect();
    for name in ["a.txt", "a.bin", "a.json", "a.csv"] {
        assert!(ids(name, &all).unwrap() == all, "{name}");
    }
    assert!(ids("a.bin.gz", &gz(&all)).unwrap() == all);
    assert_eq!(ids("latin1.txt", b"caf\xe9").unwrap(), b"caf\xe9");
    assert_eq!(ids("mark.txt", b"\xef\xbb\xbfcaf\xc3\xa9").unwrap(), "café".as_bytes());
    assert_eq!(ids("a.jsonl", b"{\"text\": \"one\"}\n").unwrap(), b"one\n");
    assert!(ids("empty.bin", b"").unwrap_err().to_string().contains("is empty"));
}

#[test]
fn files_of_fields_are_refused_as_text() {
    for (name, remedy) in [("a.json", "jq -c"), ("A.JSON.gz", "jq -c"), ("a.csv", "a field for the text"), ("a.parquet", ".jsonl")] {
        let content = if name.ends_with(".gz") { gz(b"[{}]") } else { b"[{}]".to_vec() };
        let error = error(name, &content);
        assert!(error.contains(name) && error.contains(remedy), "{error}");
    }
    assert_eq!(read("a.ndjson", b"{\"text\": \"one\"}\n").unwrap(), "one\n");
}

#[test]
fn several_files_are_one_text_and_a_missing_one_is_named_before_the_first_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = ["a", "b"].map(|n| folder.path().join(n)).to_vec();
    std::fs::write(&paths[0], "one ").unwrap();
    assert!(texts(&paths, "text").err().unwrap().to_string().contains("no such file"));
    std::fs::write(&paths[1], "two").unwrap();
    assert_eq!(texts(&paths, "text").unwrap().collect::<Result<String>>().unwrap(), "one two");
    std::fs::write(&paths[0], "\0").unwrap();
    assert_eq!(texts(&paths, "text").unwrap().filter(|t| t.is_err()).count(), 1);
}
