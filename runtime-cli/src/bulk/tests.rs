mod columns;
mod pieces;

use super::*;
use crate::table::texts;
use std::cell::Cell;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// Stops after this many calls of `stop`.
struct Patience(Cell<usize>);

impl Watch for Patience {
    fn embedded(&mut self, _: u64) {}
    fn written(&mut self, _: u64) {}
    fn stop(&self) -> bool {
        self.0.set(self.0.get().saturating_sub(1));
        self.0.get() == 0
    }
}

fn forever() -> Patience {
    Patience(Cell::new(usize::MAX))
}

/// The embedding of a text in these tests: its length, and 0.5.
fn embed_by_length(texts: &[&str]) -> Result<Vec<f32>, Unfit> {
    Ok(texts.iter().flat_map(|text| [text.len() as f32, 0.5]).collect())
}

fn input(name: &str, content: &str) -> (TempDir, Table) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    (folder, Table::open(&path).unwrap())
}

fn identity(model: &str) -> Identity {
    [("model".to_owned(), model.to_owned())].into()
}

fn job<'a>(input: &'a Table, output: &'a Target, empty: Empty) -> Job<'a> {
    let text = input.passage_column("text").unwrap();
    Job { input, text, split: None, output, column: "embedding", dim: 2, numbers: Numbers::F32, empty, rows: 3 }
}

/// Runs a job and returns the bytes of its output.
fn run(job: &Job<'_>) -> Result<Vec<u8>> {
    check(job)?;
    let mut unfinished = Unfinished::open(job.output.path(), &identity("a"), 2, false)?;
    assert!(super::embed(job, &mut unfinished, &mut embed_by_length, &mut forever())?);
    assert!(assemble(job, &unfinished, &mut forever())?);
    unfinished.remove()?;
    assert!(!folder_of(job.output.path()).exists());
    Ok(fs::read(job.output.path())?)
}

fn output(folder: &TempDir, name: &str) -> Target {
    Target::of(&folder.path().join(name), None, true).unwrap()
}

/// The output of a job with this name.
fn text_output(folder: &TempDir, table: &Table, name: &str) -> Result<String> {
    Ok(String::from_utf8(run(&job(table, &output(folder, name), Empty::Null))?).unwrap())
}

const LINES: &str = "{\"id\": 18446744073709551615, \"text\": \"four\"}\n\n{ \"text\":null }\n{\"text\":\"a\",\"b\":[1.0]}\r\n{}\n";

