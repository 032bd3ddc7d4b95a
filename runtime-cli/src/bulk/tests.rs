use super::*;
use std::cell::Cell;
use std::path::PathBuf;
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

fn job<'a>(input: &'a Table, output: &'a Path, empty: Empty) -> Job<'a> {
    let text = input.text_column("text").unwrap();
    Job { input, text, output, format: Format::of(output).unwrap(), column: "embedding", dim: 2, empty, rows: 3 }
}

/// Runs a job and returns the bytes of its output.
fn run(job: &Job<'_>) -> Result<Vec<u8>> {
    let mut unfinished = Unfinished::open(job.output, &identity("a"), 2, false)?;
    assert!(super::embed(job, &mut unfinished, &mut embed_by_length, &mut forever())?);
    assert!(assemble(job, &unfinished, &mut forever())?);
    unfinished.remove()?;
    assert!(!folder_of(job.output).exists());
    Ok(fs::read(job.output)?)
}

fn output(folder: &TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
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
    let expected = "{\"text\":\"a \\\"b\\\"\",\"n\":\"1\",\"embedding\":[5,0.5]}\n{\"text\":null,\"n\":\"2\",\"embedding\":[0,0]}\n";
    assert_eq!(found, expected);
}

#[test]
fn a_matrix_has_a_row_for_each() {
    let (folder, table) = input("a.txt", "one\n\nthree\n");
    let out = output(&folder, "out.npy");
    let bytes = run(&job(&table, &out, Empty::Zero)).unwrap();
    let vectors = crate::table::Vectors::open(&out, None).unwrap();
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
    assert!(!out.exists());
}

#[test]
fn a_text_that_cannot_be_embedded_is_named() {
    let (folder, table) = input("a.txt", "one\n\nthree\n");
    let out = output(&folder, "out.jsonl");
    let mut unfinished = Unfinished::open(&out, &identity("a"), 2, false).unwrap();
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
    let found = Table::open(&out).unwrap();
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
            let mut unfinished = Unfinished::open(&out, &identity("a"), 2, false).unwrap();
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
            assert!(!out.exists(), "the output is incomplete");
            stops += 1;
            if patience == 1 {
                break;
            }
        }
        if patience > 1 {
            assert_eq!(fs::read(&out).unwrap(), whole, "after {stops} stops");
            assert_eq!(embedded.get(), 18, "no row is embedded twice");
            assert!(stops > 0 || patience > 7);
            fs::remove_file(&out).unwrap();
        }
    }
}

#[test]
fn unsaved_embeddings_are_computed_again() {
    let (folder, table) = input("a.txt", "one\nthree\n");
    let out = output(&folder, "out.jsonl");
    let mut unfinished = Unfinished::open(&out, &identity("a"), 2, false).unwrap();
    unfinished.push(&[9.0, 9.0]).unwrap();
    drop(unfinished);
    assert_eq!(fs::metadata(folder_of(&out).join("vectors.f32")).unwrap().len(), 8);
    let found = String::from_utf8(run(&job(&table, &out, Empty::Null)).unwrap()).unwrap();
    assert!(found.starts_with("{\"text\":\"one\",\"embedding\":[3,0.5]}\n"), "{found}");
}

#[test]
fn another_job_and_a_concurrent_run_are_rejected() {
    let (folder, _) = input("a.txt", "one\n");
    let out = output(&folder, "out.npy");
    let mut first = Unfinished::open(&out, &identity("a"), 2, false).unwrap();
    first.push(&[1.0; 4]).unwrap();
    first.save().unwrap();
    let said = |identity: &Identity| Unfinished::open(&out, identity, 2, false).err().unwrap().to_string();
    assert!(said(&identity("a")).contains("another run is writing"));
    drop(first);
    let other = said(&identity("b"));
    assert!(other.contains("2 rows of another job (model was a and is b)") && other.contains("--restart"), "{other}");
    assert_eq!(Unfinished::open(&out, &identity("a"), 2, false).unwrap().rows(), 2);
    assert_eq!(Unfinished::open(&out, &identity("b"), 2, true).unwrap().rows(), 0);
    assert_eq!(Unfinished::open(&out, &identity("b"), 2, false).unwrap().rows(), 0);
}

#[test]
fn a_long_text_is_embedded_alone() {
    let long = |bytes: usize| Some("x".repeat(bytes));
    assert_eq!(portion(&[long(1), None, long(TEXT_BYTES - 1), long(1)]), 3);
    assert_eq!(portion(&[long(TEXT_BYTES + 1), long(1)]), 1);
}
