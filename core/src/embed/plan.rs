//! Which texts run side by side.

use alloc::vec::Vec;
use core::{cmp::Reverse, ops::Range};

/// Texts in batches of about one length, the longest first.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Texts by their number, the longest first.
    order: Vec<usize>,
    /// Runs of `order`.
    batches: Vec<Range<usize>>,
}

impl Plan {
    /// Batches of at most `tokens` tokens, padding included, or of one text. Depends on nothing but its arguments.
    pub fn new(lengths: &[usize], tokens: usize) -> Self {
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|&text| Reverse(lengths[text]));
        let (mut batches, mut start) = (Vec::new(), 0);
        while start < order.len() {
            let rows = (tokens / room_for(lengths[order[start]]).max(1)).max(1);
            let end = order.len().min(start + rows);
            batches.push(start..end);
            start = end;
        }
        Self { order, batches }
    }

    /// How many there are.
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
        &self.order[self.batches[i].clone()]
    }
}

/// Positions of the room that a text of `time` tokens runs in: eight sizes between powers of two, so padding is below an
/// eighth and few sizes are in use.
pub(super) fn room_for(time: usize) -> usize {
    time.next_multiple_of((time.next_power_of_two() / 16).max(1))
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
            assert!(batch.len() == 1 || batch.len() * room_for(longest) <= 64, "{batch:?}");
            assert!(batch.iter().all(|&text| lengths[text] <= longest));
            seen.extend_from_slice(batch);
        }
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..100));
        assert!(Plan::new(&[], 64).is_empty());
        assert_eq!(Plan::new(&[0, 500], 64).len(), 2);
    }

    #[test]
    fn rooms_are_tight() {
        for time in 1..2000 {
            let room = room_for(time);
            assert!(room >= time && room - time <= time / 8, "{time} in {room}");
        }
    }
}
