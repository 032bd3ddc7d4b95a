//! The episodic memory of a session: what it stores, and what a person may see of it and take out.

use super::{EPISODES, Options, Session};
use crate::{
    backend::Forward,
    config::Config,
    error::{Error, InputError},
    layers::{ChunkShape, episodic},
    model::{Model, Params},
    ops::UNKNOWN,
    shape::Shaped,
};
use alloc::{format, vec, vec::Vec};
use core::ops::{Deref, Range};

/// The episodic memory of a session.
pub(super) struct Episodic<B: Forward> {
    pub(super) state: episodic::State<B::Tensor, B::Indices>,
    read: episodic::Read<B::Tensor>,
    /// Positions that the memory has seen.
    pub(super) seen: u64,
}

/// An item of the episodic memory, and the weight that it had when the last token was predicted.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Episode {
    /// Number of the item since the memory began.
    pub index: u64,
    /// The token that followed.
    pub token: u32,
    /// Its share of what the memory said, in `[0, 1]`.
    pub weight: f32,
}

impl<B: Forward> Episodic<B> {
    pub(super) fn new(b: &mut B, c: &Config, options: &Options) -> Result<Option<Self>, B::Error> {
        if c.episodic_width == 0 {
            return Ok(None);
        }
        let window = options.episodes.unwrap_or(if c.episodic_window > 0 { c.episodic_window } else { EPISODES });
        let x = ChunkShape { batch: options.batch, time: options.chunk, saved: false };
        let state = episodic::State::new(b, c, x, window)?;
        Ok(Some(Self { read: episodic::Read::new(b, &state)?, state, seen: 0 }))
    }

    /// Logits become log-probabilities of model and memory together.
    pub(super) fn join(&mut self, b: &mut B, p: &Params<B::Tensor>, last: &B::Tensor, logits: &mut B::Tensor) {
        if let Some(p) = &p.episodic {
            episodic::log_probs(b, p, &self.state, last, &mut self.read, logits);
        }
    }

    /// Rows of the ring.
    fn rows(&self) -> usize {
        self.state.tokens.shape().width()
    }

    /// Sets how many positions the memory has seen.
    pub(super) fn set_seen(&mut self, b: &mut B, seen: u64) -> Result<(), B::Error> {
        self.seen = seen;
        b.upload_indices(&[seen as u32], &mut self.state.clock)
    }

    /// The tokens of the first row, by their places in the ring.
    fn tokens(&self, b: &mut B) -> Result<Vec<f32>, B::Error> {
        let mut all = vec![0.0; self.state.tokens.shape().count()];
        b.download(&self.state.tokens, &mut all)?;
        Ok(all)
    }

    /// Whether the newest item waits for its token.
    fn is_open(&self, tokens: &[f32]) -> bool {
        self.seen > 0 && tokens[((self.seen - 1) % self.rows() as u64) as usize] == UNKNOWN
    }

    /// Numbers of the items in the ring whose tokens are known.
    fn known(&self, tokens: &[f32]) -> Range<u64> {
        self.seen.saturating_sub(self.rows() as u64)..self.seen - u64::from(self.is_open(tokens))
    }
}

impl<B: Forward, M: Deref<Target = Model<B::Tensor>>> Session<B, M> {
    /// Forgets everything.
    ///
    /// # Errors
    /// [`Error::Device`] where the machine fails.
    pub fn reset(&mut self) -> Result<(), Error> {
        if let Some(memory) = &mut self.episodic {
            memory.state.leaves_mut().for_each(|leaf| self.backend.fill(0.0, leaf));
            memory.set_seen(&mut self.backend, 0).map_err(Error::device)?;
        }
        self.reset_layers()
    }

    fn reset_layers(&mut self) -> Result<(), Error> {
        for leaf in self.state.leaves_mut() {
            self.backend.fill(0.0, leaf);
        }
        self.position = 0;
        self.backend.upload_indices(&[0], &mut self.state.clock).map_err(Error::device)
    }

    /// Ends a document: the layers forget everything, the episodic memory keeps its items. What follows is read as from the
    /// beginning, and no item reaches across. Without an episodic memory this is [`reset`](Self::reset).
    ///
    /// # Errors
    /// [`Error::Device`] where the machine fails.
    pub fn end_document(&mut self) -> Result<(), Error> {
        if let Some(memory) = &mut self.episodic {
            let b = &mut self.backend;
            let mut end = || -> Result<(), B::Error> {
                let tokens = memory.tokens(b)?;
                if memory.is_open(&tokens) {
                    memory.retain(b, |index, seen| index + 1 < seen)?;
                }
                Ok(())
            };
            end().map_err(Error::device)?;
        }
        self.reset_layers()
    }

    /// Numbers of the items that the episodic memory holds and whose tokens are known; empty without such a memory.
    ///
    /// # Errors
    /// [`Error::Device`] where the machine fails.
    pub fn episodes(&mut self) -> Result<Range<u64>, Error> {
        let Some(memory) = &self.episodic else { return Ok(0..0) };
        let tokens = memory.tokens(&mut self.backend).map_err(Error::device)?;
        Ok(memory.known(&tokens))
    }

    /// The tokens of all items in [`episodes`](Self::episodes), in their order, of the first sequence of the batch.
    ///
    /// # Errors
    /// [`Error::Device`] where the machine fails.
    pub fn episode_tokens(&mut self) -> Result<Vec<u32>, Error> {
        let Some(memory) = &self.episodic else { return Ok(Vec::new()) };
        let tokens = memory.tokens(&mut self.backend).map_err(Error::device)?;
        let rows = memory.rows() as u64;
        Ok(memory.known(&tokens).map(|item| tokens[(item % rows) as usize] as u32).collect())
    }

