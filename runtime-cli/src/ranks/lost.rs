//! Why a rank cannot be reached.

use std::fmt;
use std::io;

/// A rank that cannot be reached any more. The message is a clause: "rank 1 has ended".
#[derive(Debug)]
pub struct Lost {
    /// The other rank.
    pub rank: usize,
    /// What happened.
    pub why: Why,
}

/// What happened to the connection to a rank.
#[derive(Debug)]
pub enum Why {
    /// The other side closed it: the process has ended.
    Ended,
    /// Nothing came for these many seconds.
    Silent(u64),
    /// What came is not what was expected next.
    OutOfStep,
    /// Another failure of the network.
    Failed(io::Error),
}

impl Lost {
    /// From the error of a socket with a time limit in seconds.
    pub(super) fn of(rank: usize, e: io::Error, limit: u64) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof, WouldBlock};
        let why = match e.kind() {
            UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe => Why::Ended,
            TimedOut | WouldBlock => Why::Silent(limit),
            _ => Why::Failed(e),
        };
        Self { rank, why }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rank = self.rank;
        match &self.why {
            Why::Ended => write!(f, "rank {rank} has ended"),
            Why::Silent(seconds) => write!(f, "rank {rank} has not answered for {seconds} seconds"),
            Why::OutOfStep => write!(f, "rank {rank} is at another place of the run than this one"),
            Why::Failed(e) => write!(f, "the connection to rank {rank} failed: {e}"),
        }
    }
}

impl std::error::Error for Lost {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.why {
            Why::Failed(e) => Some(e),
            _ => None,
        }
    }
}
