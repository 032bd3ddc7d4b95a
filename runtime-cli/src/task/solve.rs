//! Training on a task.

use super::{Assignment, TaskObjective};
use crate::train::{Job, Outcome, Progress, Recipe, ResumePoint, train_loop, weights};
use anyhow::Result;
use hh_core::backend::Backward;
use hh_core::collective::Alone;
use hh_core::train::Trainer;

/// Trains on a task, from the start or from `resume_point`, until it is solved, the last step is done, or the job is stopped.
///
/// # Errors
/// A device that fails or is out of memory, a file that cannot be written, or a loss that is not finite.
pub fn solve<B: Backward>(
    mut backend: B,
    job: &Job<'_>,
    assignment: &Assignment,
    resume_point: Option<&ResumePoint>,
    progress: Progress,
) -> Result<Outcome> {
    let Recipe { model, train, .. } = job.recipe;
    let weights = weights(&mut backend, job, resume_point)?;
    let trainer = Trainer::new(backend, model.clone(), train.hyper(), weights, train.batch, train.context)?;
    train_loop(TaskObjective::new(trainer, assignment, train)?, job, resume_point, progress, &mut Alone)
}
