//! Retrained ablations: what a model loses, trained anew without a part, at equal parameters and equal tokens.
//!
//! Not to be taken for knock-outs, which take a part away from a model that was trained with it.

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
