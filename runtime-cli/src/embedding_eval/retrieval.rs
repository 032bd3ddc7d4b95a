//! Retrieval by embeddings, by BM25, and by both.

use super::{Cranfield, fused, ndcg, ranking, recall, summed};
use anyhow::{Result, anyhow, bail};
use bm25::{Document, Language, SearchEngineBuilder};
use hh::{EmbedOptions, Embedder, Embeddings};
use serde::Serialize;

/// Retrieval metrics of one ranking method, over the queries with relevant documents.
#[derive(Clone, Debug, Serialize)]
pub struct Retrieval {
    /// The ranking method.
    pub by: &'static str,
    /// Number of queries.
    pub questions: usize,
    /// Mean nDCG@10, see [`ndcg`].
    pub ndcg_10: f64,
    /// Mean recall@100, see [`recall`].
    pub recall_100: f64,
}

/// Evaluates retrieval by embeddings, by BM25 with the crate's default settings (stemming, stop words removed, k1 1.2,
/// b 0.75), and by both: their rankings [`fused`], and their scores [`summed`].
///
/// # Errors
/// A text that the tokenizer cannot encode, or a set without relevant documents.
pub fn retrieve(embedder: &Embedder, set: &Cranfield, options: &EmbedOptions) -> Result<Vec<Retrieval>> {
    let by_vectors = cosines(embedder, set, options)?;
    let documents = set.documents.iter().enumerate().map(|(id, text)| Document::new(id, text.as_str()));
    let words = SearchEngineBuilder::<usize>::with_documents(Language::English, documents).build();
    let mut sums = [[0.0; 2]; 4];
    let mut questions = 0;
    for ((question, judgements), cosines) in set.questions.iter().zip(&set.judgements).zip(by_vectors) {
        let mut gains = vec![0.0; set.documents.len()];
        judgements.iter().for_each(|j| gains[j.document] = f64::from(j.gain));
        let relevant = gains.iter().filter(|&&g| g > 0.0).count();
        let mut by_words = vec![0.0; set.documents.len()];
        words.search(question, None).iter().for_each(|found| by_words[found.document.id] = found.score);
        let both = summed(&[&cosines, &by_words]);
        let [vectors, words, both] = [&cosines, &by_words, &both].map(|scores| ranking(scores));
        let hybrid = fused(&[&vectors, &words], set.documents.len());
        let figures = [&vectors, &words, &hybrid, &both]
            .map(|ranking| Some([ndcg(ranking, |d| gains[d], &gains, 10)?, recall(ranking, |d| gains[d] > 0.0, relevant, 100)?]));
        let [Some(vectors), Some(words), Some(hybrid), Some(both)] = figures else { continue };
        questions += 1;
        for (sum, figures) in sums.iter_mut().zip([vectors, words, hybrid, both]) {
            sum.iter_mut().zip(figures).for_each(|(s, f)| *s += f);
        }
    }
    if questions == 0 {
        bail!("no query has a relevant document: there is nothing to evaluate");
    }
    let ways = ["embeddings", "BM25", "both, ranks fused", "both, scores added"].into_iter().zip(sums);
    let mean = |sum: f64| sum / f64::from(questions);
    Ok(ways.map(|(by, [n, r])| Retrieval { by, questions: questions as usize, ndcg_10: mean(n), recall_100: mean(r) }).collect())
}

/// The cosine similarity of each query to each document; −1, the minimum, for a document without text.
fn cosines(embedder: &Embedder, set: &Cranfield, options: &EmbedOptions) -> Result<Vec<Vec<f32>>> {
    let (places, texts): (Vec<usize>, Vec<&str>) =
        set.documents.iter().enumerate().filter(|(_, text)| !text.is_empty()).map(|(i, text)| (i, text.as_str())).unzip();
    let embed = |what: &str, texts: &[&str], kind: EmbedOptions| -> Result<Embeddings> {
        let options = EmbedOptions { prompt: kind.prompt, ..options.clone() };
        embedder.embed(texts, &options).map_err(|e| anyhow!("{what}: {e}"))
    };
    let documents = embed("the non-empty documents", &texts, EmbedOptions::document())?;
    let questions: Vec<&str> = set.questions.iter().map(String::as_str).collect();
    let questions = embed("the queries", &questions, EmbedOptions::query())?;
    let all = questions.similarity(&documents)?;
    let spread = |row: &[f32]| {
        let mut cosines = vec![-1.0; set.documents.len()];
        places.iter().zip(row).for_each(|(&place, &cosine)| cosines[place] = cosine);
        cosines
    };
    Ok(all.chunks(documents.len().max(1)).map(spread).collect())
}
