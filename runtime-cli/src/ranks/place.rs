//! Processors that ranks of one machine share.

use super::agree::gather;
use hh_core::backend::Device;
use hh_core::collective::Collective;
use hh_core::error::Error;
use sha2::{Digest, Sha256};
use std::fs;
use std::thread::available_parallelism;

/// Threads for each of the ranks that run on the same processors: those that this process may use, shared out. A launcher that
/// binds ranks to processors of their own leaves each with all of its own.
///
/// # Errors
/// A rank that cannot be reached.
pub(crate) fn threads_of_one<B: Device>(ranks: &mut impl Collective<B>) -> Result<usize, Error> {
    let own = Sha256::digest(processors());
    let sharing = gather(ranks, &own)?.iter().filter(|other| **other == own[..]).count();
    Ok((available_parallelism().map_or(1, |n| n.get()) / sharing.max(1)).max(1))
}

/// The machine and the processors that this process may run on. Where the system does not tell, all ranks are taken to share them.
fn processors() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    format!("{host}{allowed}")
}
