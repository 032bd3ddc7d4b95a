//! Ranks as processes of MPI, started by mpirun, mpiexec or srun. A rank that ends without the others is the business of MPI,
//! which then ends them all.

use super::launch::Launch;
use super::lost::Lost;
use anyhow::{Result, bail};
use hh_core::collective::Peers;
use mpi::Threading;
use mpi::point_to_point::send_receive_into;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Root};

/// Elements of a message: MPI counts in 32 bits.
const MOST: usize = 1 << 30;

/// A process of MPI.
pub(super) struct MpiRank {
    world: SimpleCommunicator,
    sent: u64,
}

/// Joins the other processes. The second result is called where all of them end together: a process that ends early must not
/// finalise MPI, which would wait for the others.
///
/// # Errors
/// MPI that sees other processes than its launcher announced.
pub(super) fn connect(launch: &Launch) -> Result<(MpiRank, impl FnOnce() + use<>)> {
    let Some((universe, _)) = mpi::initialize_with_threading(Threading::Funneled) else { bail!("MPI cannot be initialised twice") };
    let world = universe.world();
    let (rank, size) = (world.rank() as usize, world.size() as usize);
    if (rank, size) != (launch.rank, launch.size) {
        bail!(
            "MPI has this process as rank {rank} of {size}, its launcher as rank {} of {}: start it with the mpirun of the MPI that hh-runtime was built with",
            launch.rank,
            launch.size
        );
    }
    Ok((MpiRank { world, sent: 0 }, move || drop(universe)))
}

impl Peers for MpiRank {
    type Error = Lost;

    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn size(&self) -> usize {
        self.world.size() as usize
    }

    fn exchange(&mut self, to: usize, out: &[f32], from: usize, into: &mut [f32]) -> Result<(), Lost> {
        self.sent += size_of_val(out) as u64;
        let [to, from] = [to, from].map(|rank| self.world.process_at_rank(rank as i32));
        let mut parts = out.chunks(MOST);
        let mut rooms = into.chunks_mut(MOST);
        loop {
            match (parts.next(), rooms.next()) {
                (None, None) => return Ok(()),
                (part, room) => send_receive_into(part.unwrap_or_default(), &to, room.unwrap_or_default(), &from),
            };
        }
    }

    fn broadcast(&mut self, root: usize, bytes: &mut [u8]) -> Result<(), Lost> {
        if root == self.rank() {
            self.sent += (bytes.len() * (self.size() - 1)) as u64;
        }
        bytes.chunks_mut(MOST).for_each(|part| self.world.process_at_rank(root as i32).broadcast_into(part));
        Ok(())
    }

    fn sent(&self) -> u64 {
        self.sent
    }
}