    /// Keys of the items in `range`, `[items, m]`, of the first sequence of the batch.
    ///
    /// # Errors
    /// [`Error::Input`] where the memory does not hold all of these items, [`Error::Device`] where the machine fails.
    pub fn episode_keys(&mut self, range: Range<u64>) -> Result<Vec<f32>, Error> {
        let held = self.episodes()?;
        if range.start < held.start || range.end > held.end {
            return Err(InputError::Episodes { asked: range, held }.into());
        }
        let Some(memory) = &self.episodic else { return Ok(Vec::new()) };
        let [_, rows, width] = memory.state.keys.shape().extents();
        let mut keys = vec![0.0; memory.state.keys.shape().count()];
        self.backend.download(&memory.state.keys, &mut keys).map_err(Error::device)?;
        Ok(range.flat_map(|item| keys[(item % rows as u64) as usize * width..][..width].iter().copied()).collect())
    }

    /// Gives each sequence these items, unit keys `[items, m]` with the tokens that followed, in place of all that the episodic memory
    /// holds. What is read next begins a document.
    ///
    /// # Errors
    /// [`Error::Input`] for more items than a position sees, or another number of keys; [`Error::Device`] where the machine fails.
    pub fn load_episodes(&mut self, keys: &[f32], tokens: &[u32]) -> Result<(), Error> {
        let Some(memory) = &mut self.episodic else {
            return Err(InputError::Other("this model has no episodic memory to load items into".into()).into());
        };
        let [batch, rows, width] = memory.state.keys.shape().extents();
        if tokens.len() > memory.state.window || keys.len() != tokens.len() * width {
            let what = format!(
                "{} items with {} numbers do not fit an episodic memory of {} items of width {width}: open the session with a larger one",
                tokens.len(),
                keys.len(),
                memory.state.window
            );
            return Err(InputError::Other(what).into());
        }
        let tokens: Vec<f32> = tokens.iter().map(|&token| token as f32).collect();
        let b = &mut self.backend;
        let mut load = || -> Result<(), B::Error> {
            for (leaf, width, from) in [(&mut memory.state.keys, width, keys), (&mut memory.state.tokens, 1, &tokens[..])] {
                let mut all = vec![0.0; batch * rows * width];
                all.chunks_exact_mut(rows * width).for_each(|ring| ring[..from.len()].copy_from_slice(from));
                b.upload(&all, leaf)?;
            }
            memory.set_seen(b, tokens.len() as u64)
        };
        load().map_err(Error::device)
    }

    /// The `most` items with the largest weights in the last prediction, largest first, of the first sequence of the batch.
    ///
    /// # Errors
    /// [`Error::Device`] where the machine fails.
    pub fn votes(&mut self, most: usize) -> Result<Vec<Episode>, Error> {
        let Some(memory) = &self.episodic else { return Ok(Vec::new()) };
        let tokens = memory.tokens(&mut self.backend).map_err(Error::device)?;
        let mut weights = vec![0.0; tokens.len()];
        self.backend.download(&memory.read.weights, &mut weights).map_err(Error::device)?;
        let rows = memory.rows() as u64;
        let at = |index: u64| (index % rows) as usize;
        let mut all: Vec<Episode> = memory
            .known(&tokens)
            .map(|index| Episode { index, token: tokens[at(index)] as u32, weight: weights[at(index)] })
            .filter(|episode| episode.weight > 0.0)
            .collect();
        let order = |a: &Episode, b: &Episode| b.weight.total_cmp(&a.weight).then(b.index.cmp(&a.index));
        // A large memory is not sorted for the few that are asked for.
        if most < all.len() {
            all.select_nth_unstable_by(most, order);
            all.truncate(most);
        }
        all.sort_by(order);
        Ok(all)
    }

    /// Takes the items `range` out of the episodic memory. Later items move up, so that the memory is what it would be had it never
    /// stored them, bit for bit, unless they had pushed older items out; items are numbered from 0 again. Layers are not changed: call
    /// it between documents.
    ///
    /// # Errors
    /// [`Error::Input`] where the memory does not hold all of these items, [`Error::Device`] where the machine fails.
    pub fn forget(&mut self, range: Range<u64>) -> Result<(), Error> {
        let held = self.episodes()?;
        if range.start < held.start || range.end > held.end || range.start > range.end {
            return Err(InputError::Episodes { asked: range, held }.into());
        }
        match &mut self.episodic {
            Some(memory) => memory.retain(&mut self.backend, |index, _| !range.contains(&index)).map_err(Error::device),
            None => Ok(()),
        }
    }
}

impl<B: Forward> Episodic<B> {
    /// Keeps the items for which `keep`, given an item's number and the number of all, is true, and numbers them from 0.
    fn retain(&mut self, b: &mut B, keep: impl Fn(u64, u64) -> bool) -> Result<(), B::Error> {
        let [batch, rows, width] = self.state.keys.shape().extents();
        let first = self.seen.saturating_sub(rows as u64);
        let kept: Vec<u64> = (first..self.seen).filter(|&index| keep(index, self.seen)).collect();
        for (leaf, width) in [(&mut self.state.keys, width), (&mut self.state.tokens, 1)] {
            let mut old = vec![0.0; leaf.shape().count()];
            b.download(leaf, &mut old)?;
            let mut new = vec![0.0; old.len()];
            for sequence in 0..batch {
                let at = |index: u64| (sequence * rows + (index % rows as u64) as usize) * width;
                for (to, &from) in (0..).zip(&kept) {
                    new[at(to)..][..width].copy_from_slice(&old[at(from)..][..width]);
                }
            }
            b.upload(&new, leaf)?;
        }
        self.set_seen(b, kept.len() as u64)
    }
}
