//! The training loop: steps, metrics, validations and checkpoints; it can be stopped between any two steps.
//!
//! All ranks run it and make the same decisions; rank 0 alone writes.

mod step;

use super::checkpoints::{self, Best, Provenance, ResumePoint};
use super::failure::Kept;
use super::local_steps;
use super::metrics::{Evaluation, Metrics, Record};
use super::progress::Progress;
use super::source::TrainingData;
use super::trackers::{Tracker, Trackers};
use super::training_objective::{EmbeddingObjective, NextToken, TrainingObjective};
use super::{Recipe, RunFolder};
use crate::files;
use crate::ranks::any;
use anyhow::{Error, Result, bail};
use hh_core::backend::Backward;
use hh_core::collective::Collective;
use hh_core::error::Error as Core;
use hh_core::model::Params;
use hh_core::train::{HyperParams, Rank, Trainer};
use std::marker::PhantomData;
use std::time::Duration;

/// A run, independent of the backend.
pub struct Job<'a> {
    /// Model, hyper-parameters, text.
    pub recipe: &'a Recipe,
    /// Metadata of its checkpoints.
    pub from: &'a Provenance,
    /// Its output folder.
    pub folder: &'a RunFolder,
    /// Forms in which the metrics are written, beside `metrics.jsonl` and those that the run has already.
    pub trackers: &'a [Tracker],
    /// Called before each step and each batch of the final validation, with the number of steps done; returns true to stop the
    /// run.
    pub stop: &'a (dyn Fn(u64) -> bool + Sync),
}

/// The result of a run.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Number of steps done.
    pub step: u64,
    /// The best validation.
    pub best: Option<Best>,
    /// The final validation, over the whole held-out text; absent if the run was stopped before its end.
    pub whole: Option<Evaluation>,
    /// Tokens (or texts) per second over the steps of this call, of all ranks together, without validations and checkpoints.
    pub tokens_per_second: f64,
    /// Bytes that this rank sent per step of this call, likewise.
    pub bytes_sent: f64,
}

/// Trains on a text, from the start or from `resume_point`, until the last step is done or the job is stopped on a rank.
///
/// # Errors
/// A device that fails or is out of memory, a file that cannot be read or written, a loss that is not finite, or a rank that
/// cannot be reached any more. Existing checkpoints are then intact.
pub fn run<B: Backward>(
    mut backend: B,
    job: &Job<'_>,
    data: &TrainingData,
    resume_point: Option<&ResumePoint>,
    progress: Progress,
    ranks: &mut impl Collective<B>,
) -> Result<Outcome> {
    let Recipe { model, train, objective, .. } = job.recipe;
    let hyper = HyperParams { rank: Rank { rank: ranks.rank(), size: ranks.size() }, ..train.hyper() };
    let weights = weights(&mut backend, job, resume_point)?;
    match (data, objective) {
        (TrainingData::Tokens(data), _) => {
            let trainer = Trainer::new(backend, model.clone(), hyper, weights, train.batch, train.context)?;
            train_loop(NextToken::new(trainer, data, train), job, resume_point, progress, ranks)
        }
        (TrainingData::Pairs(data), Some(objective)) => {
            let options = objective.options(train.batch, train.context, data.candidates());
            let trainer = Trainer::for_vectors(backend, model.clone(), hyper, weights, options)?;
            train_loop(EmbeddingObjective::new(trainer, data, train), job, resume_point, progress, ranks)
        }
        (TrainingData::Pairs(_), None) => bail!("pairs of texts cannot train a language model"),
    }
}

/// The initial weights of a job, or those of `resume_point`.
///
/// # Errors
/// An invalid file, or a device that is out of memory.
pub fn weights<B: Backward>(b: &mut B, job: &Job<'_>, resume_point: Option<&ResumePoint>) -> Result<Params<B::Tensor>> {
    match resume_point {
        Some(resume_point) => resume_point.weights(b, &job.recipe.model),
        None => checkpoints::first_weights(b, job.recipe),
    }
}

