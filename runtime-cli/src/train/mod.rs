//! Training: what a run is made of, its folder, and the loop that fills it.
//!
//! A run is a function of its [`Recipe`] and its text alone: neither the number of threads nor where it was interrupted
//! changes a bit of it.

#[cfg(feature = "plots")]
mod curve;
mod keep;
mod lesson;
pub(crate) mod memory;
mod metrics;
mod objective;
mod options;
mod pairs;
mod progress;
mod recipe;
mod run;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod validate;

pub use crate::run_folder::RunFolder;
#[cfg(feature = "plots")]
pub use curve::draw;
pub use keep::{Best, Provenance, Standing, load_standing, trained_on};
pub use lesson::Lesson;
pub use memory::Demand;
pub use metrics::{Evaluation, Gates, Metrics, Record, Step, read_records};
pub use objective::{Kind, Objective, ObjectiveOptions};
pub use options::{DataOptions, TrainOptions};
pub use pairs::Pairs;
pub use progress::{Progress, thousands};
pub use recipe::{Data, Recipe, RecipeFile};
pub use run::{Job, Outcome, course, run, weights};
pub use settings::Settings;
pub use source::{BUILTIN, Material, Origin, Source, builtin};
pub use validate::validate;
