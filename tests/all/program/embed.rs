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
    for kind in ["f32", "f16", "int8", "binary"] {
        for file in ["parquet", "jsonl", "npy --empty zero"] {
            let said = works(here, &format!("{EMBED} --output-dtype {kind} --output {kind}.{file}"));
            assert!(said.contains("3000 rows, 6 dimensions"), "{said}");
        }
    }
    for file in ["parquet", "jsonl", "npy --empty zero"] {
        works(here, &format!("{EMBED} --chunk-tokens 40 --chunk-overlap 12 --output chunks.{file}"));
    }
    assert!(!here.join("f32.parquet.unfinished").exists());
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    if !Command::new(&python).args(["-c", "import duckdb, numpy, pyarrow"]).output().is_ok_and(|output| output.status.success()) {
        return skipped("reading back takes a Python with duckdb, numpy and pyarrow; PYTHON names one");
    }
    let script = ["-c", include_str!("read_back.py"), "6"];
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
    for (name, content) in [
        ("unknown.txt", "fox\n€\n"),
        ("quote.csv", "id,text\n1,a\n2,\"an inch\n3,b\n"),
        ("head.csv", "1;the fox\n2;the dog\n"),
        ("sentence.csv", "the lazy dog\nthe fox\n"),
        ("bars.psv", "id|text\n1|fox\n"),
        ("mixed.jsonl", "{\"text\": \"fox\", \"meta\": {}}\n{\"text\": \"fox\", \"meta\": []}\n"),
    ] {
        fs::write(here.join(name), content).expect("memory");
    }
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
        ("embed run --input rows.jsonl --output text.txt --output-format npy", &["text.txt exists", "--force"]),
        ("embed run --input quote.csv --output out.npy", &["line 3 of quote.csv", "column 2", "never closed", "--no-quotes"]),
        ("embed run --input head.csv --output out.npy", &["line 1 of head.csv", "--no-header"]),
        ("embed run --input sentence.csv --output out.npy", &["sentence.csv", "--no-header"]),
        ("embed run --input bars.psv --output out.npy", &["bars.psv", "--format"]),
        ("embed run --input mixed.jsonl --output out.parquet", &["column \"meta\"", "line 2 of mixed.jsonl", "write .jsonl"]),
        ("embed run --input unknown.txt quote.csv --output out.npy", &["different formats"]),
        ("embed --input unknown.txt run --output out.npy", &["run is a model", "MODEL comes before --input"]),
        ("embed run --input rows.jsonl --output out.npy --pooling max", &["max", "mean, last, weighted"]),
        ("embed run --input rows.jsonl --output out.npy --output-dtype int4", &["int4", "f32, f16, int8, binary"]),
        ("embed run --input rows.jsonl --output out.npy --chunk-overlap 3", &["--chunk-tokens"]),
        ("embed run --input rows.jsonl --output out.npy --chunk-tokens 3 --chunk-overlap 3", &["overlap"]),
        ("embed run --input rows.jsonl --output out.npy --max-tokens 0", &["--max-tokens"]),
        ("embed run --input quote.csv --delimiter ab --output out.npy", &["one ASCII character"]),
    ] {
        refused(here, line, said);
    }
}

/// Runs it with a file as its standard input; it must succeed. Returns its standard output.
fn piped(here: &Path, line: &str, input: &str) -> Vec<u8> {
    let input = fs::File::open(here.join(input)).expect("the input");
    let mut cat = Command::new("cat").stdin(input).stdout(Stdio::piped()).spawn().expect("cat is there");
    let output = command(here, &words(line)).stdin(cat.stdout.take().expect("a pipe")).output().expect("the program starts");
    assert!(cat.wait().is_ok() && output.status.success(), "`{line}`: {}", text_of(&output.stderr));
    output.stdout
}

#[cfg(unix)]
#[test]
fn streams_are_read_once_and_written_as_they_are() {
    let folder = desk_with_run();
    let here = folder.path();
    fs::write(here.join("rows.jsonl"), rows(300)).expect("memory");
    works(here, "embed run --input rows.jsonl --output file.jsonl");
    let expected = fs::read(here.join("file.jsonl")).expect("written");
    assert!(piped(here, "embed run --input - --format jsonl --output -", "rows.jsonl") == expected);
    assert!(
        piped(here, "embed run --input /dev/stdin --format jsonl --output /dev/stdout --output-format jsonl", "rows.jsonl") == expected
    );
    works(here, "embed run --input rows.jsonl --output file.jsonl.gz");
    let packed = fs::read(here.join("file.jsonl.gz")).expect("written");
    assert!(packed.starts_with(&[0x1f, 0x8b]) && packed.len() < expected.len());
    piped(here, "embed run --input - --format jsonl --column again --output again.jsonl", "file.jsonl.gz");
    let again = fs::read_to_string(here.join("again.jsonl")).expect("written");
    assert!(again.lines().zip(text_of(&expected).lines()).all(|(a, b)| a.starts_with(b.trim_end_matches('}'))));
    refused(here, "embed run --input - --output out.npy", &["--format"]);
}

