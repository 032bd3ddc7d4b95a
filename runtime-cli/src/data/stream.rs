use super::shard::{Mapping, ShardFolder, Width};
use anyhow::{Result, bail};
use hh_core::tokenizer::Tokenizer;
use std::ops::Range;
use std::sync::Arc;

/// A sequence of token ids, in memory or in memory-mapped shards; subsequences share the storage.
///
/// All ids that it returns are within the vocabulary: each is checked when it is read, which is negligible compared to a
/// training step and also covers files that change while they are open.
#[derive(Clone)]
pub struct TokenStream {
    segments: Arc<[Segment]>,
    range: Range<u64>,
    vocab_size: usize,
}

/// A contiguous part of the ids.
struct Segment {
    /// Index of its first id.
    start: u64,
    width: Width,
    storage: Storage,
}

enum Storage {
    Memory(Vec<u8>),
    Mapped(Mapping),
}

impl Segment {
    fn bytes(&self) -> &[u8] {
        match &self.storage {
            Storage::Memory(bytes) => bytes,
            Storage::Mapped(mapping) => mapping.ids(),
        }
    }
}

impl TokenStream {
    /// Tokenizes texts into memory, with two bytes per id if the vocabulary allows it.
    ///
    /// # Errors
    /// A text that cannot be read or tokenized.
    pub fn from_texts(tokenizer: &dyn Tokenizer, texts: impl Iterator<Item = Result<String>>) -> Result<Self> {
        Self::collect(crate::tokenizers::encode(tokenizer, texts), tokenizer.vocab_size())
    }

    /// Collects ids in memory, with two bytes per id if the vocabulary allows it.
    ///
    /// # Errors
    /// The first error among them.
    pub fn collect(ids: impl Iterator<Item = Result<Vec<u32>>>, vocab_size: usize) -> Result<Self> {
        let width = Width::of(vocab_size);
        let mut packed = Vec::new();
        for piece in ids {
            width.pack(&piece?, &mut packed);
        }
        Ok(Self::in_memory(packed, width, vocab_size))
    }

    /// From given ids.
    pub fn from_ids(ids: &[u32], vocab_size: usize) -> Self {
        // Four bytes for any vocabulary, so that an id that is too large is detected and not truncated.
        let mut packed = Vec::with_capacity(ids.len() * 4);
        Width::Four.pack(ids, &mut packed);
        Self::in_memory(packed, Width::Four, vocab_size)
    }

    fn in_memory(packed: Vec<u8>, width: Width, vocab_size: usize) -> Self {
        let len = (packed.len() / width.bytes()) as u64;
        Self { segments: [Segment { start: 0, width, storage: Storage::Memory(packed) }].into(), range: 0..len, vocab_size }
    }

    /// The ids of a folder of shards, and the tokenizer that they were written with.
    pub fn from_shards(mut folder: ShardFolder) -> (Self, Box<dyn Tokenizer>) {
        let mut start = 0;
        let storage = |mapping: Mapping| {
            let segment = Segment { start, width: mapping.header.width, storage: Storage::Mapped(mapping) };
            if let Storage::Mapped(mapping) = &segment.storage {
                start += mapping.header.count;
            }
            segment
        };
        let segments = std::mem::take(&mut folder.mappings).into_iter().map(storage).collect();
        let vocab_size = folder.tokenizer().vocab_size();
        (Self { segments, range: 0..start, vocab_size }, folder.into_tokenizer())
    }

    /// Number of ids.
    pub fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Ids are below this.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The subsequence `range`.
    ///
    /// # Panics
    /// If the range is out of bounds.
    pub fn part(&self, range: Range<u64>) -> Self {
        assert!(range.start <= range.end && range.end <= self.len(), "ids {range:?} of {}", self.len());
        let range = self.range.start + range.start..self.range.start + range.end;
        Self { segments: self.segments.clone(), range, vocab_size: self.vocab_size }
    }

    /// Fills `out` with the ids from `offset` on. Allocates nothing.
    ///
    /// # Errors
    /// An id outside of the vocabulary.
    ///
    /// # Panics
    /// If the ids are out of bounds.
    pub fn read(&self, offset: u64, out: &mut [u32]) -> Result<()> {
        assert!(
            offset.checked_add(out.len() as u64).is_some_and(|end| end <= self.len()),
            "{} ids at {offset} of {}",
            out.len(),
            self.len()
        );
        let (mut at, mut rest) = (self.range.start + offset, out);
        let mut index = self.segments.partition_point(|s| s.start <= at).saturating_sub(1);
        while !rest.is_empty() {
            let segment = &self.segments[index];
            let (bytes, width) = (segment.bytes(), segment.width.bytes());
            let first = (at - segment.start) as usize;
            let here = rest.len().min(bytes.len() / width - first);
            let (now, later) = rest.split_at_mut(here);
            segment.width.unpack(&bytes[first * width..(first + here) * width], now);
            if let Some((i, id)) = now.iter().enumerate().find(|&(_, &id)| id as usize >= self.vocab_size) {
                bail!(
                    "token {} of the data is {id}, outside of the vocabulary of {}; write the shards again",
                    at + i as u64,
                    self.vocab_size
                );
            }
            (at, rest, index) = (at + here as u64, later, index + 1);
        }
        Ok(())
    }
}
