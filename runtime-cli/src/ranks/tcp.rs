//! Ranks as processes that are connected by TCP, each with all others; started by torchrun, srun, or anything that sets
//! `MASTER_ADDR` and `MASTER_PORT`.

mod rendezvous;

pub(super) use rendezvous::{Meeting, connect};

use super::lost::{Lost, Why};
use hh_core::collective::Peers;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Seconds after which a rank that says nothing counts as lost: more than saving the largest checkpoint takes.
const SILENCE: u64 = 600;
/// Bytes that are converted at a time.
const BUFFER: usize = 1 << 16;
/// Bytes of a message that the system takes at once, whether the other side reads or not.
const SMALL: usize = 1 << 12;
/// Bytes before each message: its number and its length.
const HEADER: usize = 12;

/// A process that is connected with all other ranks.
pub(super) struct TcpRank {
    rank: usize,
    /// By rank; none to itself.
    peers: Vec<Option<Peer>>,
    sent: u64,
}

/// The connection with another rank.
struct Peer {
    rank: usize,
    stream: TcpStream,
    /// Messages sent and received so far.
    messages: [u32; 2],
}

impl TcpRank {
    /// From the connections with all other ranks.
    fn new(rank: usize, streams: Vec<Option<TcpStream>>) -> io::Result<Self> {
        let peer = |(rank, stream): (usize, Option<TcpStream>)| {
            let Some(stream) = stream else { return Ok(None) };
            stream.set_nodelay(true)?;
            stream.set_nonblocking(false)?;
            stream.set_read_timeout(Some(Duration::from_secs(SILENCE)))?;
            stream.set_write_timeout(Some(Duration::from_secs(SILENCE)))?;
            Ok(Some(Peer { rank, stream, messages: [0; 2] }))
        };
        Ok(Self { rank, peers: streams.into_iter().enumerate().map(peer).collect::<io::Result<_>>()?, sent: 0 })
    }

    fn peer(&mut self, rank: usize) -> &mut Peer {
        self.peers[rank].as_mut().expect("a rank sends nothing to itself")
    }
}

impl Peer {
    fn header(&mut self, direction: usize, bytes: usize) -> [u8; HEADER] {
        let number = self.messages[direction];
        self.messages[direction] = number.wrapping_add(1);
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&number.to_le_bytes());
        header[4..].copy_from_slice(&(bytes as u64).to_le_bytes());
        header
    }

    fn lost(&self) -> impl Fn(io::Error) -> Lost + use<> {
        let rank = self.rank;
        move |e| Lost::of(rank, e, SILENCE)
    }

    fn send(&mut self, bytes: usize, mut write: impl FnMut(&mut TcpStream) -> io::Result<()>) -> Result<(), Lost> {
        let header = self.header(0, bytes);
        let sent = self.stream.write_all(&header).and_then(|()| write(&mut self.stream));
        sent.map_err(self.lost())
    }

    fn send_numbers(&mut self, numbers: &[f32]) -> Result<(), Lost> {
        self.send(4 * numbers.len(), |stream| {
            let mut buffer = [0; BUFFER];
            numbers.chunks(BUFFER / 4).try_for_each(|part| {
                let bytes = &mut buffer[..4 * part.len()];
                bytes.as_chunks_mut::<4>().0.iter_mut().zip(part).for_each(|(to, x)| *to = x.to_le_bytes());
                stream.write_all(bytes)
            })
        })
    }

    /// Reads the header of the next message, which must have this length.
    fn expect(&mut self, bytes: usize) -> Result<(), Lost> {
        let expected = self.header(1, bytes);
        let mut header = [0; HEADER];
        self.stream.read_exact(&mut header).map_err(self.lost())?;
        if header == expected { Ok(()) } else { Err(Lost { rank: self.rank, why: Why::OutOfStep }) }
    }

    fn receive_numbers(&mut self, numbers: &mut [f32]) -> Result<(), Lost> {
        self.expect(4 * numbers.len())?;
        let mut buffer = [0; BUFFER];
        for part in numbers.chunks_mut(BUFFER / 4) {
            let bytes = &mut buffer[..4 * part.len()];
            self.stream.read_exact(bytes).map_err(self.lost())?;
            part.iter_mut().zip(bytes.as_chunks::<4>().0).for_each(|(x, &from)| *x = f32::from_le_bytes(from));
        }
        Ok(())
    }
}

impl Peers for TcpRank {
    type Error = Lost;

    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.peers.len()
    }

    fn exchange(&mut self, to: usize, out: &[f32], from: usize, into: &mut [f32]) -> Result<(), Lost> {
        self.sent += (HEADER + size_of_val(out)) as u64;
        if size_of_val(out) <= SMALL {
            self.peer(to).send_numbers(out)?;
            return self.peer(from).receive_numbers(into);
        }
        // Both at the same time: the buffers of the system do not hold a message that its receiver does not read yet.
        let sender = self.peer(to);
        let stream = sender.stream.try_clone().map_err(sender.lost())?;
        let mut sender = Peer { rank: to, stream, messages: sender.messages };
        let receiver = self.peer(from);
        let (sent, received) = std::thread::scope(|scope| {
            let sending = scope.spawn(|| sender.send_numbers(out));
            let received = receiver.receive_numbers(into);
            (sending.join().expect("sending does not panic"), received)
        });
        self.peer(to).messages[0] = sender.messages[0];
        received.and(sent)
    }

    fn broadcast(&mut self, root: usize, bytes: &mut [u8]) -> Result<(), Lost> {
        if root != self.rank {
            let peer = self.peer(root);
            peer.expect(bytes.len())?;
            return peer.stream.read_exact(bytes).map_err(peer.lost());
        }
        for peer in self.peers.iter_mut().flatten() {
            self.sent += (HEADER + bytes.len()) as u64;
            peer.send(bytes.len(), |stream| stream.write_all(bytes))?;
        }
        Ok(())
    }

    fn sent(&self) -> u64 {
        self.sent
    }
}

#[cfg(test)]
mod tests;
