//! Scored sentence pairs, in the format of the STS Benchmark (Cer et al. 2017).

use super::spearman;
use crate::data::source::Source;
use crate::table::Table;
use anyhow::{Context, Result, anyhow, bail};
use hh::{EmbedOptions, Embedder, Error};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Two sentences with a human rating of their similarity.
#[derive(Clone, PartialEq, Debug)]
pub struct Pair {
    /// From 0 (unrelated) to 5 (equivalent).
    pub score: f64,
    /// The sentences.
    pub sentences: [String; 2],
}

/// Agreement of cosine similarities with human ratings.
#[derive(Clone, Debug, Serialize)]
pub struct Similarity {
    /// The file.
    #[serde(serialize_with = "crate::files::display")]
    pub file: PathBuf,
    /// Number of pairs.
    pub pairs: usize,
    /// Spearman's rank correlation × 100.
    pub spearman: f64,
    /// Embeddings per second, in one call.
    pub sentences_per_second: f64,
}

/// A pair, and its position for messages.
type Placed = (Pair, String);

/// Names of the columns of the sentences, and of the score, in common data sets.
const SENTENCES: [[&str; 2]; 6] = [
    ["sentence1", "sentence2"],
    ["sentence_1", "sentence_2"],
    ["sentence_A", "sentence_B"],
    ["text1", "text2"],
    ["text_1", "text_2"],
    ["text_a", "text_b"],
];
const SCORES: [&str; 6] = ["score", "similarity_score", "similarity", "relatedness_score", "label", "gold_label"];

/// Reads pairs from a table (.jsonl, .json, .parquet, and .csv or .tsv with a header) with columns such as `sentence1`, `sentence2`
/// and `score`, or from the tab-separated lines of the STS Benchmark, whatever their name: the score in the fifth field, the
/// sentences in the sixth and seventh. There is no quoting, although the files are named .csv: quotation marks are text.
///
/// # Errors
/// A file that cannot be read, an invalid line, a blank sentence, or fewer than two pairs.
pub fn read(path: &Path) -> Result<Vec<Pair>> {
    Ok(placed(path)?.into_iter().map(|(pair, _)| pair).collect())
}

fn placed(path: &Path) -> Result<Vec<Placed>> {
    let pairs = if is_table(path)? { rows(path)? } else { lines(path)? };
    if let Some((_, place)) = pairs.iter().find(|(pair, _)| pair.sentences.iter().any(|sentence| sentence.trim().is_empty())) {
        bail!("{place} has an empty sentence: correct or remove it");
    }
    if pairs.len() < 2 {
        bail!("{} has {} sentence pairs; a correlation needs at least two", path.display(), pairs.len());
    }
    Ok(pairs)
}

/// Whether a file is a table, by its name or its first line.
fn is_table(path: &Path) -> Result<bool> {
    let mut source = Source::open(path)?;
    if [".jsonl", ".ndjson", ".json", ".parquet", ".pq"].iter().any(|ending| source.ends_with(ending)) {
        return Ok(true);
    }
    let mut line = String::new();
    source.filled_line(&mut line)?;
    let mut cells = line.split(['\t', ',', ';', '|']).map(|cell| cell.trim().trim_matches('"'));
    Ok(cells.any(|cell| SENTENCES.iter().flatten().any(|name| cell.eq_ignore_ascii_case(name))))
}

fn lines(path: &Path) -> Result<Vec<Placed>> {
    let mut source = Source::open(path)?;
    let (mut pairs, mut line) = (Vec::new(), String::new());
    while source.filled_line(&mut line)? {
        pairs.push((pair(&line).with_context(|| source.place())?, source.place()));
    }
    Ok(pairs)
}

fn rows(path: &Path) -> Result<Vec<Placed>> {
    let table = Table::open(path)?;
    let columns: Vec<String> = table.columns().map(str::to_owned).collect();
    let named = |name: &&str| columns.iter().find(|column| column.eq_ignore_ascii_case(name)).map(String::as_str);
    let sentences = SENTENCES.iter().find_map(|[one, other]| Some([named(one)?, named(other)?]));
    let (Some(sentences), Some(score)) = (sentences, SCORES.iter().find_map(named)) else {
        bail!(
            "{} has the columns {}; sentence pairs have columns such as sentence1, sentence2 and score",
            path.display(),
            columns.join(", ")
        );
    };
    let scores = table.numbers(score)?;
    let mut pairs = Vec::new();
    for batch in table.texts(&sentences, 1024)? {
        let batch = batch?;
        for (one, other) in batch[0].iter().zip(&batch[1]) {
            let place = table.place(pairs.len() as u64);
            let Some(&score) = scores.get(pairs.len()) else { bail!("{} has changed while it was read", path.display()) };
            let sentences = [one, other].map(|sentence| sentence.as_deref().unwrap_or("").trim().to_owned());
            pairs.push((Pair { score, sentences }, place));
        }
    }
    Ok(pairs)
}

