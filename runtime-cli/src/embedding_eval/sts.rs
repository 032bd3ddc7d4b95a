//! Sentence pairs with a score of their likeness, in the format of the STS Benchmark (Cer et al. 2017).

use super::spearman;
use crate::data::source::Source;
use anyhow::{Context, Result, anyhow, bail};
use hh::{EmbedOptions, Embedder};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Two sentences, and how alike people found them.
#[derive(Clone, PartialEq, Debug)]
pub struct Pair {
    /// From 0, nothing in common, to 5, the same.
    pub score: f64,
    /// The sentences.
    pub sentences: [String; 2],
}

/// How well cosines agree with people.
#[derive(Clone, Debug, Serialize)]
pub struct Similarity {
    /// The file.
    pub file: PathBuf,
    /// Pairs that it has.
    pub pairs: usize,
    /// Spearman's rank correlation × 100.
    pub spearman: f64,
    /// Vectors a second, in one call.
    pub sentences_per_second: f64,
}

/// Reads pairs: fields between tabs, the score in the fifth, sentences in the sixth and seventh. A quotation mark is one: the
/// files look like CSV and are none.
///
/// # Errors
/// One sentence for a file that cannot be read, and for a line that is no pair.
pub fn read(path: &Path) -> Result<Vec<Pair>> {
    let mut source = Source::open(path)?;
    let (mut pairs, mut line) = (Vec::new(), String::new());
    while source.filled_line(&mut line)? {
        pairs.push(pair(&line).with_context(|| source.place())?);
    }
    if pairs.len() < 2 {
        bail!("{} has {} pairs of sentences; a correlation needs two at least", path.display(), pairs.len());
    }
    Ok(pairs)
}

fn pair(line: &str) -> Result<Pair> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [_, _, _, _, score, one, other, ..] = fields[..] else {
        bail!(
            "it has {} fields between tabs, and the STS Benchmark has 7: genre, file, year, number, score and two sentences",
            fields.len()
        );
    };
    let Some(score) = score.trim().parse::<f64>().ok().filter(|score| score.is_finite()) else {
        bail!("its fifth field is {score:?}, which is no score");
    };
    Ok(Pair { score, sentences: [one, other].map(|s| s.trim().to_owned()) })
}

/// Judges by one file.
///
/// # Errors
/// Those of [`read`]; a sentence that the model cannot read; scores that are all equal.
pub fn similarity(embedder: &Embedder, path: &Path, options: &EmbedOptions) -> Result<Similarity> {
    let pairs = read(path)?;
    let sentences: Vec<&str> = pairs.iter().flat_map(|pair| &pair.sentences).map(String::as_str).collect();
    let start = Instant::now();
    let vectors = embedder.embed(&sentences, options).map_err(|e| anyhow!("{}, counting two sentences a line: {e}", path.display()))?;
    let seconds = start.elapsed().as_secs_f64();
    let cosine = |i: usize| Ok(f64::from(vectors.vector(2 * i).similarity(vectors.vector(2 * i + 1))?));
    let cosines: Vec<f64> = (0..pairs.len()).map(cosine).collect::<Result<_>>()?;
    let scores: Vec<f64> = pairs.iter().map(|pair| pair.score).collect();
    let Some(correlation) = spearman(&cosines, &scores) else {
        bail!("{}: all scores, or all cosines, are equal: there is nothing to correlate", path.display());
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
    fn a_line_is_raw_text_between_tabs() {
        let line = "main-news\tMSRpar\t2012test\t0001\t2.5\tHe said \"no.\t\"Yes\", she said.\tlicence";
        let wanted = Pair { score: 2.5, sentences: ["He said \"no.".into(), "\"Yes\", she said.".into()] };
        assert_eq!(pair(line).unwrap(), wanted);
        assert!(pair("a\tb").unwrap_err().to_string().contains("2 fields"));
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
