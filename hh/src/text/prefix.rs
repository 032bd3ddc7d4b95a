//! States at the ends of chunks of texts that were read before: a prompt continues from the longest one.

use super::{TextSession, TextState};
use crate::Error;
use hh_core::state::Packed;
use std::{
    collections::{BTreeMap, HashMap, hash_map::RandomState},
    hash::{BuildHasher, Hasher},
    sync::{Arc, Mutex, PoisonError},
};

/// Tokens between two states: what [`hh_core::session::Session::prefill`] runs at a time, so that reading in pieces has the
/// same bits as reading at once.
const CHUNK: usize = 128;
/// What an entry takes beside its values, about.
const ENTRY: usize = 256;

/// A cache of states, addressed by model, session layout and the tokens that were read. Sessions of several threads and
/// models can share one.
///
/// A second question on a document, an edited prompt and a regenerated answer read what differs, and at most one chunk of 128
/// tokens besides. The result has the same bits as reading everything.
pub struct PrefixCache {
    budget: usize,
    /// Two keyed hashes of 64 bits, whose collisions cannot be constructed without the keys.
    keys: [RandomState; 2],
    inner: Mutex<Inner>,
}

/// What a [`PrefixCache`] did and has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CacheStats {
    /// Prompts that continued from a state.
    pub hits: u64,
    /// Prompts that did not.
    pub misses: u64,
    /// Tokens that were not read again.
    pub tokens: u64,
    /// States that were dropped for others.
    pub dropped: u64,
    /// States.
    pub states: usize,
    /// Bytes of the states.
    pub bytes: usize,
}

#[derive(Default)]
struct Inner {
    entries: HashMap<u128, Entry>,
    /// Oldest use first.
    uses: BTreeMap<u64, u128>,
    clock: u64,
    stats: CacheStats,
}

struct Entry {
    state: Arc<Packed>,
    used: u64,
}

impl PrefixCache {
    /// An empty cache of at most so many bytes of states; those that were used longest ago are dropped for others.
    pub fn new(bytes: usize) -> Self {
        Self { budget: bytes, keys: [RandomState::new(), RandomState::new()], inner: Mutex::default() }
    }

    /// What it did and has.
    pub fn stats(&self) -> CacheStats {
        self.inner().stats
    }

    /// Sets a session to the state of the longest part of a text that was read before, from its beginning on, and returns its
    /// length in tokens; 0 leaves the session without any text. At least one token is left to [`read`](Self::read).
    ///
    /// # Errors
    /// [`Error::Core`] where the device fails.
    pub fn start(&self, session: &mut TextSession, ids: &[u32]) -> Result<usize, Error> {
        let keys = self.keys_of(session, &ids[..ids.len().saturating_sub(1)])?;
        let found = self.inner().find(&keys);
        session.reset()?;
        let Some(kept) = found else { return Ok(0) };
        let done = kept.position() as usize;
        session.adopt(TextState { recent: ids[..done].to_vec(), ..TextState::of(kept.unpack()) })?;
        Ok(done)
    }

    /// Reads the text on, from `done` tokens to the next end of a chunk, where it keeps the state; returns how many tokens are
    /// read then. The session has read `done` tokens of the text and nothing else.
    ///
    /// # Errors
    /// Those of [`TextSession::prefill_tokens`].
    pub fn read(&self, session: &mut TextSession, ids: &[u32], done: usize) -> Result<usize, Error> {
        let end = ids.len().min((done / CHUNK + 1) * CHUNK);
        session.prefill_tokens(&ids[done..end])?;
        // The last chunk is not looked for by this text, but by longer ones.
        if end.is_multiple_of(CHUNK) && self.budget > 0 {
            let Some(&key) = self.keys_of(session, &ids[..end])?.last() else { return Ok(end) };
            if !self.inner().entries.contains_key(&key) {
                let kept = Packed::new(&session.recurrent()?);
                self.inner().insert(key, kept, self.budget);
            }
        }
        Ok(end)
    }

    /// Reads a text from its beginning; returns how many of its tokens were known.
    ///
    /// # Errors
    /// Those of [`start`](Self::start) and [`read`](Self::read).
    pub fn prefill(&self, session: &mut TextSession, ids: &[u32]) -> Result<usize, Error> {
        let known = self.start(session, ids)?;
        let mut done = known;
        while done < ids.len() {
            done = self.read(session, ids, done)?;
        }
        Ok(known)
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A key for each whole chunk.
    fn keys_of(&self, session: &mut TextSession, ids: &[u32]) -> Result<Vec<u128>, Error> {
        let identity = session.identity()?;
        let options = session.session().options();
        let segments = options.segments.unwrap_or(session.session().config().segments);
        let mut hashers = self.keys.each_ref().map(BuildHasher::build_hasher);
        for hasher in &mut hashers {
            [identity, options.context as u64, segments as u64, options.episodes.unwrap_or(0) as u64]
                .iter()
                .for_each(|&n| hasher.write_u64(n));
        }
        let mut bytes = Vec::with_capacity(4 * CHUNK);
        Ok(ids
            .chunks_exact(CHUNK)
            .map(|chunk| {
                bytes.clear();
                bytes.extend(chunk.iter().flat_map(|id| id.to_le_bytes()));
                hashers.iter_mut().for_each(|hasher| hasher.write(&bytes));
                u128::from(hashers[0].finish()) << 64 | u128::from(hashers[1].finish())
            })
            .collect())
    }
}

impl Inner {
    fn find(&mut self, keys: &[u128]) -> Option<Arc<Packed>> {
        let key = keys.iter().rev().find(|key| self.entries.contains_key(key));
        let Some(key) = key else {
            self.stats.misses += 1;
            return None;
        };
        self.clock += 1;
        let entry = self.entries.get_mut(key)?;
        self.uses.remove(&entry.used);
        entry.used = self.clock;
        self.uses.insert(entry.used, *key);
        self.stats.hits += 1;
        self.stats.tokens += entry.state.position();
        Some(entry.state.clone())
    }

    fn insert(&mut self, key: u128, kept: Packed, budget: usize) {
        let bytes = kept.bytes() + ENTRY;
        if bytes > budget || self.entries.contains_key(&key) {
            return;
        }
        while self.stats.bytes + bytes > budget {
            let Some((_, oldest)) = self.uses.pop_first() else { break };
            if let Some(entry) = self.entries.remove(&oldest) {
                self.stats.bytes -= entry.state.bytes() + ENTRY;
                self.stats.dropped += 1;
            }
        }
        self.clock += 1;
        self.uses.insert(self.clock, key);
        self.entries.insert(key, Entry { state: Arc::new(kept), used: self.clock });
        self.stats.bytes += bytes;
        self.stats.states = self.entries.len();
    }
}
