//! Which texts run side by side.

use alloc::vec::Vec;
use core::cmp::Reverse;

/// To which lengths texts are padded: few different ones, so that few workspaces serve all, and none much longer than its text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Buckets {
    /// A length is a multiple of the next power of two divided by this.
    pub divisor: usize,
    /// And a multiple of this.
    pub least: usize,
    /// Longest length; texts that are longer are cut or run in chunks.
    pub longest: usize,
}

impl Buckets {
    /// Eight lengths between powers of two, so that padding is below an eighth: where a workspace is cheap.
    pub const FINE: Self = Self { divisor: 16, least: 1, longest: usize::MAX };
    /// Two lengths between powers of two, multiples of 8: where each length keeps its activations, gradients and recordings.
    pub const COARSE: Self = Self { divisor: 4, least: 8, longest: usize::MAX };

    /// The same, up to a longest length.
    pub const fn up_to(self, longest: usize) -> Self {
        Self { longest, ..self }
    }

    /// The length that a text of `length` tokens is padded to, 1 at least.
    pub fn padded(&self, length: usize) -> usize {
        let step = (length.next_power_of_two() / self.divisor).max(self.least);
        length.div_ceil(step).max(1).saturating_mul(step).min(self.longest)
    }
}

/// Texts that stand side by side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Batch {
    /// The first of them, in the order of the plan.
    pub first: usize,
    /// How many.
    pub rows: usize,
    /// Positions of each, padding included.
    pub time: usize,
}

/// Texts in batches of about one length.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Texts by their number.
    order: Vec<usize>,
    /// Runs of `order`.
    batches: Vec<Batch>,
}

impl Plan {
    /// Batches of at most `tokens` tokens, padding included, or of one text, the longest texts first. Depends on nothing but its
    /// arguments.
    pub fn new(lengths: &[usize], tokens: usize) -> Self {
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|&text| Reverse(lengths[text]));
        let (mut batches, mut first) = (Vec::new(), 0);
        while first < order.len() {
            let time = Buckets::FINE.padded(lengths[order[first]]);
            let rows = (tokens / time).max(1).min(order.len() - first);
            batches.push(Batch { first, rows, time });
            first += rows;
        }
        Self { order, batches }
    }

    /// Batches of at most `tokens` tokens, or of one text, that all have as many rows, the shortest texts first: so that one
    /// workspace serves all batches of its length.
    pub fn even(lengths: &[usize], tokens: usize, buckets: Buckets) -> Self {
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|&text| lengths[text]);
        let time = |rows: &[usize]| rows.last().map_or(1, |&text| buckets.padded(lengths[text]));
        let most = (tokens / time(&order)).clamp(1, order.len().max(1));
        let rows = (1..=most).rev().find(|&rows| order.len().is_multiple_of(rows)).unwrap_or(1);
        let batch = |(i, texts): (usize, &[usize])| Batch { first: i * rows, rows, time: time(texts) };
        let batches = order.chunks(rows).enumerate().map(batch).collect();
        Self { order, batches }
    }

    /// How many batches there are.
    pub fn len(&self) -> usize {
        self.batches.len()
    }

    /// Whether there was no text.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// The texts of batch `i`, by their number.
    ///
    /// # Panics
    /// If there is no such batch.
    pub fn batch(&self, i: usize) -> &[usize] {
        self.texts(self.batches[i])
    }

    /// The texts of a batch of this plan, by their number.
    pub(crate) fn texts(&self, batch: Batch) -> &[usize] {
        &self.order[batch.first..][..batch.rows]
    }

    /// All batches.
    pub(crate) fn batches(&self) -> &[Batch] {
        &self.batches
    }

    /// The text of each row, over all batches.
    pub(crate) fn order(&self) -> &[usize] {
        &self.order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_in_one_batch_beside_its_like() {
        let lengths: Vec<usize> = (0..100).map(|i| 1 + (i * 37) % 50).collect();
        let plan = Plan::new(&lengths, 64);
        let mut seen = Vec::new();
        for i in 0..plan.len() {
            let batch = plan.batch(i);
            let longest = lengths[batch[0]];
            assert!(batch.len() == 1 || batch.len() * Buckets::FINE.padded(longest) <= 64, "{batch:?}");
            assert!(batch.iter().all(|&text| lengths[text] <= longest));
            seen.extend_from_slice(batch);
        }
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..100));
        assert!(Plan::new(&[], 64).is_empty());
        assert_eq!(Plan::new(&[0, 500], 64).len(), 2);
    }

    #[test]
    fn every_text_is_in_one_even_batch_that_is_long_enough() {
        let lengths = [3, 70, 1, 9, 17, 4, 33, 8, 2, 2, 64, 5];
        for tokens in [1, 60, 100, 10_000] {
            let plan = Plan::even(&lengths, tokens, Buckets::COARSE.up_to(50));
            let mut seen = Vec::new();
            for &batch in plan.batches() {
                assert!(batch.rows == 1 || batch.rows * batch.time <= tokens, "{batch:?}");
                assert_eq!(batch.rows, plan.batches()[0].rows);
                let longest = plan.texts(batch).iter().map(|&text| lengths[text]).max().unwrap();
                assert!(batch.time >= longest.min(50) && batch.time <= 50, "{batch:?} for {longest}");
                seen.extend_from_slice(plan.texts(batch));
            }
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..12));
        }
        assert!(Plan::even(&[], 64, Buckets::COARSE).is_empty());
    }

    #[test]
    fn padding_is_tight() {
        for length in 1..2000 {
            let padded = Buckets::FINE.padded(length);
            assert!(padded >= length && padded - length <= length / 8, "{length} in {padded}");
            let padded = Buckets::COARSE.padded(length);
            assert!(padded >= length && padded - length <= 8.max(length / 2) && padded.is_multiple_of(8), "{length} in {padded}");
        }
    }
}
