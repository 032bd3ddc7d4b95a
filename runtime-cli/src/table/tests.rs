mod json;
mod npy;
mod parquet;
mod separated;

use super::*;
use arrow_schema::DataType;
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

/// A file with this name and content in a new folder.
fn written(name: &str, bytes: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn error(name: &str, bytes: impl AsRef<[u8]>) -> String {
    let (_folder, path) = written(name, bytes);
    Table::open(&path).err().expect("a table that cannot be opened").to_string()
}

/// A column in batches of `size`, and the batches' lengths.
fn column(table: &Table, name: &str, size: usize) -> (Vec<Option<String>>, Vec<usize>) {
    let batches: Vec<_> = table.texts(&[name], size).unwrap().map(|batch| batch.unwrap().remove(0)).collect();
    (batches.concat(), batches.iter().map(Vec::len).collect())
}

fn some(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| (!text.is_empty()).then(|| (*text).to_owned())).collect()
}

fn open(path: &Path, options: ReadOptions) -> Result<Table> {
    Table::open_all(&[path.to_owned()], &options)
}

/// Names and types of the columns.
fn kinds(table: &Table) -> Vec<(&str, String)> {
    table.schema().fields().iter().map(|field| (field.name().as_str(), field.data_type().to_string())).collect()
}

#[test]
fn a_line_is_a_row() {
    for ends in ["\r\n", "\n", "\r"] {
        let (_folder, path) = written("a.txt", ["\u{feff}one", "", "two — 2", "three"].join(ends));
        let table = Table::open(&path).unwrap();
        assert_eq!((table.columns().collect::<Vec<_>>(), table.rows()), (vec!["text"], 4), "{ends:?}");
        let (texts, batches) = column(&table, "text", 3);
        assert_eq!((texts, batches), (["one", "", "two — 2", "three"].map(|text| Some(text.to_owned())).to_vec(), vec![3, 1]));
        let rest: Vec<_> = table.batches(&[0], 9, 2).unwrap().map(|batch| super::texts(batch.unwrap().column(0)).unwrap()).collect();
        assert_eq!(rest.concat(), [Some("two — 2".to_owned()), Some("three".into())]);
    }
}

#[test]
fn unknown_extensions_are_refused_unless_the_format_is_given() {
    for name in ["a.psv", "a.xlsx", "a", "a.gz", "a.json.bz2"] {
        let error = error(name, "text\na\n");
        assert!(error.contains(name) && error.contains("--format") && error.contains(".parquet"), "{error}");
    }
    let (_folder, path) = written("a.psv", "id|text\n1|a\n");
    let table = open(&path, ReadOptions { format: Some(Format::Csv), ..ReadOptions::default() }).unwrap();
    assert_eq!(column(&table, "text", 9).0, some(&["a"]));
}

#[test]
fn several_files_and_partitions_are_one_table() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    };
    let paths = [write("a.csv", "text,n\none,1\ntwo,2\n"), write("b.csv", "text,n\nthree,x\n")];
    let table = Table::open_all(&paths, &ReadOptions::default()).unwrap();
    assert_eq!((table.rows(), column(&table, "text", 9)), (3, (some(&["one", "two", "three"]), vec![2, 1])));
    assert_eq!(column(&table, "n", 9).0, some(&["1", "2", "x"]), "a type that fits all files");
    assert!(table.place(2).starts_with("row 1 of ") && table.place(2).ends_with("b.csv"));
    for first in 0..=3 {
        let rows: usize = table.batches(&[1, 0], 9, first).unwrap().map(|batch| batch.unwrap().num_rows()).sum();
        assert_eq!(rows as u64, 3 - first);
    }
    let other = write("c.csv", "text\na\n");
    let error = Table::open_all(&[paths[0].clone(), other], &ReadOptions::default()).err().unwrap().to_string();
    assert!(error.contains("c.csv") && error.contains("a.csv") && error.contains("same columns"), "{error}");
    let error = Table::open_all(&[paths[0].clone(), write("a.txt", "x")], &ReadOptions::default()).err().unwrap().to_string();
    assert!(error.contains("different formats"), "{error}");

    write("set/year=2024/lang=en/1.jsonl", "{\"text\":\"a\"}\n");
    write("set/year=2023/lang=__HIVE_DEFAULT_PARTITION__/1.jsonl", "{\"text\":\"b\"}\n{\"text\":\"c\"}\n");
    let table = Table::open(&folder.path().join("set")).unwrap();
    assert_eq!(kinds(&table), [("text", "Utf8".to_owned()), ("year", "Int64".to_owned()), ("lang", "Utf8".to_owned())]);
    assert_eq!(table.numbers("year").unwrap(), [2023.0, 2023.0, 2024.0]);
    assert_eq!(column(&table, "lang", 9).0, some(&["", "", "en"]));
    let objects: Vec<_> = table.json_objects().unwrap().unwrap().map(Result::unwrap).collect();
    assert_eq!(objects[1..], ["{\"text\":\"c\",\"year\":2023,\"lang\":null}", "{\"text\":\"a\",\"year\":2024,\"lang\":\"en\"}"]);
}

