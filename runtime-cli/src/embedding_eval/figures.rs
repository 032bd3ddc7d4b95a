//! Metrics of embeddings and rankings.

use std::cmp::Ordering;

/// Spearman's rank correlation, between −1 and 1: Pearson's correlation of the ranks, where ties get their mean rank.
/// `None` for fewer than two values, or if all values of a side are equal.
///
/// # Panics
/// If the sides differ in length.
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    assert_eq!(a.len(), b.len(), "pairs");
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 + 1.0) / 2.0;
    let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    let spread = (sum(&a, &a) * sum(&b, &b)).sqrt();
    (spread > 0.0).then(|| sum(&a, &b) / spread)
}

/// Ranks from 1, where ties get their mean rank.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for run in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let last = first + run.len();
        run.iter().for_each(|&i| ranks[i] = (first + 1 + last) as f64 / 2.0);
        first = last;
    }
    ranks
}

/// Normalised discounted cumulative gain of the first `k` of a ranking (Järvelin and Kekäläinen 2002), as in trec_eval:
/// `Σ gain / log2(1 + rank)`, divided by that of the ideal ranking. `gain` is that of a document, `gains` are those of all.
/// `None` if no document has a gain.
pub fn ndcg(ranking: &[usize], gain: impl Fn(usize) -> f64, gains: &[f64], k: usize) -> Option<f64> {
    let discounted =
        |gains: &mut dyn Iterator<Item = f64>| gains.take(k).zip(2u32..).map(|(g, rank)| g / f64::from(rank).log2()).sum::<f64>();
    let mut best = gains.to_vec();
    best.sort_by(|a, b| b.total_cmp(a));
    let ideal = discounted(&mut best.into_iter());
    (ideal > 0.0).then(|| discounted(&mut ranking.iter().map(|&d| gain(d))) / ideal)
}

/// The fraction of the `count` relevant documents among the first `k` of a ranking; `None` if `count` is 0.
pub fn recall(ranking: &[usize], relevant: impl Fn(usize) -> bool, count: usize, k: usize) -> Option<f64> {
    (count > 0).then(|| ranking.iter().take(k).filter(|&&d| relevant(d)).count() as f64 / count as f64)
}

/// Documents by descending score; ties keep their order.
pub fn ranking(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&i, &j| scores[j].partial_cmp(&scores[i]).unwrap_or(Ordering::Equal));
    order
}

/// Reciprocal rank fusion (Cormack, Clarke and Büttcher 2009): a document's score is `Σ 1 / (60 + rank)` over the rankings.
pub fn fused(rankings: &[&[usize]], documents: usize) -> Vec<usize> {
    let mut scores = vec![0.0f32; documents];
    for ranking in rankings {
        ranking.iter().zip(1u16..).for_each(|(&d, rank)| scores[d] += 1.0 / (60.0 + f32::from(rank)));
    }
    self::ranking(&scores)
}

/// The sum of several kinds of scores, each min-max scaled to 0..1.
///
/// # Panics
/// If they differ in length.
pub fn summed(kinds: &[&[f32]]) -> Vec<f32> {
    let mut sum = vec![0.0; kinds.first().map_or(0, |scores| scores.len())];
    for scores in kinds {
        assert_eq!(scores.len(), sum.len(), "scores of as many documents");
        let (least, most) = scores.iter().fold((f32::MAX, f32::MIN), |(least, most), &s| (least.min(s), most.max(s)));
        let spread = (most - least).max(f32::MIN_POSITIVE);
        sum.iter_mut().zip(*scores).for_each(|(sum, s)| *sum += (s - least) / spread);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spearman_agrees_with_hand_computed_values_and_scipy() {
        // Ranks 1 2 3 4 5 against 2 1 4 3 5: 1 − 6 Σ d² / (n (n² − 1)) = 1 − 6 · 4 / 120.
        assert!((spearman(&[1.0, 2.0, 3.0, 4.0, 5.0], &[20.0, 10.0, 40.0, 30.0, 50.0]).unwrap() - 0.8).abs() < 1e-12);
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[9.0, 5.0, -1.0]), Some(-1.0));
        // With ties: scipy.stats.spearmanr([0, 1, 1, 2, 5, 5, 5], [1, 0, 3, 3, 2, 7, 8]).
        let tied = spearman(&[0.0, 1.0, 1.0, 2.0, 5.0, 5.0, 5.0], &[1.0, 0.0, 3.0, 3.0, 2.0, 7.0, 8.0]).unwrap();
        assert!((tied - TIED).abs() < 1e-12, "{tied}");
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[], &[]), None);
    }

    const TIED: f64 = 0.670_288_734_443_807_9;

    #[test]
    fn ndcg_and_recall_agree_with_hand_computed_values() {
        let gains = [0.0, 3.0, 0.0, 1.0, 2.0];
        let ranking = [4, 0, 1, 2, 3];
        let gain = |d: usize| gains[d];
        // (2 / 1 + 0 + 3 / 2) / (3 / 1 + 2 / log2 3 + 1 / 2)
        let ideal = 3.0 + 2.0 / 3f64.log2() + 0.5;
        assert!((ndcg(&ranking, gain, &gains, 3).unwrap() - 3.5 / ideal).abs() < 1e-12);
        assert!((ndcg(&ranking, gain, &gains, 10).unwrap() - (3.5 + 1.0 / 6f64.log2()) / ideal).abs() < 1e-12);
        assert!((ndcg(&[1, 4, 3], gain, &gains, 10).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(ndcg(&ranking, |_| 0.0, &[0.0; 5], 10), None);
        assert_eq!(recall(&ranking, |d| gains[d] > 0.0, 3, 3), Some(2.0 / 3.0));
        assert_eq!(recall(&ranking, |_| false, 0, 3), None);
    }

    #[test]
    fn fusion_prefers_documents_that_both_rankings_rate_high() {
        assert_eq!(ranking(&[0.5, 2.0, 0.5, -1.0]), [1, 0, 2, 3]);
        // 1/61 + 1/63 > 2/62 for document 0; document 3 is last in one and missing in the other.
        assert_eq!(fused(&[&[0, 1, 2, 3], &[2, 1, 0]], 4), [0, 2, 1, 3]);
        assert_eq!(summed(&[&[1.0, 3.0, 2.0], &[0.0, 0.0, 8.0]]), [0.0, 1.0, 1.5]);
        assert_eq!(summed(&[&[5.0, 5.0]]), [0.0, 0.0]);
    }
}
