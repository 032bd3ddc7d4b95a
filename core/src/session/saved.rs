//! What a session remembers as a value: copied, saved, gone back to.

use super::Session;
use crate::{
    backend::Forward,
    error::Error,
    model::Model,
    shape::Shaped,
    state::{Layout, Snapshot},
};
use alloc::vec;
use core::ops::Deref;

impl<B: Forward, M: Deref<Target = Model<B::Tensor>>> Session<B, M> {
    /// All tensors of the state.
    fn leaves(&self) -> impl Iterator<Item = &B::Tensor> {
        self.state.leaves().chain(self.episodic.iter().flat_map(|memory| memory.state.leaves()))
    }

    /// Numbers in the state.
    fn count(&self) -> usize {
        self.leaves().map(|t| t.shape().count()).sum()
    }

    /// A copy of everything that the session remembers.
    ///
    /// # Errors
    /// [`Error::Device`] where the machine fails.
    pub fn snapshot(&mut self) -> Result<Snapshot, Error> {
        let mut values = vec![0.0; self.count()];
        let mut rest = &mut values[..];
        let episodic = self.episodic.iter().flat_map(|memory| memory.state.leaves());
        for leaf in self.state.leaves().chain(episodic) {
            let (now, later) = rest.split_at_mut(leaf.shape().count());
            self.backend.download(leaf, now).map_err(Error::device)?;
            rest = later;
        }
        let seen = self.episodic.as_ref().map(|memory| memory.seen);
        Ok(Snapshot { layout: self.layout(), position: self.position, values, seen })
    }

    /// Goes back to a snapshot, of this session or of another one of the same model and layout.
    ///
    /// # Errors
    /// [`Error::State`] where the snapshot belongs to another model or layout; nothing has changed then.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), Error> {
        snapshot.fits(&self.layout(), self.count(), self.episodic.is_some())?;
        let mut rest = &snapshot.values[..];
        let episodic = self.episodic.iter_mut().flat_map(|memory| memory.state.leaves_mut());
        for leaf in self.state.leaves_mut().chain(episodic) {
            let (now, later) = rest.split_at(leaf.shape().count());
            self.backend.upload(now, leaf).map_err(Error::device)?;
            rest = later;
        }
        if let (Some(memory), Some(seen)) = (&mut self.episodic, snapshot.seen) {
            memory.set_seen(&mut self.backend, seen).map_err(Error::device)?;
        }
        self.position = snapshot.position;
        self.backend.upload_indices(&[self.position as u32], &mut self.state.clock).map_err(Error::device)
    }

    fn layout(&self) -> Layout {
        Layout::new(&self.model.config, self.options.batch, self.options.context, self.state.segments.len())
    }
}