/// Trains an objective, whose trainer has these [`weights`], from the start or from `resume_point`, until it is solved, the last
/// step is done, or the job is stopped.
///
/// # Errors
/// As [`run`].
pub fn train_loop<B: Backward, L: TrainingObjective<B>>(
    mut objective: L,
    job: &Job<'_>,
    resume_point: Option<&ResumePoint>,
    progress: Progress,
    ranks: &mut impl Collective<B>,
) -> Result<Outcome> {
    if let Some(resume_point) = resume_point {
        resume_point.restore(objective.trainer())?;
    }
    // Only now, so that a run that cannot be resumed stays as it is.
    if ranks.rank() == 0 {
        files::write_atomically(&job.folder.config(), |w| w.write_all(job.recipe.to_toml().as_bytes()))?;
    }
    let mut run = Run::begin(objective, job, resume_point, progress, ranks)?;
    let whole = run.run_steps().map_err(|e| run.failed(e))?;
    run.progress.finish();
    let per = |amount: u64, of: f64| amount as f64 / of.max(1e-9);
    Ok(Outcome {
        step: run.at(),
        best: run.best,
        whole,
        tokens_per_second: per(run.trained, run.time.as_secs_f64()),
        bytes_sent: per(run.sent, run.steps as f64),
    })
}

struct Run<'a, B, L, C> {
    job: &'a Job<'a>,
    objective: L,
    ranks: &'a mut C,
    backend: PhantomData<B>,
    metrics: Metrics,
    trackers: Trackers,
    progress: Progress,
    best: Option<Best>,
    /// Whether the run ends here: the objective is solved, or the validation loss has not improved for too long.
    is_solved: bool,
    /// The step of the newest checkpoint, if there is one.
    saved: Option<u64>,
    /// The state is that between two steps, with everything done that follows the one before.
    is_between: bool,
    /// Steps of this call; their tokens (or texts), time, and bytes sent.
    steps: u64,
    trained: u64,
    time: Duration,
    sent: u64,
    /// The same at the last logged step.
    logged: (u64, u64, Duration, u64),
}

impl<'a, B: Backward, L: TrainingObjective<B>, C: Collective<B>> Run<'a, B, L, C> {
    fn begin(mut objective: L, job: &'a Job<'a>, resume_point: Option<&ResumePoint>, progress: Progress, ranks: &'a mut C) -> Result<Self> {
        let steps = objective.trainer().step();
        let (metrics, trackers) = match ranks.rank() {
            0 => {
                let metrics = Metrics::open(&job.folder.metrics(), steps)?;
                let trackers = Trackers::open(job.folder, job.trackers, metrics.records(), steps)?;
                (metrics, trackers)
            }
            _ => (Metrics::unwritten(), Trackers::default()),
        };
        let last = metrics.records().iter().rev().find_map(|r| if let Record::Evaluation(r) = r { Some(r) } else { None });
        let is_solved = last.is_some_and(|evaluation| objective.is_solved(evaluation));
        let mut run = Self {
            job,
            objective,
            ranks,
            backend: PhantomData,
            metrics,
            trackers,
            progress,
            best: resume_point.and_then(|s| s.best),
            is_solved,
            saved: resume_point.map(|s| s.step),
            is_between: true,
            steps: 0,
            trained: 0,
            time: Duration::ZERO,
            sent: 0,
            logged: (0, 0, Duration::ZERO, 0),
        };
        run.stop_early();
        Ok(run)
    }

    /// Number of steps done.
    fn at(&mut self) -> u64 {
        self.objective.trainer().step()
    }

    /// Steps until the end or a stop, then the last validation or, stopped, a checkpoint.
    fn run_steps(&mut self) -> Result<Option<Evaluation>> {
        let steps = self.job.recipe.train.steps;
        while self.at() < steps && !self.is_solved && !self.is_stopped()? {
            self.step()?;
        }
        let whole = if self.at() >= steps || self.is_solved { self.conclude()? } else { None };
        if whole.is_none() && !self.is_saved() {
            self.save()?;
        }
        Ok(whole)
    }

    /// Whether the run is to be stopped, on any rank.
    fn is_stopped(&mut self) -> Result<bool> {
        // Apart from each other, ranks do not ask whether another one is to stop.
        let at = self.at();
        if self.job.recipe.train.local_steps > 0 && !self.objective.trainer().is_outer(at) {
            return Ok(false);
        }
        let stop = (self.job.stop)(at);
        Ok(any(self.ranks, stop)?)
    }

    /// Whether the newest checkpoint is of the last step.
    fn is_saved(&mut self) -> bool {
        let at = self.at();
        self.saved == Some(at)
    }

