//! Training: recipe, data, training loop, checkpoints and metrics of a run.
//!
//! A run is a function of its [`Recipe`] and its text only: its results are bit for bit the same for any number of threads and
//! any interruptions.

mod checkpoints;
#[cfg(feature = "plots")]
mod curve;
mod failure;
mod local_steps;
pub(crate) mod memory_estimate;
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
mod trackers;
mod training_objective;
mod validate;

pub use crate::run_folder::RunFolder;
pub(crate) use checkpoints::command_line;
pub use checkpoints::{Best, Provenance, ResumePoint, load_resume_point, trained_on};
#[cfg(feature = "plots")]
pub use curve::draw;
pub use memory_estimate::MemoryEstimate;
pub use metrics::{Evaluation, Gates, Metrics, Record, Step, read_records};
pub use objective::{Kind, Objective, ObjectiveOptions};
pub use options::DataOptions;
pub use pairs::Pairs;
pub use progress::{Progress, thousands};
pub use recipe::{Data, Recipe, RecipeFile};
pub use run::{Job, Outcome, run, train_loop, weights};
pub use settings::{Optimizer, Settings, TrainOptions};
pub use source::{BUILTIN, Source, SourceFile, TrainingData, builtin};
pub use trackers::Tracker;
pub use training_objective::TrainingObjective;
pub use validate::validate;