#[test]
fn a_long_row_does_not_multiply_memory() {
    let long = "x".repeat(3 << 20);
    let lines = |row: &dyn Fn(&str) -> String| (0..9).map(|i| row(if i % 3 == 1 { &long } else { "short" })).collect::<String>();
    for (name, bytes) in [
        ("a.txt", lines(&|text| format!("{text}\n"))),
        ("a.csv", format!("id,text\n{}", lines(&|text| format!("1,{text}\n")))),
        ("a.jsonl", lines(&|text| format!("{{\"text\":\"{text}\"}}\n"))),
    ] {
        let (_folder, path) = written(name, bytes);
        let table = Table::open(&path).unwrap();
        let (texts, batches) = column(&table, "text", 1000);
        assert!(texts.len() == 9 && batches.len() > 1, "{name}: {batches:?}");
    }
}

#[test]
fn padding_and_several_members_of_gzip_are_read() {
    let member = |text: &str| {
        let mut gz = GzEncoder::new(Vec::new(), Compression::default());
        gz.write_all(text.as_bytes()).unwrap();
        gz.finish().unwrap()
    };
    let padded = [member("one\n"), member("two\n"), vec![0; 300_000]].concat();
    let (_folder, path) = written("a.txt.gz", padded);
    assert_eq!(column(&Table::open(&path).unwrap(), "text", 9).0, some(&["one", "two"]));
    for tail in [&b"garbage"[..], b"\0\0garbage"] {
        let error = error("a.txt.gz", [&member("one\n")[..], tail].concat());
        assert!(error.contains("cannot be decompressed"), "{error}");
    }
    assert!(error("a.jsonl.zst", [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0]).contains("zstd -d --long=31"));
}

#[test]
fn other_encodings_are_named() {
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    for name in ["a.csv", "a.tsv", "a.txt", "a.jsonl", "a.json"] {
        for bytes in [utf16("\u{feff}id,text\n1,a\n"), utf16("id,text\n1,a\n")] {
            let error = error(name, bytes);
            assert!(error.contains("UTF-16") && error.contains(name), "{error}");
        }
    }
}

#[test]
fn compressed_tables_are_the_same() {
    let text = (0..40_000).map(|i| format!("row {i}\n")).collect::<String>();
    let mut gz = GzEncoder::new(Vec::new(), Compression::default());
    gz.write_all(text.as_bytes()).unwrap();
    let zst = ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest);
    for (name, bytes) in [("a.txt.gz", gz.finish().unwrap()), ("a.TXT.zst", zst)] {
        let (_folder, path) = written(name, bytes);
        let (texts, batches) = column(&Table::open(&path).unwrap(), "text", 16_384);
        assert_eq!((texts.len(), batches), (40_000, vec![16_384, 16_384, 7_232]));
        assert_eq!(texts[39_999].as_deref(), Some("row 39999"));
    }
}

#[test]
fn reading_may_start_at_any_row() {
    let rows: Vec<_> = (0..10).map(|i| i.to_string()).collect();
    let json = rows.iter().map(|row| format!("{{\"text\":\"{row}\"}}\n\n")).collect::<String>();
    for (name, bytes) in [("a.txt", rows.join("\n")), ("a.csv", format!("text\n{}", rows.join("\n"))), ("a.jsonl", json)] {
        let (_folder, path) = written(name, bytes);
        let table = Table::open(&path).unwrap();
        for first in [0, 1, 4, 9, 10] {
            let batches: Vec<_> = table.batches(&[0], 4, first).unwrap().map(Result::unwrap).collect();
            let found: Vec<_> = batches.iter().flat_map(|batch| texts(batch.column(0)).unwrap()).flatten().collect();
            assert_eq!(found, rows[first as usize..], "{name} from {first}");
        }
    }
}

