//! Sums over ranks through the memory of the host, over whatever carries numbers between two processes.

use super::{Collective, share};
use crate::{backend::Device, error::Error, shape::Shaped};
use alloc::{boxed::Box, vec::Vec};
use core::error;

/// Numbers that are summed at a time, unless one tensor has more: 16 MiB.
const BUCKET: usize = 1 << 22;

/// Carries numbers and bytes between processes, in the order in which they are sent.
pub trait Peers {
    /// What can go wrong: the message names the rank that cannot be reached.
    type Error: error::Error + Send + Sync + 'static;

    /// Number of this process, below [`size`](Self::size).
    fn rank(&self) -> usize;

    /// Number of processes.
    fn size(&self) -> usize;

    /// Sends `out` to rank `to`, and receives `into` from rank `from`, which sends as many: both at the same time, so that all
    /// ranks may do so in a ring. Neither rank is this one.
    ///
    /// # Errors
    /// A rank that cannot be reached.
    fn exchange(&mut self, to: usize, out: &[f32], from: usize, into: &mut [f32]) -> Result<(), Self::Error>;

    /// See [`Collective::broadcast`].
    ///
    /// # Errors
    /// A rank that cannot be reached.
    fn broadcast(&mut self, root: usize, bytes: &mut [u8]) -> Result<(), Self::Error>;

    /// Bytes that this rank has sent so far.
    fn sent(&self) -> u64;
}

impl<P: Peers + ?Sized> Peers for Box<P> {
    type Error = P::Error;

    fn rank(&self) -> usize {
        (**self).rank()
    }
    fn size(&self) -> usize {
        (**self).size()
    }
    fn exchange(&mut self, to: usize, out: &[f32], from: usize, into: &mut [f32]) -> Result<(), P::Error> {
        (**self).exchange(to, out, from, into)
    }
    fn broadcast(&mut self, root: usize, bytes: &mut [u8]) -> Result<(), P::Error> {
        (**self).broadcast(root, bytes)
    }
    fn sent(&self) -> u64 {
        (**self).sent()
    }
}

/// A [`Collective`] on any backend: tensors are downloaded, summed on the host, and uploaded again.
///
/// A sum is a reduce-scatter and an all-gather. Each rank receives its [`share`] of the numbers from all others, adds them in the
/// order of the ranks, and sends the sums to all others. With R ranks it sends 2 (R − 1) / R numbers for each number summed, the
/// fewest possible (Patarasu and Yuan 2009).
pub struct Staged<P> {
    peers: P,
    /// The numbers of a bucket.
    host: Vec<f32>,
    /// This rank's share of them, as each rank has it.
    pieces: Vec<f32>,
}

impl<P: Peers> Staged<P> {
    /// Over these peers.
    pub fn new(peers: P) -> Self {
        Self { peers, host: Vec::new(), pieces: Vec::new() }
    }

    /// What carries the numbers.
    pub fn peers(&self) -> &P {
        &self.peers
    }

    /// Sums `host` over all ranks.
    fn sum(&mut self) -> Result<(), P::Error> {
        let Self { peers, host, pieces } = self;
        let (rank, size, count) = (peers.rank(), peers.size(), host.len());
        let own = share(count, rank, size);
        let len = own.len();
        pieces.resize(size * len, 0.0);
        pieces[rank * len..][..len].copy_from_slice(&host[own.clone()]);
        for distance in 1..size {
            let (to, from) = ((rank + distance) % size, (rank + size - distance) % size);
            peers.exchange(to, &host[share(count, to, size)], from, &mut pieces[from * len..][..len])?;
        }
        sum_in_pairs(pieces, len);
        let sums = &pieces[..len];
        host[own].copy_from_slice(sums);
        for distance in 1..size {
            let (to, from) = ((rank + distance) % size, (rank + size - distance) % size);
            peers.exchange(to, sums, from, &mut host[share(count, from, size)])?;
        }
        Ok(())
    }
}

/// Sums pieces of `len` numbers into the first of them: neighbours in pairs, then pairs of pairs, what is left over joining later.
///
/// The gradients of a step's micro-batches are added in this order as well. So the sum of ranks that have one micro-batch each, or
/// a power of two of them each, has the bits of the sum that one process makes.
pub fn sum_in_pairs(pieces: &mut [f32], len: usize) {
    let count = pieces.len().checked_div(len).unwrap_or(0);
    let mut width = 1;
    while width < count {
        for left in (0..count - width).step_by(2 * width) {
            let (to, from) = pieces.split_at_mut((left + width) * len);
            to[left * len..][..len].iter_mut().zip(&from[..len]).for_each(|(to, from)| *to += from);
        }
        width *= 2;
    }
}