#[test]
fn an_existing_output_is_replaced_only_by_force() {
    let folder = desk_with_run();
    let here = folder.path();
    fs::write(here.join("a.txt"), "the fox\n").expect("memory");
    fs::write(here.join("out.npy"), "mine").expect("memory");
    refused(here, "embed run --input a.txt --output out.npy", &["out.npy exists", "--force"]);
    works(here, "embed run --input a.txt --output out.npy --force");
    assert!(fs::read(here.join("out.npy")).expect("written").starts_with(b"\x93NUMPY"));
}

/// The embeddings in a `.jsonl`.
fn embeddings(here: &Path, name: &str) -> Vec<Vec<f64>> {
    let lines = fs::read_to_string(here.join(name)).expect("written");
    let list = |line: &str| -> Vec<f64> {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        value["embedding"].as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
    };
    lines.lines().map(list).collect()
}

#[test]
fn options_of_embeddings_are_those_of_the_library() {
    let folder = desk_with_run();
    let here = folder.path();
    fs::write(here.join("a.txt"), "the lazy dog jumps\nthe quick brown fox\n").expect("memory");
    let made = |name: &str, options: &str| {
        works(here, &format!("embed run --input a.txt --output {name}.jsonl {options}"));
        embeddings(here, &format!("{name}.jsonl"))
    };
    let plain = made("plain", "");
    for (i, pooling) in ["mean", "last", "weighted"].into_iter().enumerate() {
        assert_eq!(made(pooling, &format!("--pooling {pooling}")) == plain, i == 0, "{pooling}");
    }
    let short = made("short", "--max-tokens 4");
    // Of both texts the first four tokens are the same.
    assert!(short[0].iter().zip(&short[1]).all(|(a, b)| (a - b).abs() < 1e-5) && short[0] != plain[0]);
    let whole: Vec<i32> = plain[0].iter().map(|x| (x * 127.0).round() as i32).collect();
    fs::write(here.join("a.txt"), "the lazy dog jumps\n").expect("memory");
    let bytes: Vec<i32> = made("int8", "--output-dtype int8")[0].iter().map(|&x| x as i32).collect();
    assert_eq!(bytes, whole);
    works(here, "embed run --input a.txt --output bits.npy --output-dtype binary");
    let bits = fs::read(here.join("bits.npy")).expect("written")[128..].to_vec();
    let expected: Vec<u8> = plain[0].chunks(8).map(|x| x.iter().fold(0, |byte, &x| byte << 1 | u8::from(x > 0.0))).collect();
    assert_eq!(bits, expected);
}

#[test]
fn batches_of_any_size_differ_by_roundings_alone() {
    let folder = desk_with_run();
    let here = folder.path();
    fs::write(here.join("rows.jsonl"), rows(200)).expect("memory");
    works(here, "embed run --input rows.jsonl --output one.jsonl --batch 1 --empty zero");
    works(here, "embed run --input rows.jsonl --output many.jsonl --empty zero");
    let (one, many) = (embeddings(here, "one.jsonl"), embeddings(here, "many.jsonl"));
    assert!(one.iter().flatten().zip(many.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn a_long_document_is_a_row_for_each_chunk() {
    let folder = desk_with_run();
    let here = folder.path();
    let text = "the lazy dog jumps over the quick brown fox ".repeat(30);
    fs::write(here.join("a.csv"), format!("id,text\n007,{text}\n8,\n9,fox\n")).expect("memory");
    let said = works(here, "embed run --input a.csv --output out.jsonl --chunk-tokens 40 --chunk-overlap 12");
    let lines = fs::read_to_string(here.join("out.jsonl")).expect("written");
    let rows: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(said.contains(&format!("3 rows, {} chunks", rows.len())) && rows.len() > 30, "{said}");
    let mut end = 0;
    for row in rows.iter().filter(|row| row["chunk_row"] == 0) {
        let [start, stop] = ["chunk_start", "chunk_end"].map(|name| row[name].as_u64().expect("a number") as usize);
        assert!(row["id"] == "007" && row["text"] == text[start..stop] && stop - start <= 40, "{row}");
        assert!(start <= end + 1 && stop > end, "{row}");
        end = stop;
    }
    assert_eq!(end, text.trim_end().len());
    assert!(rows[rows.len() - 2]["embedding"].is_null() && rows[rows.len() - 1]["text"] == "fox");
    works(here, "embed run --input a.csv --output out.parquet --chunk-tokens 40 --chunk-overlap 12");
    works(here, "embed run --input out.parquet --output again.npy --empty zero");
    assert_eq!(fs::metadata(here.join("again.npy")).expect("written").len(), 128 + 64 * rows.len() as u64);
}

#[test]
fn several_inputs_are_one_table() {
    let folder = desk_with_run();
    let here = folder.path();
    for (name, text) in [("set/lang=en/a.txt", "the fox\n"), ("set/lang=xx/a.txt", "the dog\nthe box\n")] {
        fs::create_dir_all(here.join(name).parent().expect("a folder")).expect("memory");
        fs::write(here.join(name), text).expect("memory");
    }
    works(here, "embed run --input set --output set.jsonl");
    let lines = fs::read_to_string(here.join("set.jsonl")).expect("written");
    assert!(lines.starts_with("{\"text\":\"the fox\",\"lang\":\"en\",") && lines.lines().count() == 3, "{lines}");
    works(here, "embed run --output two.npy --input set/lang=en/a.txt set/lang=xx/a.txt");
    assert_eq!(fs::metadata(here.join("two.npy")).expect("written").len(), 128 + 3 * 64);
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