    fn record(&mut self, record: Record) -> Result<()> {
        self.metrics.push(record)?;
        self.trackers.push(&record)
    }

    /// What a sentence about a failure needs; the progress display ends.
    fn kept(&mut self) -> Kept<'a> {
        self.progress.finish();
        Kept { job: self.job, step: self.at(), saved: self.saved, has_best: self.best.is_some(), writes: self.ranks.rank() == 0 }
    }

    /// The error of a run that ends here. Without another rank, the last step that all have made is saved.
    fn failed(&mut self, e: Error) -> Error {
        if !matches!(e.downcast_ref(), Some(Core::Collective(_))) {
            return e;
        }
        // After local steps the others have moments of their own, which are lost with them.
        if self.is_between
            && self.job.recipe.train.local_steps == 0
            && self.ranks.rank() == 0
            && !self.is_saved()
            && let Err(unsaved) = self.save()
        {
            return unsaved.context(e.to_string());
        }
        self.kept().lost(&e)
    }

    /// Ends the run if the last validations, as many as the recipe's patience, are no better than one before them. A function of
    /// what a resume point has, so a resumed run decides as an uninterrupted one.
    fn stop_early(&mut self) {
        let (at, t) = (self.at(), &self.job.recipe.train);
        let Some(best) = self.best.filter(|best| t.patience > 0 && at / t.eval_every - best.step / t.eval_every >= t.patience) else {
            return;
        };
        self.progress.say(&format!("step {at}: no validation after that of step {} is better, so the run ends early", best.step));
        self.is_solved = true;
    }

    fn evaluate(&mut self) -> Result<()> {
        let t = &self.job.recipe.train;
        // Never stopped: the best weights depend on it, and a resumed run does not repeat it.
        let never = || false;
        let evaluation = self.objective.validate(self.ranks, t.eval_tokens, &never)?;
        let evaluation = evaluation.expect("never stopped");
        let (nll, average) = evaluation.better();
        if !nll.is_finite() {
            bail!("{}", self.kept().diverged(&format!("the validation loss is {nll}")));
        }
        let better = self.best.is_none_or(|best| nll < best.nll);
        self.is_solved = self.objective.is_solved(&evaluation);
        self.record(Record::Evaluation(evaluation))?;
        self.progress.evaluation(&evaluation, better);
        if better {
            let Job { recipe, from, folder, .. } = self.job;
            if self.ranks.rank() == 0 {
                let written = checkpoints::save_weights(&folder.best(), self.objective.trainer(), average, Some(nll), recipe, from);
                written.map_err(|e| self.kept().unsaved(e))?;
            }
            self.best = Some(Best { step: evaluation.step, nll, average });
        }
        self.stop_early();
        self.draw()
    }

    /// Writes `curve.svg`, in a build with the feature `plots`.
    fn draw(&self) -> Result<()> {
        #[cfg(feature = "plots")]
        if self.ranks.rank() == 0 {
            super::draw(&self.job.folder.curve(), self.metrics.records(), self.job.recipe.unit())?;
        }
        Ok(())
    }

    /// Writes the checkpoints, `resume.safetensors` last: resuming needs only this file, and the others are then of its step or
    /// later.
    fn save(&mut self) -> Result<()> {
        let Job { recipe, from, folder, .. } = self.job;
        let local = local_steps::gather(self.objective.trainer(), self.ranks)?;
        if self.ranks.rank() == 0 {
            checkpoints::save_weights(&folder.last(), self.objective.trainer(), false, None, recipe, from)
                .and_then(|()| checkpoints::save_resume_point(&folder.resume(), self.objective.trainer(), self.best, recipe, from, &local))
                .map_err(|e| self.kept().unsaved(e))?;
        }
        self.saved = Some(self.at());
        Ok(())
    }

    /// The final validation, over the whole held-out text; `None` if stopped, in which case a resumed run does only this.
    fn conclude(&mut self) -> Result<Option<Evaluation>> {
        let stop = self.job.stop;
        let step = self.at();
        let Some(part) = self.objective.validate(self.ranks, u64::MAX, &|| stop(step))? else { return Ok(None) };
        let whole = Evaluation { whole: true, ..part };
        self.record(Record::Evaluation(whole))?;
        self.draw()?;
        Ok(Some(whole))
    }
}