fn pair(line: &str) -> Result<Pair> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [_, _, _, _, score, one, other, ..] = fields[..] else {
        bail!("it has {} tab-separated fields instead of 7: genre, file, year, number, score and two sentences", fields.len());
    };
    let Some(score) = score.trim().parse::<f64>().ok().filter(|score| score.is_finite()) else {
        bail!("its fifth field is {score:?}, which is not a score");
    };
    Ok(Pair { score, sentences: [one, other].map(|s| s.trim().to_owned()) })
}

/// Evaluates the sentence pairs of one file.
///
/// # Errors
/// Those of [`read`]; a sentence that the tokenizer cannot encode; scores or similarities that are all equal.
pub fn similarity(embedder: &Embedder, path: &Path, options: &EmbedOptions) -> Result<Similarity> {
    let (pairs, places): (Vec<Pair>, Vec<String>) = placed(path)?.into_iter().unzip();
    let sentences: Vec<&str> = pairs.iter().flat_map(|pair| &pair.sentences).map(String::as_str).collect();
    let start = Instant::now();
    let vectors = embedder.embed(&sentences, options).map_err(|e| match e {
        Error::Text { text, source } => anyhow!("{} cannot be embedded: {source}", places[text / 2]),
        Error::Empty { text } => anyhow!("{} has an empty sentence: correct or remove it", places[text / 2]),
        e => anyhow!("{}: {e}", path.display()),
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let cosine = |i: usize| Ok(f64::from(vectors.vector(2 * i).similarity(vectors.vector(2 * i + 1))?));
    let cosines: Vec<f64> = (0..pairs.len()).map(cosine).collect::<Result<_>>()?;
    let scores: Vec<f64> = pairs.iter().map(|pair| pair.score).collect();
    let Some(correlation) = spearman(&cosines, &scores) else {
        bail!("{}: all scores or all cosine similarities are equal, so the correlation is undefined", path.display());
    };
    Ok(Similarity {
        file: path.to_owned(),
        pairs: pairs.len(),
        spearman: 100.0 * correlation,
        sentences_per_second: sentences.len() as f64 / seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_tab_separated_without_quoting() {
        let line = "main-news\tMSRpar\t2012test\t0001\t2.5\tHe said \"no.\t\"Yes\", she said.\tlicence";
        let expected = Pair { score: 2.5, sentences: ["He said \"no.".into(), "\"Yes\", she said.".into()] };
        assert_eq!(pair(line).unwrap(), expected);
        assert!(pair("a\tb").unwrap_err().to_string().contains("2 tab-separated fields"));
        assert!(pair("a\tb\tc\td\tNaN\tx\ty").unwrap_err().to_string().contains("\"NaN\""));
    }

    #[cfg(feature = "tables")]
    #[test]
    fn tables_of_every_format_are_the_same_pairs() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let lines = "g\tf\ty\t1\t5\tA dog, \"running\"\tA dog\n\ng\tf\ty\t2\t0.5\tred\tblue\n";
        let expected = read(&write("a.csv", lines)).unwrap();
        assert_eq!(expected.len(), 2);
        for (name, content) in [
            ("b.csv", "id,sentence1,sentence2,score\n1,\"A dog, \"\"running\"\"\",A dog,5.0\n2,red,blue,0.5\n"),
            ("b.tsv", "label\tsentence_A\tsentence_B\n5\t\"A dog, \"\"running\"\"\"\tA dog\n0.5\tred\tblue\n"),
            (
                "b.jsonl",
                "{\"sentence1\":\"A dog, \\\"running\\\"\",\"sentence2\":\"A dog\",\"score\":5}\n{\"sentence1\":\"red\",\"sentence2\":\"blue\",\"score\":0.5}\n",
            ),
        ] {
            assert_eq!(read(&write(name, content)).unwrap(), expected, "{name}");
        }
        for (name, content, said) in [
            ("c.csv", "g\tf\ty\t1\t5\ta\tb\n\ng\tf\ty\t2\t0.5\t \tblue\n", "line 3 of"),
            ("c.jsonl", "{\"sentence1\":\"a\",\"sentence2\":\"\",\"score\":5}\n", "row 1 of"),
            ("d.jsonl", "{\"sentence1\":\"a\",\"sentence2\":\"b\",\"score\":null}\n", "has no number"),
            ("e.jsonl", "{\"one\":\"a\",\"two\":\"b\",\"score\":1}\n", "has the columns one, two, score"),
        ] {
            let error = format!("{:#}", read(&write(name, content)).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }

    #[cfg(feature = "english")]
    #[test]
    fn the_english_model_keeps_its_score_on_sts() {
        let shared = std::env::var_os("HH_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), Into::into);
        let file = shared.join("data/stsbenchmark/sts-test.csv");
        if !file.is_file() {
            return eprintln!("skipped: no STS Benchmark at {} (set HH_SHARED)", file.display());
        }
        let found = similarity(&Embedder::english().unwrap(), &file, &EmbedOptions::default()).unwrap().spearman;
        assert!((78.9..79.3).contains(&found), "{found}");
    }
}
