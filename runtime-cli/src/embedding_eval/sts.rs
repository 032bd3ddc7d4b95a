//! Scored sentence pairs, in the format of the STS Benchmark (Cer et al. 2017).

use super::spearman;
use crate::data::source::Source;
use anyhow::{Context, Result, anyhow, bail};
use hh::{EmbedOptions, Embedder};
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

/// Reads pairs from tab-separated lines: the score in the fifth field, the sentences in the sixth and seventh. There is no
/// quoting, although the files are named .csv: quotation marks are text.
///
/// # Errors
/// A file that cannot be read, an invalid line, or fewer than two pairs.
pub fn read(path: &Path) -> Result<Vec<Pair>> {
    let mut source = Source::open(path)?;
    let (mut pairs, mut line) = (Vec::new(), String::new());
    while source.filled_line(&mut line)? {
        pairs.push(pair(&line).with_context(|| source.place())?);
    }
    if pairs.len() < 2 {
        bail!("{} has {} sentence pairs; a correlation needs at least two", path.display(), pairs.len());
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
    let pairs = read(path)?;
    let sentences: Vec<&str> = pairs.iter().flat_map(|pair| &pair.sentences).map(String::as_str).collect();
    let start = Instant::now();
    let vectors = embedder.embed(&sentences, options).map_err(|e| anyhow!("{}, at two sentences per line: {e}", path.display()))?;
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
