//! Training a byte-pair encoding (Sennrich et al. 2016) in time n log n of the text, however long its words are.
//!
//! The merges are those of the trainer of the `tokenizers` crate, which takes time n² of the longest word: DNA, or a language
//! without spaces. Every pair knows its places in the words, and the symbols of a word are a linked list.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};
use tokenizers::models::bpe::BPE;
use tokenizers::parallelism::MaybeParallelBridge;
use tokenizers::{AddedToken, Result};

/// Fewest occurrences of a pair that becomes a token.
const LEAST: i64 = 2;
/// The id of a symbol that is merged into the one before it, and the place before the first and after the last symbol of a word.
const NONE: u32 = u32::MAX;

/// Learns the merges from the words that it is [fed](tokenizers::Trainer::feed).
pub(super) struct Trainer {
    /// Tokens at most, the alphabet among them.
    size: usize,
    alphabet: BTreeSet<char>,
    /// Occurrences of each word.
    words: HashMap<String, i64>,
}

impl Trainer {
    pub(super) fn new(size: usize, alphabet: impl IntoIterator<Item = char>) -> Self {
        Self { size, alphabet: alphabet.into_iter().collect(), words: HashMap::new() }
    }
}

impl tokenizers::Trainer for Trainer {
    type Model = BPE;

    fn should_show_progress(&self) -> bool {
        false
    }

    fn feed<I, S, F>(&mut self, texts: I, words_of: F) -> Result<()>
    where
        I: Iterator<Item = S> + Send,
        S: AsRef<str> + Send,
        F: Fn(&str) -> Result<Vec<String>> + Sync,
    {
        let count = |text: S| -> Result<HashMap<String, i64>> {
            let mut counts = HashMap::new();
            words_of(text.as_ref())?.into_iter().for_each(|word| *counts.entry(word).or_default() += 1);
            Ok(counts)
        };
        let sum = |a: Result<HashMap<String, i64>>, b: Result<HashMap<String, i64>>| {
            let (a, b) = (a?, b?);
            let (mut all, few) = if a.len() < b.len() { (b, a) } else { (a, b) };
            few.into_iter().for_each(|(word, count)| *all.entry(word).or_default() += count);
            Ok(all)
        };
        self.words = texts.maybe_par_bridge().map(count).reduce(|| Ok(HashMap::new()), sum)?;
        Ok(())
    }

    fn train(&self, model: &mut BPE) -> Result<Vec<AddedToken>> {
        let (tokens, merges) = learn(&self.words, &self.alphabet, self.size)?;
        let text = |id: u32| tokens[id as usize].clone();
        let merges = merges.into_iter().map(|(a, b)| (text(a), text(b))).collect();
        let vocabulary = tokens.iter().cloned().zip(0..).collect::<super::foreign::Vocabulary>();
        *model = BPE::builder().vocab_and_merges(vocabulary, merges).build()?;
        Ok(Vec::new())
    }
}

type Pair = (u32, u32);

/// What is known of a pair of neighbours.
#[derive(Default)]
struct Known {
    /// Occurrences. After a pair was merged, they stay, and a pair that forms again counts on from there, as in `tokenizers`.
    count: i64,
    /// Where it was seen, and may have gone since; emptied when no entry of the queue needs it.
    places: Vec<u32>,
    /// Places that entries of the queue cover.
    queued: usize,
    /// Entries of the queue.
    entries: u32,
}

/// A pair that waits to be merged in the words of some of its places. The largest is the most frequent, then the first pair.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    count: i64,
    pair: Reverse<Pair>,
    /// Range of its places.
    from: Reverse<usize>,
    to: usize,
}

/// All words, one after the other, each a linked list of symbols. A place is an index.
#[derive(Default)]
struct Symbols {
    id: Vec<u32>,
    before: Vec<u32>,
    after: Vec<u32>,
    /// Which word it is of.
    word: Vec<u32>,
}

impl Symbols {
    fn push(&mut self, word: u32, ids: impl Iterator<Item = u32>) {
        let first = self.id.len();
        self.id.extend(ids);
        for place in first..self.id.len() {
            self.before.push(if place == first { NONE } else { place as u32 - 1 });
            self.after.push(if place + 1 == self.id.len() { NONE } else { place as u32 + 1 });
            self.word.push(word);
        }
    }

    /// The symbol at a place, and its neighbour at `next`.
    fn id(&self, place: u32) -> Option<u32> {
        self.id.get(place as usize).copied()
    }

    fn pair(&self, place: u32) -> Option<Pair> {
        Some((self.id(place)?, self.id(self.after[place as usize])?))
    }

