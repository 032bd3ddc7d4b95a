//! Retrained ablations: variants of a model trained from scratch, at equal parameters and equal tokens.
//!
//! They differ from knock-outs ([`crate::probe`]), which remove a part from a model that was trained with it.

mod groups;
#[cfg(feature = "plots")]
mod picture;
mod plan;
mod queue;
mod results;

pub use groups::{GROUPS, Group};
#[cfg(feature = "plots")]
pub use picture::draw;
pub use plan::{Plan, Trial, Variant};
pub use queue::{RunContext, run};
pub use results::{Line, Result as TrialResult, Table, read_table};