#[test]
fn a_line_of_json_keeps_every_byte_and_gains_an_embedding() {
    let (folder, table) = input("a.jsonl", LINES);
    let out = output(&folder, "out.jsonl");
    let found = String::from_utf8(run(&job(&table, &out, Empty::Null)).unwrap()).unwrap();
    let expected = [
        "{\"id\": 18446744073709551615, \"text\": \"four\",\"embedding\":[4,0.5]}",
        "{ \"text\":null,\"embedding\":null}",
        "{\"text\":\"a\",\"b\":[1.0],\"embedding\":[1,0.5]}",
        "{\"embedding\":null}",
    ];
    assert_eq!(found.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn cells_become_fields() {
    let (folder, table) = input("a.csv", "text,n\n\"a \"\"b\"\"\",1\n,2\n");
    let out = output(&folder, "out.jsonl");
    let found = String::from_utf8(run(&job(&table, &out, Empty::Zero)).unwrap()).unwrap();
    let expected = "{\"text\":\"a \\\"b\\\"\",\"n\":1,\"embedding\":[5,0.5]}\n{\"text\":null,\"n\":2,\"embedding\":[0,0]}\n";
    assert_eq!(found, expected);
}

#[test]
fn a_matrix_has_a_row_for_each() {
    let (folder, table) = input("a.txt", "one\n\nthree\n");
    let out = output(&folder, "out.npy");
    let bytes = run(&job(&table, &out, Empty::Zero)).unwrap();
    let vectors = crate::table::Vectors::open(out.path(), None).unwrap();
    assert_eq!((vectors.rows(), vectors.dim(), bytes.len()), (3, 2, 128 + 24));
    for (row, expected) in [[3.0, 0.5], [0.0, 0.0], [5.0, 0.5]].into_iter().enumerate() {
        let mut found = [f32::NAN; 2];
        vectors.row(row, &mut found);
        assert_eq!(found, expected);
    }
}

#[test]
fn a_row_without_text_is_named_if_it_is_refused() {
    let (folder, table) = input("a.txt", "one\ntwo\nthree\nfour\n \t\nsix");
    let out = output(&folder, "out.npy");
    let error = run(&job(&table, &out, Empty::Refuse)).unwrap_err().to_string();
    assert!(error.contains("row 5 of") && error.contains("--empty"), "{error}");
    assert!(!out.path().exists());
}

#[test]
fn a_text_that_cannot_be_embedded_is_named() {
    let (folder, table) = input("a.txt", "one\n\nthree\n");
    let out = output(&folder, "out.jsonl");
    let mut unfinished = Unfinished::open(out.path(), &identity("a"), 2, false).unwrap();
    let mut unfit = |_: &[&str]| Err(Unfit { text: Some(1), why: anyhow!("no such letter") });
    let error = super::embed(&job(&table, &out, Empty::Null), &mut unfinished, &mut unfit, &mut forever()).unwrap_err();
    let error = format!("{error:#}");
    assert!(error.starts_with("row 3 of ") && error.ends_with("no such letter"), "{error}");
}

#[test]
fn a_parquet_output_has_the_input_columns_and_the_embeddings() {
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Float32Type;
    let (folder, table) = input("a.jsonl", LINES);
    let out = output(&folder, "out.parquet");
    run(&job(&table, &out, Empty::Null)).unwrap();
    let found = Table::open(out.path()).unwrap();
    assert_eq!(found.columns().collect::<Vec<_>>(), ["id", "text", "b", "embedding"]);
    assert_eq!(found.schema().fields()[..3], table.schema().fields()[..]);
    let batch = found.batches(&[1, 3], 9, 0).unwrap().next().unwrap().unwrap();
    assert_eq!(texts(batch.column(0)).unwrap(), [Some("four".to_owned()), None, Some("a".into()), None]);
    let vectors = batch.column(1).as_fixed_size_list();
    assert_eq!((0..4).map(|row| vectors.is_valid(row)).collect::<Vec<_>>(), [true, false, true, false]);
    assert_eq!(vectors.value(2).as_primitive::<Float32Type>().values()[..], [1.0, 0.5]);
}

#[test]
fn a_job_stopped_anywhere_gives_the_output_of_an_uninterrupted_one() {
    let content = (0..20).map(|i| format!("{{\"text\": \"{}\"}}\n", "x".repeat(i * 7 % 11))).collect::<String>();
    let (folder, table) = input("a.jsonl", &content);
    let whole = run(&job(&table, &output(&folder, "whole.jsonl"), Empty::Null)).unwrap();
    for patience in 1..12 {
        let out = output(&folder, "parts.jsonl");
        let job = job(&table, &out, Empty::Null);
        let embedded = Cell::new(0);
        let mut stops = 0;
        loop {
            let mut unfinished = Unfinished::open(out.path(), &identity("a"), 2, false).unwrap();
            let mut counted = |texts: &[&str]| {
                embedded.set(embedded.get() + texts.len());
                embed_by_length(texts)
            };
            let mut watch = Patience(Cell::new(patience));
            let all = super::embed(&job, &mut unfinished, &mut counted, &mut watch).unwrap();
            let done = all && assemble(&job, &unfinished, &mut forever()).unwrap();
            if done {
                unfinished.remove().unwrap();
                break;
            }
            assert!(!out.path().exists(), "the output is incomplete");
            stops += 1;
            if patience == 1 {
                break;
            }
        }
        if patience > 1 {
            assert_eq!(fs::read(out.path()).unwrap(), whole, "after {stops} stops");
            assert_eq!(embedded.get(), 18, "no row is embedded twice");
            assert!(stops > 0 || patience > 7);
            fs::remove_file(out.path()).unwrap();
        }
    }
}

#[test]
fn unsaved_embeddings_are_computed_again() {
    let (folder, table) = input("a.txt", "one\nthree\n");
    let out = output(&folder, "out.jsonl");
    let mut unfinished = Unfinished::open(out.path(), &identity("a"), 2, false).unwrap();
    unfinished.push(&[9.0, 9.0], &[], 1).unwrap();
    drop(unfinished);
    assert_eq!(fs::metadata(folder_of(out.path()).join("vectors.f32")).unwrap().len(), 8);
    let found = String::from_utf8(run(&job(&table, &out, Empty::Null)).unwrap()).unwrap();
    assert!(found.starts_with("{\"text\":\"one\",\"embedding\":[3,0.5]}\n"), "{found}");
}

#[test]
fn another_job_and_a_concurrent_run_are_rejected() {
    let (folder, _) = input("a.txt", "one\n");
    let out = output(&folder, "out.npy");
    let mut first = Unfinished::open(out.path(), &identity("a"), 2, false).unwrap();
    first.push(&[1.0; 4], &[], 2).unwrap();
    first.save().unwrap();
    let said = |identity: &Identity| Unfinished::open(out.path(), identity, 2, false).err().unwrap().to_string();
    assert!(said(&identity("a")).contains("another run is writing"));
    drop(first);
    let other = said(&identity("b"));
    assert!(other.contains("2 rows of another job (model was a and is b)") && other.contains("--restart"), "{other}");
    assert_eq!(Unfinished::open(out.path(), &identity("a"), 2, false).unwrap().rows(), 2);
    assert_eq!(Unfinished::open(out.path(), &identity("b"), 2, true).unwrap().rows(), 0);
    assert_eq!(Unfinished::open(out.path(), &identity("b"), 2, false).unwrap().rows(), 0);
}

#[test]
fn a_long_text_is_embedded_alone() {
    let long = "x".repeat(TEXT_BYTES + 1);
    let piece = Piece { row: 0, item: 0, start: 0, end: 0 };
    let texts = |bytes: &[usize]| bytes.iter().map(|&bytes| (piece, (bytes > 0).then(|| &long[..bytes]))).collect::<Vec<_>>();
    assert_eq!(portion(&texts(&[1, 0, TEXT_BYTES - 1, 1]), 9, false), Some(3));
    assert_eq!(portion(&texts(&[TEXT_BYTES + 1, 1]), 9, false), Some(1));
    assert_eq!(portion(&texts(&[1, 1, 1]), 2, false), Some(2));
    assert_eq!((portion(&texts(&[1, 1]), 9, false), portion(&texts(&[1, 1]), 9, true)), (None, Some(2)));
    assert_eq!(portion(&texts(&[]), 9, true), None);
}

#[test]
fn numbers_of_every_type_are_those_of_the_embedding() {
    let (folder, table) = input("a.jsonl", "{\"text\":\"abc\"}\n{\"text\":null}\n");
    let unit = |texts: &[&str]| -> Result<Vec<f32>, Unfit> { Ok(texts.iter().flat_map(|_| [0.6, -0.8]).collect()) };
    for (numbers, list, npy) in [
        (Numbers::F32, "[0.6,-0.8]", [&0.6f32.to_le_bytes()[..], &(-0.8f32).to_le_bytes()].concat()),
        (Numbers::F16, "[0.60009766,-0.7998047]", vec![0xcd, 0x38, 0x66, 0xba]),
        (Numbers::Int8, "[76,-102]", vec![76, 154]),
        (Numbers::Binary, "[128]", vec![128]),
    ] {
        for (name, empty) in [("out.jsonl", Empty::Null), ("out.parquet", Empty::Null), ("out.npy", Empty::Zero)] {
            let out = output(&folder, name);
            let job = Job { numbers, ..job(&table, &out, empty) };
            let mut unfinished = Unfinished::open(out.path(), &identity("a"), 2, false).unwrap();
            assert!(super::embed(&job, &mut unfinished, &mut unit.clone(), &mut forever()).unwrap());
            assert!(assemble(&job, &unfinished, &mut forever()).unwrap());
            unfinished.remove().unwrap();
            let bytes = fs::read(out.path()).unwrap();
            match name {
                "out.jsonl" => {
                    let expected = format!("{{\"text\":\"abc\",\"embedding\":{list}}}\n{{\"text\":null,\"embedding\":null}}\n");
                    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
                }
                "out.npy" => assert_eq!(bytes[128..], [npy.clone(), vec![0; npy.len()]].concat()),
                _ => {
                    let found = Table::open(out.path()).unwrap();
                    let kind = found.schema().field(1).data_type().to_string();
                    let element = ["Float32", "Float16", "Int8", "UInt8"][numbers as usize];
                    assert!(kind.starts_with("FixedSizeList") && kind.contains(element), "{kind}");
                }
            }
        }
    }
}

#[test]
fn an_output_is_replaced_only_if_that_is_asked_for() {
    let (folder, table) = input("a.txt", "one\n");
    let path = folder.path().join("out.jsonl");
    let target = Target::of(&path, None, false).unwrap();
    fs::write(&path, "mine").unwrap();
    assert!(Target::of(&path, None, false).unwrap_err().to_string().contains("--force"));
    // It may appear while the embeddings are computed.
    assert!(run(&job(&table, &target, Empty::Null)).unwrap_err().to_string().contains("--force"));
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    assert!(Target::of(&path, None, true).is_ok());
    assert!(Target::of(folder.path(), Some(Format::Npy), true).unwrap_err().to_string().contains("it is a folder"));
    assert!(Target::of(Path::new("a.csv"), None, false).unwrap_err().to_string().contains(".parquet, .jsonl or .npy"));
}

#[test]
fn compressed_outputs_are_read_again() {
    let content = (0..3000).map(|i| format!("row {i}\n")).collect::<String>();
    let (folder, table) = input("a.txt", &content);
    let plain = text_output(&folder, &table, "out.jsonl").unwrap();
    for name in ["out.jsonl.gz", "out.jsonl.zst", "OUT.NDJSON.GZ", "out.parquet.gz", "out.parquet.zst"] {
        let out = output(&folder, name);
        run(&job(&table, &out, Empty::Null)).unwrap();
        let again = Table::open(out.path()).unwrap();
        let then = output(&folder, "again.jsonl");
        run(&Job { column: "again", ..job(&again, &then, Empty::Null) }).unwrap();
        let found = fs::read_to_string(then.path()).unwrap();
        let expected: String = plain.lines().map(|line| line.replace("\"embedding\":", "\"again\":") + "\n").collect();
        let stripped = |line: &str| line.split_once(",\"embedding\"").unwrap().0.to_owned();
        assert_eq!(found.lines().count(), 3000);
        assert!(found.lines().zip(expected.lines()).all(|(a, b)| b.starts_with(&stripped(a))), "{name}");
    }
}