#[test]
fn a_missing_column_and_an_unusable_line_are_named() {
    let (_folder, path) = written("a.csv", "id,sentence\n1,a\n");
    let missing = Table::open(&path).unwrap().column("text").unwrap_err().to_string();
    assert!(missing.ends_with("has no column \"text\"; it has \"id\", \"sentence\""), "{missing}");
    for (name, bytes, what) in [
        ("a.csv", &b"id,text\n1,a\n2\n"[..], "line 3 of"),
        ("a.csv", b"id,text\n1,a\n2\n", "1 cells where the first record has 2"),
        ("a.csv", b"id,text\n1,\xff\n", "line 2 of"),
        ("a.csv", b"id,id\n1,a\n", "two columns named \"id\""),
        ("a.csv", b"id,text\n", "has no rows"),
        ("a.jsonl", b"{\"text\": \"a\"}\n[]\n", "line 2 of"),
        ("a.jsonl", b"{\"text\": \"a\"}\n{\"text\": \n", "is not JSON"),
        ("a.jsonl", b"{\"text\": \"a\"}\n\n{\"text\": \"a\", \"text\": \"b\"}\n", "the field \"text\" twice"),
        ("a.jsonl", b"[{\"text\": \"a\"}]\n", "--format json"),
        ("a.jsonl", b"{\"text\": \"a\"} {\"text\": \"b\"}\n", "line 1 of"),
        ("a.jsonl", b"\n\n", "has no rows"),
        ("a.txt", b"a\nb\0\n", "byte 3 is zero"),
        ("a.txt", b"a\nb\xff\n", "line 2 of"),
        ("a.txt", b"", "is empty"),
        ("a.txt.gz", b"no archive at all", "cannot be decompressed"),
        ("a.csv.zst", b"no archive at all", "cannot be decompressed"),
        ("a.parquet", b"none", "is not a readable Parquet file"),
    ] {
        let error = error(name, bytes);
        assert!(error.contains(what) && error.contains(name), "{error}");
    }
}

/// Reads all of a file, if it can be read.
fn consumed(name: &str, bytes: &[u8]) {
    let (_folder, path) = written(name, bytes);
    let Ok(table) = Table::open(&path) else { return };
    let all: Vec<_> = (0..table.columns().count()).collect();
    if let Ok(batches) = table.batches(&all, 7, 0) {
        batches.for_each(drop);
    }
}

#[test]
fn damaged_files_are_read_or_refused_without_a_panic() {
    let csv = b"id,text,x\n1,\"a \"\"b\"\"\nc\",0.5\n2,d,1e5\r\n3,\"\",\n";
    let json = br#"{"id":1,"text":"a\u00e9\ud83d\ude00","deep":{"n":[1.5,null]}}
{"id":18446744073709551615,"text":null,"deep":{}}
"#;
    let lines: Vec<&[u8]> = json.trim_ascii().split(|&byte| byte == b'\n').collect();
    let array = [&b"["[..], &lines.join(&b','), b"]"].concat();
    let mut random = 7u64;
    let mut draw = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize
    };
    let zstd = include_bytes!("tests/zstd-1.parquet");
    for (name, whole) in [("a.csv", &csv[..]), ("a.tsv", csv), ("a.jsonl", json), ("a.json", &array), ("a.parquet", zstd)] {
        for _ in 0..400 {
            let mut bytes = whole.to_vec();
            for _ in 0..1 + draw() % 3 {
                let at = draw() % bytes.len();
                match draw() % 5 {
                    0 => bytes[at] = draw() as u8,
                    1 => bytes[at] ^= 1 << (draw() % 8),
                    2 => drop(bytes.remove(at)),
                    3 => bytes.insert(at, b"\",\n{}[]\\;"[draw() % 9]),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            consumed(name, &bytes);
        }
    }
}