impl<B: Device, P: Peers> Collective<B> for Staged<P> {
    fn rank(&self) -> usize {
        self.peers.rank()
    }

    fn size(&self) -> usize {
        self.peers.size()
    }

    fn all_reduce(&mut self, b: &mut B, mut tensors: &mut [&mut B::Tensor]) -> Result<(), Error> {
        while !tensors.is_empty() {
            let (mut bucket, mut count) = (0, 0);
            while bucket < tensors.len() && (bucket == 0 || count + tensors[bucket].shape().count() <= BUCKET) {
                count += tensors[bucket].shape().count();
                bucket += 1;
            }
            self.host.resize(count, 0.0);
            let (now, later) = tensors.split_at_mut(bucket);
            let mut rest = &mut self.host[..];
            for tensor in &*now {
                let (part, after) = rest.split_at_mut(tensor.shape().count());
                b.download(tensor, part).map_err(Error::device)?;
                rest = after;
            }
            self.sum().map_err(Error::collective)?;
            let mut rest = &self.host[..];
            for tensor in now {
                let (part, after) = rest.split_at(tensor.shape().count());
                b.upload(part, tensor).map_err(Error::device)?;
                rest = after;
            }
            tensors = later;
        }
        Ok(())
    }

    fn broadcast(&mut self, root: usize, bytes: &mut [u8]) -> Result<(), Error> {
        self.peers.broadcast(root, bytes).map_err(Error::collective)
    }

    fn barrier(&mut self) -> Result<(), Error> {
        // After ⌈log₂ R⌉ rounds in a ring, each rank has heard of all others (Hensgen et al. 1988).
        let (rank, size) = (self.peers.rank(), self.peers.size());
        let mut distance = 1;
        while distance < size {
            self.peers
                .exchange((rank + distance) % size, &[0.0], (rank + size - distance) % size, &mut [0.0])
                .map_err(Error::collective)?;
            distance *= 2;
        }
        Ok(())
    }

    fn sent(&self) -> u64 {
        self.peers.sent()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order in which one process adds the gradients of its micro-batches, with powers of two as brackets.
    fn counted(numbers: &[f32]) -> f32 {
        let mut sums: Vec<(usize, f32)> = Vec::new();
        for &number in numbers {
            let mut new = (1, number);
            while let Some(&(width, sum)) = sums.last().filter(|(width, _)| *width == new.0) {
                new = (2 * width, sum + new.1);
                sums.pop();
            }
            sums.push(new);
        }
        let (_, last) = sums.pop().unwrap();
        sums.iter().rev().fold(last, |sum, (_, left)| left + sum)
    }

    #[test]
    fn the_order_of_a_sum_depends_on_the_number_of_terms_alone() {
        let numbers: Vec<f32> = (0..64).map(|i| crate::rng::normal([1, 0, 0, 0], 0, i) * 10f32.powi(i as i32 % 7 - 3)).collect();
        for count in 1..=numbers.len() {
            let mut pieces: Vec<f32> = numbers[..count].iter().flat_map(|&x| [x, -x, 2.0 * x]).collect();
            sum_in_pairs(&mut pieces, 3);
            let whole = counted(&numbers[..count]);
            assert_eq!(pieces[..3], [whole, -whole, 2.0 * whole], "{count}");
            // Ranks that have a power of two of the terms each.
            for part in [1, 2, 4, 8].into_iter().filter(|part| count.is_multiple_of(*part)) {
                let mut sums: Vec<f32> = numbers[..count].chunks(part).map(counted).collect();
                sum_in_pairs(&mut sums, 1);
                assert_eq!(sums[0], whole, "{count} in parts of {part}");
            }
        }
        assert_ne!(numbers.iter().sum::<f32>(), counted(&numbers), "numbers whose sum depends on the order");
    }

    #[test]
    fn shares_are_consecutive_and_even() {
        for (total, size) in [(0, 3), (1, 3), (7, 3), (12, 4), (usize::MAX, 7)] {
            let shares: Vec<_> = (0..size).map(|rank| share(total, rank, size)).collect();
            assert!(shares[0].start == 0 && shares[size - 1].end == total);
            assert!(shares.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(shares.iter().all(|s| s.len() == total / size || s.len() == total / size + 1), "{shares:?}");
        }
    }
}
