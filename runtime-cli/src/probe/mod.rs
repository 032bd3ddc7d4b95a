//! Knock-outs: one part of a trained model at a time is disabled, and the same text is scored again.
//!
//! A knock-out measures how much a jointly trained model depends on a part, not what the part can do: the other parts were never
//! trained without it ([`crate::ablate`] trains without it). A part whose input is shuffled over time sees later positions, which
//! may improve its score, so a shuffle measures only the dependence on order.

mod disturb;
mod edit;
mod findings;
mod knockout;
mod means;
#[cfg(feature = "plots")]
mod pictures;
mod run;
#[cfg(test)]
mod tests;

pub use findings::{FILES, Findings, Provenance, Report, Row};
pub use knockout::{Change, Group, Knockout, knockouts};
pub use means::{Depths, Gate};
pub use run::{Options, Progress, probe};
