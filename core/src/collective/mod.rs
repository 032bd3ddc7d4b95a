//! Training in several processes: what they exchange, and who computes what.
//!
//! The processes of a run are its *ranks*. Each holds the whole model, computes the gradient of its [`share`] of a step's
//! micro-batches, and takes part in the sum; then all make the same update. [`Alone`] is one process by itself. [`Staged`] goes
//! through the memory of the host and works with any backend, over whatever carries bytes between processes ([`Peers`]).
//! A library that sums device memory in place, such as NCCL, would implement [`Collective`] for its backend; there is none yet.

mod staged;

pub use staged::{Peers, Staged, sum_in_pairs};

use crate::{backend::Device, error::Error};
use core::ops::Range;

/// Processes that train one model together, each on a backend `B`. All of them make the same calls in the same order.
pub trait Collective<B: Device> {
    /// Number of this process, below [`size`](Self::size).
    fn rank(&self) -> usize;

    /// Number of processes.
    fn size(&self) -> usize;

    /// Replaces each tensor by its sum over all ranks, on all ranks by the same bits. The order of the additions depends on the
    /// number of ranks alone: that of [`sum_in_pairs`].
    ///
    /// # Errors
    /// [`Error::Collective`] where a rank cannot be reached, [`Error::Device`] where a device fails.
    fn all_reduce(&mut self, b: &mut B, tensors: &mut [&mut B::Tensor]) -> Result<(), Error>;

    /// Replaces `bytes`, of one length on all ranks, by those of `root`.
    ///
    /// # Errors
    /// [`Error::Collective`] where a rank cannot be reached.
    fn broadcast(&mut self, root: usize, bytes: &mut [u8]) -> Result<(), Error>;

    /// Returns once all ranks have come here.
    ///
    /// # Errors
    /// [`Error::Collective`] where a rank cannot be reached.
    fn barrier(&mut self) -> Result<(), Error>;

    /// Bytes that this rank has sent so far.
    fn sent(&self) -> u64;
}

/// One process by itself: every sum is its own term.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl<B: Device> Collective<B> for Alone {
    fn rank(&self) -> usize {
        0
    }
    fn size(&self) -> usize {
        1
    }
    fn all_reduce(&mut self, _: &mut B, _: &mut [&mut B::Tensor]) -> Result<(), Error> {
        Ok(())
    }
    fn broadcast(&mut self, _: usize, _: &mut [u8]) -> Result<(), Error> {
        Ok(())
    }
    fn barrier(&mut self) -> Result<(), Error> {
        Ok(())
    }
    fn sent(&self) -> u64 {
        0
    }
}

/// The part of `total` things that rank `rank` of `size` has: consecutive ones, in the order of the ranks, as many as the
/// others have or one more.
pub fn share(total: usize, rank: usize, size: usize) -> Range<usize> {
    let end = |rank: usize| (total as u128 * rank as u128 / size as u128) as usize;
    end(rank)..end(rank + 1)
}
