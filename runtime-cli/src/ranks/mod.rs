//! Training in several processes: how they are started, how they reach each other, and what they agree on.
//!
//! [`Launch`] reads what a launcher says in the environment, [`Ranks::connect`] finds the other ranks. The sums themselves are
//! [`hh_core::collective`]'s.

mod agree;
mod launch;
mod lost;
#[cfg(feature = "mpi")]
mod mpi;
mod place;
mod slurm;
mod tcp;
mod threads;

pub(crate) use agree::gather_losses;
pub use agree::{any, broadcast_text, gather, require_equal, shared_out};
pub use launch::{Launch, Rendezvous};
pub use lost::{Lost, Why};
pub(crate) use place::threads_of_one;
pub use threads::{ThreadRank, threads};

use anyhow::Result;
use hh_core::backend::Device;
use hh_core::collective::{Alone, Collective, Peers, Staged};
use hh_core::error::Error;
use std::mem::ManuallyDrop;
use std::time::Duration;

/// How long a rank waits for the others to start.
const PATIENCE: Duration = Duration::from_secs(300);

/// The ranks of a run, as this process sees them. Tensors go through the memory of the host.
pub struct Ranks {
    several: Option<Staged<Box<dyn Peers<Error = Lost>>>>,
    /// What is done where all ranks end together, and not where this one ends early.
    end: Option<ManuallyDrop<Box<dyn FnOnce()>>>,
}

impl Ranks {
    /// One process by itself.
    pub const fn alone() -> Self {
        Self { several: None, end: None }
    }

    /// Over these connections.
    pub fn over(peers: impl Peers<Error = Lost> + 'static) -> Self {
        Self { several: Some(Staged::new(Box::new(peers))), end: None }
    }

    /// Finds the other processes of a launch.
    ///
    /// # Errors
    /// Processes that cannot be reached within five minutes, or contradict each other.
    pub fn connect(launch: &Launch) -> Result<Self> {
        match &launch.rendezvous {
            Rendezvous::Alone => Ok(Self::alone()),
            Rendezvous::Tcp { host, port, run } => {
                let meeting = tcp::Meeting { host, port: *port, run, patience: PATIENCE };
                Ok(Self::over(tcp::connect(&meeting, launch.rank, launch.size)?))
            }
            #[cfg(feature = "mpi")]
            Rendezvous::Mpi => {
                let (peers, end) = mpi::connect(launch)?;
                Ok(Self { end: Some(ManuallyDrop::new(Box::new(end))), ..Self::over(peers) })
            }
            #[cfg(not(feature = "mpi"))]
            Rendezvous::Mpi => anyhow::bail!("hh-runtime was built without MPI: build with --features mpi"),
        }
    }

    /// Ends together with all other ranks.
    pub fn finish(self) {
        if let Some(end) = self.end {
            ManuallyDrop::into_inner(end)();
        }
    }

    /// Number of this process, and of all processes.
    pub fn place(&self) -> hh_core::train::Rank {
        self.several
            .as_ref()
            .map_or_else(Default::default, |staged| hh_core::train::Rank { rank: staged.peers().rank(), size: staged.peers().size() })
    }
}

impl<B: Device> Collective<B> for Ranks {
    fn rank(&self) -> usize {
        self.place().rank
    }

    fn size(&self) -> usize {
        self.place().size
    }

    fn all_reduce(&mut self, b: &mut B, tensors: &mut [&mut B::Tensor]) -> Result<(), Error> {
        match &mut self.several {
            Some(several) => several.all_reduce(b, tensors),
            None => Alone.all_reduce(b, tensors),
        }
    }

    fn broadcast(&mut self, root: usize, bytes: &mut [u8]) -> Result<(), Error> {
        match &mut self.several {
            Some(several) => Collective::<B>::broadcast(several, root, bytes),
            None => Collective::<B>::broadcast(&mut Alone, root, bytes),
        }
    }

    fn barrier(&mut self) -> Result<(), Error> {
        match &mut self.several {
            Some(several) => Collective::<B>::barrier(several),
            None => Collective::<B>::barrier(&mut Alone),
        }
    }

    fn sent(&self) -> u64 {
        self.several.as_ref().map_or(0, |staged| staged.peers().sent())
    }
}
