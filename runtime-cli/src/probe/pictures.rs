//! Pictures of what a probe found.

mod shares;
mod tables;

pub(super) use shares::{depths, gates};
pub(super) use tables::{knockouts, layers};
