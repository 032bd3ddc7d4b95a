//! Ranks that are threads of one process, to test what processes do.

use super::lost::{Lost, Why};
use hh_core::collective::Peers;
use std::sync::mpsc::{Receiver, Sender, channel};

/// A message between two threads.
enum Message {
    Numbers(Vec<f32>),
    Bytes(Vec<u8>),
}

/// One of several threads that train together.
pub struct ThreadRank {
    rank: usize,
    /// To each rank, and from each rank.
    to: Vec<Sender<Message>>,
    from: Vec<Receiver<Message>>,
    sent: u64,
}

/// As many ranks as `size`, one for each thread.
pub fn threads(size: usize) -> Vec<ThreadRank> {
    let mut ranks: Vec<_> = (0..size).map(|rank| ThreadRank { rank, to: Vec::new(), from: Vec::new(), sent: 0 }).collect();
    for sender in 0..size {
        for receiver in 0..size {
            let (to, from) = channel();
            ranks[sender].to.push(to);
            ranks[receiver].from.push(from);
        }
    }
    ranks
}

impl ThreadRank {
    fn send(&mut self, rank: usize, message: Message, bytes: usize) -> Result<(), Lost> {
        self.sent += bytes as u64;
        self.to[rank].send(message).map_err(|_| Lost { rank, why: Why::Ended })
    }

    fn receive(&mut self, rank: usize) -> Result<Message, Lost> {
        self.from[rank].recv().map_err(|_| Lost { rank, why: Why::Ended })
    }
}

impl Peers for ThreadRank {
    type Error = Lost;

    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn exchange(&mut self, to: usize, out: &[f32], from: usize, into: &mut [f32]) -> Result<(), Lost> {
        self.send(to, Message::Numbers(out.to_vec()), size_of_val(out))?;
        match self.receive(from)? {
            Message::Numbers(numbers) if numbers.len() == into.len() => into.copy_from_slice(&numbers),
            _ => return Err(Lost { rank: from, why: Why::OutOfStep }),
        }
        Ok(())
    }

    fn broadcast(&mut self, root: usize, bytes: &mut [u8]) -> Result<(), Lost> {
        if root == self.rank {
            return (0..self.size())
                .filter(|&rank| rank != root)
                .try_for_each(|rank| self.send(rank, Message::Bytes(bytes.to_vec()), bytes.len()));
        }
        match self.receive(root)? {
            Message::Bytes(sent) if sent.len() == bytes.len() => bytes.copy_from_slice(&sent),
            _ => return Err(Lost { rank: root, why: Why::OutOfStep }),
        }
        Ok(())
    }

    fn sent(&self) -> u64 {
        self.sent
    }
}
