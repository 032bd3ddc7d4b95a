//! The training loop: steps, metrics, validations and checkpoints; it can be stopped between any two steps.

use super::checkpoints::{self, Best, Provenance, ResumePoint};
use super::failure::Kept;
use super::metrics::{Evaluation, Gates, Metrics, Record, Step};
use super::objective::Kind;
use super::progress::Progress;
use super::source::TrainingData;
use super::trackers::{Tracker, Trackers};
use super::training_objective::{EmbeddingObjective, NextToken, TrainingObjective};
use super::{Recipe, RunFolder};
use crate::files;
use anyhow::{Result, bail};
use hh_core::backend::Backward;
use hh_core::model::Params;
use hh_core::train::{Losses, Trainer};
use std::marker::PhantomData;
use std::time::{Duration, Instant};

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
    /// Tokens (or texts) per second over the steps of this call, without validations and checkpoints.
    pub tokens_per_second: f64,
}

/// Trains on a text, from the start or from `resume_point`, until the last step is done or the job is stopped.
///
/// # Errors
/// A device that fails or is out of memory, a file that cannot be read or written, or a loss that is not finite. Existing
/// checkpoints are then unchanged.
pub fn run<B: Backward>(
    mut backend: B,
    job: &Job<'_>,
    data: &TrainingData,
    resume_point: Option<&ResumePoint>,
    progress: Progress,
) -> Result<Outcome> {
    let Recipe { model, train, objective, .. } = job.recipe;
    let weights = weights(&mut backend, job, resume_point)?;
    match (data, objective) {
        (TrainingData::Tokens(data), _) => {
            let trainer = Trainer::new(backend, model.clone(), train.hyper(), weights, train.batch, train.context)?;
            train_loop(NextToken::new(trainer, data, train), job, resume_point, progress)
        }
        (TrainingData::Pairs(data), Some(objective)) => {
            let options = objective.options(train.batch, train.context, data.candidates());
            let trainer = Trainer::for_vectors(backend, model.clone(), train.hyper(), weights, options)?;
            train_loop(EmbeddingObjective::new(trainer, data, train), job, resume_point, progress)
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
) -> Result<Outcome> {
    if let Some(resume_point) = resume_point {
        resume_point.restore(objective.trainer())?;
    }
    // Only now, so that a run that cannot be resumed stays as it is.
    files::write_atomically(&job.folder.config(), |w| w.write_all(job.recipe.to_toml().as_bytes()))?;
    let mut run = Run::begin(objective, job, resume_point, progress)?;
    let steps = job.recipe.train.steps;
    while run.at() < steps && !run.is_solved && !(job.stop)(run.at()) {
        run.step()?;
    }
    let whole = if run.at() >= steps || run.is_solved { run.conclude()? } else { None };
    let step = run.at();
    if whole.is_none() && run.saved != Some(step) {
        run.save()?;
    }
    run.progress.finish();
    let trained = run.trained as f64 / run.time.as_secs_f64().max(1e-9);
    Ok(Outcome { step, best: run.best, whole, tokens_per_second: trained })
}

struct Run<'a, B, L> {
    job: &'a Job<'a>,
    objective: L,
    backend: PhantomData<B>,
    metrics: Metrics,
    trackers: Trackers,
    progress: Progress,
    best: Option<Best>,
    /// Whether the run ends here: the objective is solved, or the validation loss has not improved for too long.
    is_solved: bool,
    /// The step of the newest checkpoint, if there is one.
    saved: Option<u64>,
    /// Tokens (or texts) and time of this call's steps.
    trained: u64,
    time: Duration,
    /// Both at the last logged step.
    logged: (u64, Duration),
}

impl<'a, B: Backward, L: TrainingObjective<B>> Run<'a, B, L> {
    fn begin(mut objective: L, job: &'a Job<'a>, resume_point: Option<&ResumePoint>, progress: Progress) -> Result<Self> {
        let steps = objective.trainer().step();
        let metrics = Metrics::open(&job.folder.metrics(), steps)?;
        let trackers = Trackers::open(job.folder, job.trackers, metrics.records(), steps)?;
        let last = metrics.records().iter().rev().find_map(|r| if let Record::Evaluation(r) = r { Some(r) } else { None });
        let is_solved = last.is_some_and(|evaluation| objective.is_solved(evaluation));
        let mut run = Self {
            job,
            objective,
            backend: PhantomData,
            metrics,
            trackers,
            progress,
            best: resume_point.and_then(|s| s.best),
            is_solved,
            saved: resume_point.map(|s| s.step),
            trained: 0,
            time: Duration::ZERO,
            logged: (0, Duration::ZERO),
        };
        run.stop_early();
        Ok(run)
    }

    /// Number of steps done.
    fn at(&mut self) -> u64 {
        self.objective.trainer().step()
    }

    fn step(&mut self) -> Result<()> {
        let t = &self.job.recipe.train;
        let step = self.at() + 1;
        let due = |every: u64| step.is_multiple_of(every) || step == t.steps;
        // Reading a loss synchronises with the device, so only where it is logged or a validation or checkpoint follows.
        let measured = due(t.log_every) || due(t.eval_every) || due(t.save_every);
        let began = Instant::now();
        let losses = self.gradients(measured)?;
        self.objective.trainer().apply()?;
        self.time += began.elapsed();
        self.trained += self.job.recipe.seen_per_step();
        self.progress.tick(step);
        if let Some(losses) = losses {
            self.measure(&losses, due(t.log_every))?;
        }
        if due(t.eval_every) {
            self.evaluate()?;
        }
        if due(t.eval_every) || due(t.save_every) {
            self.save()?;
        }
        Ok(())
    }

    /// Accumulates the gradients of a step; returns its mean losses if `measured`.
    fn gradients(&mut self, measured: bool) -> Result<Option<Losses>> {
        let t = &self.job.recipe.train;
        let mut sum = Losses::default();
        for micro in 0..t.accumulate {
            if let Some(losses) = self.objective.accumulate(micro, measured)? {
                sum.add(&losses);
            }
        }
        Ok(measured.then_some(sum))
    }

    fn measure(&mut self, losses: &Losses, log: bool) -> Result<()> {
        let t = &self.job.recipe.train;
        let (step, grad_norm) = (self.at(), self.objective.trainer().grad_norm()?);
        let total = losses.nll + losses.z + losses.smooth + losses.flow + losses.cosine + losses.pairs;
        if !total.is_finite() || !grad_norm.is_finite() {
            let what = format!("the loss is {} and the gradient norm {grad_norm}", losses.nll + losses.cosine);
            bail!("{}", self.kept().diverged(&what));
        }
        if !log {
            return Ok(());
        }
        let kind = self.job.recipe.objective.as_ref().map_or(Kind::Language, |o| o.kind);
        let (tokens, time) = (self.trained - self.logged.0, self.time - self.logged.1);
        self.logged = (self.trained, self.time);
        let record = Step {
            step,
            tokens: step * self.job.recipe.seen_per_step(),
            nll: (kind != Kind::Distill).then_some(losses.nll),
            z: (kind == Kind::Language).then_some(losses.z),
            smooth: (kind == Kind::Language).then_some(losses.smooth),
            flow: (t.flow_weight > 0.0).then_some(losses.flow),
            cosine: (kind == Kind::Distill).then_some(losses.cosine),
            pairs: (kind == Kind::Distill).then_some(losses.pairs),
            lr: t.hyper().schedule.lr(step - 1),
            grad_norm,
            gates: mean(&self.objective.gates()?),
            tokens_per_second: (tokens as f64 / time.as_secs_f64().max(1e-9)).round(),
        };
        self.progress.step(&record);
        self.record(Record::Step(record))
    }

    fn record(&mut self, record: Record) -> Result<()> {
        self.metrics.push(record)?;
        self.trackers.push(&record)
    }

    /// What a sentence about a failure needs; the progress display ends.
    fn kept(&mut self) -> Kept<'a> {
        self.progress.finish();
        Kept { job: self.job, step: self.at(), saved: self.saved, has_best: self.best.is_some() }
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
        let evaluation = self.objective.validate(t.eval_tokens, &never)?;
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
            let written = checkpoints::save_weights(&folder.best(), self.objective.trainer(), average, Some(nll), recipe, from);
            written.map_err(|e| self.kept().unsaved(e))?;
            self.best = Some(Best { step: evaluation.step, nll, average });
        }
        self.stop_early();
        self.draw()
    }

    /// Writes `curve.svg`, in a build with the feature `plots`.
    fn draw(&self) -> Result<()> {
        #[cfg(feature = "plots")]
        super::draw(&self.job.folder.curve(), self.metrics.records(), self.job.recipe.unit())?;
        Ok(())
    }

    /// Writes the checkpoints, `resume.safetensors` last: resuming needs only this file, and the others are then of its step or
    /// later.
    fn save(&mut self) -> Result<()> {
        let Job { recipe, from, folder, .. } = self.job;
        checkpoints::save_weights(&folder.last(), self.objective.trainer(), false, None, recipe, from)
            .and_then(|()| checkpoints::save_resume_point(&folder.resume(), self.objective.trainer(), self.best, recipe, from))
            .map_err(|e| self.kept().unsaved(e))?;
        self.saved = Some(self.at());
        Ok(())
    }

    /// The final validation, over the whole held-out text; `None` if stopped, in which case a resumed run does only this.
    fn conclude(&mut self) -> Result<Option<Evaluation>> {
        let stop = self.job.stop;
        let step = self.at();
        let Some(part) = self.objective.validate(u64::MAX, &|| stop(step))? else { return Ok(None) };
        let whole = Evaluation { whole: true, ..part };
        self.record(Record::Evaluation(whole))?;
        self.draw()?;
        Ok(Some(whole))
    }
}

/// The mean of each path over the layers that have it.
fn mean(layers: &[[Option<f32>; 3]]) -> Gates {
    let path = |i: usize| {
        let on: Vec<f32> = layers.iter().filter_map(|gates| gates[i]).collect();
        (!on.is_empty()).then(|| on.iter().sum::<f32>() / on.len() as f32)
    };
    Gates { ssm: path(0), hopfield: path(1), attention: path(2) }
}