    /// Makes the pair at a place one symbol. Returns the places before and after it.
    fn merge(&mut self, place: u32, made: u32) -> (u32, u32) {
        let (before, gone) = (self.before[place as usize], self.after[place as usize]);
        let after = self.after[gone as usize];
        self.id[place as usize] = made;
        self.id[gone as usize] = NONE;
        self.after[place as usize] = after;
        if after != NONE {
            self.before[after as usize] = place;
        }
        (before, after)
    }
}

/// The tokens by id, and the merges in the order of their ranks.
fn learn(words: &HashMap<String, i64>, alphabet: &BTreeSet<char>, size: usize) -> Result<(Vec<String>, Vec<Pair>)> {
    let letters: BTreeSet<char> = words.keys().flat_map(|word| word.chars()).chain(alphabet.iter().copied()).collect();
    let mut tokens: Vec<String> = letters.iter().map(char::to_string).collect();
    let of_letter: HashMap<char, u32> = letters.into_iter().zip(0..).collect();
    let mut ids: HashMap<String, u32> = tokens.iter().cloned().zip(0..).collect();
    let (mut symbols, mut counts) = (Symbols::default(), Vec::new());
    for (word, &count) in words {
        symbols.push(counts.len() as u32, word.chars().map(|c| of_letter[&c]));
        counts.push(count);
        if symbols.id.len() >= NONE as usize {
            return Err("the text has too many different words".into());
        }
    }
    let mut pairs = Pairs::default();
    for place in 0..symbols.id.len() as u32 {
        if let Some(pair) = symbols.pair(place) {
            pairs.add(pair, counts[symbols.word[place as usize] as usize], place);
        }
    }
    pairs.queue_new();
    let mut merges = Vec::new();
    while tokens.len() < size {
        let Some((pair, mut places)) = pairs.pop(&symbols) else { break };
        let token = [&tokens[pair.0 as usize][..], &tokens[pair.1 as usize]].concat();
        let made = *ids.entry(token).or_insert_with_key(|token| {
            tokens.push(token.clone());
            tokens.len() as u32 - 1
        });
        merges.push(pair);
        // From left to right: of three equal symbols the first two are merged.
        places.sort_unstable();
        for place in places {
            if symbols.pair(place) != Some(pair) {
                continue;
            }
            let count = counts[symbols.word[place as usize] as usize];
            let (before, after) = symbols.merge(place, made);
            if let Some(id) = symbols.id(before) {
                pairs.remove((id, pair.0), count);
                pairs.add((id, made), count, before);
            }
            if let Some(id) = symbols.id(after) {
                pairs.remove((pair.1, id), count);
                pairs.add((made, id), count, place);
            }
        }
        pairs.queue_new();
    }
    // A pair that was merged several times has the rank of the last.
    let mut seen = HashSet::new();
    merges.reverse();
    merges.retain(|pair| seen.insert(*pair));
    merges.reverse();
    Ok((tokens, merges))
}

/// All pairs, and those to be merged.
#[derive(Default)]
struct Pairs {
    known: HashMap<Pair, Known>,
    /// Pairs with places that no entry covers.
    new: Vec<Pair>,
    queue: BinaryHeap<Entry>,
}

impl Pairs {
    fn add(&mut self, pair: Pair, count: i64, place: u32) {
        let known = self.known.entry(pair).or_default();
        if known.places.len() == known.queued {
            self.new.push(pair);
        }
        known.count += count;
        known.places.push(place);
    }

    fn remove(&mut self, pair: Pair, count: i64) {
        self.known.entry(pair).or_default().count -= count;
    }

    /// Makes entries for the places that none covers.
    fn queue_new(&mut self) {
        for pair in self.new.drain(..) {
            let known = self.known.get_mut(&pair).expect("a pair that was added");
            if known.count > 0 {
                let (from, to) = (Reverse(known.queued), known.places.len());
                self.queue.push(Entry { count: known.count, pair: Reverse(pair), from, to });
                known.entries += 1;
                known.queued = to;
            } else {
                known.places.truncate(known.queued);
            }
        }
    }

    /// The next pair to merge, and where: in every word of the places of its entry.
    fn pop(&mut self, symbols: &Symbols) -> Option<(Pair, Vec<u32>)> {
        loop {
            let mut entry = self.queue.pop()?;
            let known = self.known.get_mut(&entry.pair.0).expect("a pair that was queued");
            if entry.count != known.count {
                entry.count = known.count;
                self.queue.push(entry);
                continue;
            }
            if entry.count < LEAST {
                return None;
            }
            known.entries -= 1;
            if known.entries == 0 {
                known.queued = 0;
                return Some((entry.pair.0, std::mem::take(&mut known.places)));
            }
            let word = |place: &u32| symbols.word[*place as usize];
            let words: HashSet<u32> = known.places[entry.from.0..entry.to].iter().map(word).collect();
            return Some((entry.pair.0, known.places.iter().copied().filter(|place| words.contains(&word(place))).collect()));
        }
    }
}

#[cfg(test)]
mod tests;
