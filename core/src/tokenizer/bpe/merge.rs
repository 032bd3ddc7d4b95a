//! The merges of a byte-pair encoding.

use alloc::{collections::BinaryHeap, vec::Vec};
use core::cmp::Reverse;

/// Two ids that become one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Merge {
    pub(super) pair: (u32, u32),
    /// Lower ranks go first.
    pub(super) rank: u32,
    pub(super) made: u32,
}

/// All merges, sorted by their pairs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Merges(Vec<Merge>);

/// A piece's symbols as a chain: what has been merged into its left neighbour has no length.
struct Symbol {
    id: u32,
    before: usize,
    after: usize,
    alive: bool,
}

const NONE: usize = usize::MAX;

impl Merges {
    /// Merges in the order of their ranks; of a pair that comes twice the later one counts, as in `tokenizers`.
    pub(super) fn new(mut merges: Vec<Merge>) -> Self {
        merges.sort_unstable_by_key(|m| (m.pair, Reverse(m.rank)));
        merges.dedup_by_key(|m| m.pair);
        Self(merges)
    }

    fn find(&self, pair: (u32, u32)) -> Option<Merge> {
        self.0.binary_search_by_key(&pair, |m| m.pair).ok().map(|at| self.0[at])
    }

    /// Merges the pair of the lowest rank, the leftmost of several, until no pair is left; appends the ids to `out`.
    pub(super) fn apply(&self, ids: impl Iterator<Item = u32>, out: &mut Vec<u32>) {
        let mut chain: Vec<Symbol> =
            ids.enumerate().map(|(i, id)| Symbol { id, before: i.wrapping_sub(1), after: i + 1, alive: true }).collect();
        if let Some(last) = chain.last_mut() {
            last.after = NONE;
        }
        // Rank, place, and the pair as it was seen: a merge nearby may have changed it since.
        let mut queue = BinaryHeap::new();
        let see = |queue: &mut BinaryHeap<_>, chain: &[Symbol], at: usize| {
            if let Some(right) = chain.get(at).and_then(|left| chain.get(left.after))
                && let Some(merge) = self.find((chain[at].id, right.id))
            {
                queue.push(Reverse((merge.rank, at, merge.pair, merge.made)));
            }
        };
        (0..chain.len()).for_each(|at| see(&mut queue, &chain, at));
        while let Some(Reverse((_, at, pair, made))) = queue.pop() {
            let right = chain[at].after;
            if !chain[at].alive || right == NONE || (chain[at].id, chain[right].id) != pair {
                continue;
            }
            chain[right].alive = false;
            let after = chain[right].after;
            (chain[at].id, chain[at].after) = (made, after);
            if after != NONE {
                chain[after].before = at;
            }
            see(&mut queue, &chain, at);
            let before = chain[at].before;
            if before != NONE {
                see(&mut queue, &chain, before);
            }
        }
        out.extend(chain.iter().filter(|symbol| symbol.alive).map(|symbol| symbol.id));
    }
}
