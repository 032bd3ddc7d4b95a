//! What a trained model depends on: one part of it after the other is knocked out, and the same text is scored again.
//!
//! A knock-out says how a jointly trained model leans on a part, not what the part could do: the others never learned to do
//! without it. (What it could do is told by training without it.) A part whose input is shuffled over time sees what comes later,
//! and its score may be helped by that: it is a measure of dependence on order, and no estimate of anything else.

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
