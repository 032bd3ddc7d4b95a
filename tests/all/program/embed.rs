//! Vectors for every row of a file, in the files in which other programs look for them.

use super::{command, desk_with_run, refused, skipped, text_of, words, works};
use std::{
    fmt::Write,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Rows in letters that the model of the run knows; row 2 has no text.
fn rows(count: usize) -> String {
    (0..count).fold(String::new(), |mut all, i| {
        let text = if i == 2 { "null".into() } else { format!("\"{}fox\"", "the lazy dog ".repeat(i % 9)) };
        writeln!(all, "{{\"id\": {i}, \"text\": {text}, \"tags\": [{}]}}", ["", "\"a\", \"b\""][i % 2]).expect("a String");
        all
    })
}

const EMBED: &str = "embed run --input rows.jsonl --dim 6";

#[test]
fn other_programs_read_what_was_written() {
    let folder = desk_with_run();
    let here = folder.path();
    fs::write(here.join("rows.jsonl"), rows(3000)).expect("memory");
    for rest in ["out.parquet", "out.jsonl", "out.npy --empty zero"] {
        let said = works(here, &format!("{EMBED} --output {rest}"));
        assert!(said.contains("3000 rows, 6 dimensions"), "{said}");
    }
    assert!(!here.join("out.parquet.unfinished").exists());
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    if !Command::new(&python).args(["-c", "import duckdb, numpy, pyarrow"]).output().is_ok_and(|output| output.status.success()) {
        return skipped("reading back takes a Python with duckdb, numpy and pyarrow; PYTHON names one");
    }
    let script = ["-c", include_str!("read_back.py"), "out.parquet", "out.jsonl", "out.npy", "6"];
    let output = Command::new(&python).args(script).current_dir(here).output().expect("python runs");
    assert!(output.status.success(), "{}", text_of(&output.stderr));
    eprint!("{}", text_of(&output.stdout));
}

#[test]
fn every_kind_of_file_gives_the_same_vectors() {
    let folder = desk_with_run();
    let here = folder.path();
    let texts = ["the lazy dog", "pack my box", "jugs"];
    fs::write(here.join("a.txt"), texts.join("\n")).expect("memory");
    fs::write(here.join("a.csv"), format!("n,body\n{}", texts.map(|text| format!("1,{text}\n")).concat())).expect("memory");
    fs::write(here.join("a.jsonl"), texts.map(|text| format!("{{\"body\": \"{text}\"}}\n")).concat()).expect("memory");
    works(here, "embed run --input a.txt --output txt.npy");
    works(here, "embed run --input a.csv --text-column body --output csv.npy --batch 1 --threads 2");
    works(here, "embed run --input a.jsonl --output a.parquet");
    works(here, "embed run --input a.parquet --text-column body --column again --output parquet.npy");
    let expected = fs::read(here.join("txt.npy")).expect("written");
    for name in ["csv.npy", "parquet.npy"] {
        assert!(fs::read(here.join(name)).expect("written") == expected, "{name}");
    }
    let kinds =
        ["plain", "query", "document"].map(|kind| works(here, &format!("embed run --input a.txt --output {kind}.npy --kind {kind}")));
    assert!(kinds.iter().all(|said| said.contains("3 rows")));
}

#[test]
fn what_cannot_be_embedded_is_said_in_a_sentence() {
    let folder = desk_with_run();
    let here = folder.path();
    fs::write(here.join("rows.jsonl"), rows(5)).expect("memory");
    fs::write(here.join("unknown.txt"), "fox\n€\n").expect("memory");
    for (line, said) in [
        ("embed run --input none.txt --output out.npy", &["none.txt", "no such file"][..]),
        ("embed run --input rows.jsonl --output out.csv", &["out.csv", ".parquet, .jsonl or .npy"]),
        ("embed run --input rows.jsonl --output none/out.npy --empty zero", &["none/out.npy", "folder does not exist"]),
        ("embed run --input rows.jsonl --output out.npy --text-column body", &["no column \"body\"", "\"id\", \"text\", \"tags\""]),
        ("embed run --input rows.jsonl --output out.npy --text-column id", &["has type Int64, not text"]),
        ("embed run --input rows.jsonl --output out.parquet --column tags", &["already has a column \"tags\"", "--column"]),
        ("embed run --input rows.jsonl --output rows.jsonl", &["is the input"]),
        ("embed run --input rows.jsonl --output out.npy --dim 1000", &["--dim is 1000", "16"]),
        ("embed run --input rows.jsonl --output out.npy --empty null", &["--empty null"]),
        ("embed tiny.json --input rows.jsonl --output out.npy", &["cannot use tiny.json"]),
        ("embed run --input rows.jsonl --output out.npy", &["row 3 of rows.jsonl", "--empty"]),
        ("embed run --input unknown.txt --output out.npy", &["row 2 of unknown.txt"]),
    ] {
        refused(here, line, said);
    }
}

/// Starts the program and interrupts it when some vectors are on the disk; what it says.
#[cfg(unix)]
fn interrupted(here: &Path, line: &str, output: &str) -> String {
    let child = command(here, &words(line)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the program starts");
    let vectors = here.join(format!("{output}.unfinished/vectors.f32"));
    let began = Instant::now();
    while !fs::metadata(&vectors).is_ok_and(|file| file.len() > 0) {
        assert!(began.elapsed() < Duration::from_secs(120) && child.try_wait().expect("a child").is_none(), "it never began");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill is there").success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", text_of(&output.stderr));
    text_of(&output.stdout)
}

#[cfg(unix)]
#[test]
fn a_run_that_was_interrupted_goes_on_where_it_stopped() {
    let folder = desk_with_run();
    let here = folder.path();
    fs::write(here.join("rows.jsonl"), rows(20_000)).expect("memory");
    works(here, &format!("{EMBED} --output whole.parquet"));
    let line = format!("{EMBED} --batch 8 --threads 1 --output parts.parquet");
    let said = interrupted(here, &line, "parts.parquet");
    assert!(said.contains("stopped after row") && !here.join("parts.parquet").exists(), "{said}");
    let other = "embed run --input rows.jsonl --dim 5 --output parts.parquet";
    refused(here, other, &["rows of another job (--dim was 6 and is 5)", "--restart"]);
    let output = command(here, &words(&line)).output().expect("the program starts");
    assert!(output.status.success() && text_of(&output.stderr).contains("resuming after row"), "{}", text_of(&output.stderr));
    assert!(fs::read(here.join("parts.parquet")).expect("written") == fs::read(here.join("whole.parquet")).expect("written"));
    assert!(!here.join("parts.parquet.unfinished").exists());
}
