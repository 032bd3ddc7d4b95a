//! What a run that fails says: what happened, what is kept, and how to go on.

use super::run::Job;
use crate::files::shown;
use anyhow::{Error, anyhow};
use hh_core::error::{CheckpointError, Error as Core};

/// What a run has when it fails.
pub(super) struct Kept<'a> {
    pub(super) job: &'a Job<'a>,
    /// Number of steps done.
    pub(super) step: u64,
    /// The step of the newest checkpoint, if there is one.
    pub(super) saved: Option<u64>,
    /// Whether there are best weights.
    pub(super) has_best: bool,
    /// Whether it is this process that writes.
    pub(super) writes: bool,
}

impl Kept<'_> {
    /// The sentence about a number that is not finite.
    pub(super) fn diverged(&self, what: &str) -> String {
        let Self { job, step, saved, has_best, .. } = *self;
        let diverged = format!("training diverged at step {step}: {what}");
        let Some(saved) = saved else {
            return format!("{diverged}; try a lower --lr, a longer --warmup, or --clip 1; no checkpoint was saved");
        };
        let (recipe, folder) = (job.recipe, job.folder);
        let from = if has_best { folder.path().to_owned() } else { folder.last() };
        let (config, from, lr) = (shown(&folder.config()), shown(&from), recipe.train.lr / 4.0);
        // A memory task starts from its own weights only.
        let again = match recipe.task {
            None => format!(", and `hh-runtime train --config {config} --from {from} --lr {lr:.1e}` starts from them"),
            Some(_) => String::new(),
        };
        format!(
            "{diverged}; a lower --lr, a longer --warmup or --clip 1 may help; the checkpoints of step {saved} in {} are intact{again}",
            folder.path().display()
        )
    }

    /// The error of a rank that cannot be reached any more.
    pub(super) fn lost(&self, e: &Error) -> Error {
        let Self { job, step, saved, writes, .. } = *self;
        let folder = shown(job.folder.path());
        let kept = match saved {
            // Another rank cannot know what the one that writes has finished.
            Some(_) if !writes => format!("--resume {folder} continues from the last checkpoint"),
            Some(saved) => format!("the checkpoint of step {saved} is intact, and --resume {folder} continues from it"),
            None => "no checkpoint was saved".to_owned(),
        };
        anyhow!("{e:#}, so the run ends after step {step}; {kept}")
    }

    /// The error of a checkpoint that could not be written.
    pub(super) fn unsaved(&self, e: Error) -> Error {
        if let Some(Core::Checkpoint(CheckpointError::NotFinite { name, value, .. })) = e.downcast_ref() {
            return anyhow!("{}", self.diverged(&format!("the tensor {name} has the value {value}")));
        }
        let kept = match self.saved {
            None => String::new(),
            Some(saved) => format!("; the checkpoint of step {saved} is intact, and --resume continues from it"),
        };
        e.context(format!("step {} could not be saved{kept}", self.step))
    }
}
