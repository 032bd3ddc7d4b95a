//! Pictures of the results of a probe.

mod shares;
mod tables;

pub(super) use shares::{depths, gates};
pub(super) use tables::{knockouts, layers};
