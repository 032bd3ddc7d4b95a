//! `hh-runtime eval-embeddings` as a user runs it.

use super::{RUN, desk_with_run, refused, works};
use std::fs;

/// Four pairs in words of the run's text.
const PAIRS: &str = "g\tf\ty\t1\t5.0\tthe quick fox\tthe quick fox\ng\tf\ty\t2\t0.5\tpack my box\tthe lazy dog\n\
    g\tf\ty\t3\t3.0\tthe brown fox\tthe brown dog\ng\tf\ty\t4\t1.0\tliquor jugs\tover the\n";

/// Two pairs as a table.
const LINES: &str = "{\"sentence1\": \"a fox\", \"sentence2\": \"a quick fox\", \"score\": 4}\n\
    {\"sentence1\": \"a fox\", \"sentence2\": \"pasta with salt\", \"score\": 0.5}\n";

#[test]
fn vectors_are_judged_by_sentences_and_by_documents() {
    let folder = desk_with_run();
    let here = folder.path();
    fs::write(here.join("pairs.csv"), PAIRS).expect("memory");
    fs::create_dir(here.join("set")).expect("memory");
    fs::write(here.join("set/cran.all.1400"), ".I 1\n.W\nthe quick fox\n.I 2\n.W\npack my box\n.I 3\n.T\n.W\n").expect("memory");
    fs::write(here.join("set/cran.qry"), ".I 001\n.W\njugs of the box\n.I 007\n.W\nfox\n").expect("memory");
    fs::write(here.join("set/cranqrel"), "1 2 1\n2 1 -1\n2 2 4\n").expect("memory");
    let said = works(here, "eval-embeddings run --sts pairs.csv pairs.csv --cranfield set --json figures.json --threads 2");
    assert!(said.contains("16 dimensions") && said.contains("BM25") && said.contains("both"), "{said}");
    let figures: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(here.join("figures.json")).expect("it is there")).expect("JSON");
    assert_eq!((figures["sts"].as_array().map(Vec::len), figures["sts"][0]["pairs"].as_u64()), (Some(2), Some(4)), "{figures}");
    let bm25 = &figures["cranfield"][1];
    assert_eq!(
        (bm25["by"].as_str(), bm25["ndcg_10"].as_f64(), bm25["recall_100"].as_f64()),
        (Some("BM25"), Some(1.0), Some(1.0)),
        "{figures}"
    );
    fs::write(here.join("pairs.jsonl"), LINES).expect("memory");
    let english = works(here, "eval-embeddings --sts pairs.jsonl");
    assert!(english.contains("english, 384 dimensions") && english.contains("pairs.jsonl"), "{english}");
    assert!(works(here, "eval-embeddings run --sts pairs.csv --dim 4 --pooling last").contains("4 dimensions"));
}

#[test]
fn pairs_are_the_same_in_every_format() {
    let folder = desk_with_run();
    let here = folder.path();
    fs::write(here.join("pairs.jsonl"), LINES).expect("memory");
    fs::write(here.join("pairs.json"), format!("[{}]", LINES.trim_end().replace('\n', ","))).expect("memory");
    let rows = "a fox,a quick fox,4\na fox,pasta with salt,0.5\n";
    fs::write(here.join("pairs.csv"), format!("sentence1,sentence2,score\n{rows}")).expect("memory");
    fs::write(here.join("pairs.tsv"), format!("sentence1\tsentence2\tscore\n{}", rows.replace(',', "\t"))).expect("memory");
    works(here, "embed run --input pairs.jsonl --text-column sentence1 --output pairs.parquet");
    works(here, "eval-embeddings run --sts pairs.jsonl pairs.json pairs.csv pairs.tsv pairs.parquet --json figures.json");
    let figures: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(here.join("figures.json")).expect("it is there")).expect("JSON");
    let found: Vec<_> = figures["sts"].as_array().expect("a list").iter().map(|file| (&file["pairs"], &file["spearman"])).collect();
    assert!(found.len() == 5 && *found[0].0 == 2 && found.iter().all(|file| *file == found[0]), "{figures}");
}

#[test]
fn what_cannot_be_judged_is_refused() {
    let folder = desk_with_run();
    let here = folder.path();
    fs::write(here.join("pairs.csv"), PAIRS).expect("memory");
    fs::write(here.join("short.csv"), "a\tb\n").expect("memory");
    fs::write(here.join("empty.csv"), "").expect("memory");
    fs::write(here.join("blank.csv"), PAIRS.replace("liquor jugs", " ")).expect("memory");
    for (line, said) in [
        ("run", "--sts"),
        ("run --sts missing.csv", "no such file"),
        ("run --sts short.csv", "line 1"),
        ("run --sts empty.csv", "is empty"),
        ("run --sts blank.csv", "line 4 of blank.csv"),
        ("run --sts pairs.csv --dim 17", "truncate_dim is 17"),
        ("run --cranfield .", "cran.all.1400"),
        ("missing --sts pairs.csv", "missing"),
        ("pairs.csv --sts pairs.csv", "pairs.csv"),
    ] {
        refused(here, &format!("eval-embeddings {line}"), &[said]);
    }
    assert!(works(RUN.path(), "eval-embeddings --help").contains("Examples:"));
}
