//! Runs the trials of a plan concurrently: each device takes the next trial when it has finished one.

use super::plan::{Plan, Trial};
use super::results::{Result, Table};
use crate::machine::{BackendJob, Backends, Machine};
use crate::train::{
    Job, Outcome, Progress, Provenance, Recipe, ResumePoint, RunFolder, Source, TrainingData, command_line, load_resume_point, run as train,
};
use anyhow::{Result as Fallible, bail};
use hh_core::backend::Backward;
use hh_core::collective::Alone;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What the runs of a plan share.
pub struct RunContext<'a, S> {
    /// The text.
    pub source: &'a Source,
    /// The folder of the ablation.
    pub out: &'a Path,
    /// One entry per concurrent run.
    pub machines: &'a [Machine],
    /// Set to stop after the current step.
    pub stop: &'a AtomicBool,
    /// Called after steps, with the index of the trial and the number of its steps so far.
    pub tick: &'a (dyn Fn(usize, u64) + Sync),
    /// Called after each completed run, with its index and result, and the table so far.
    pub done: S,
}

/// Runs the trials that are not complete, resuming those that were stopped, and returns the table.
///
/// # Errors
/// The error of the first run that fails; no run is started after it.
pub fn run(
    plan: &Plan,
    trials: &[Trial],
    backends: &impl Backends,
    run_context: &RunContext<'_, impl Fn(usize, &Result, &Table) -> Fallible<()> + Sync>,
) -> Fallible<Table> {
    let RunContext { source, out, machines, stop, .. } = run_context;
    let recipes: Vec<Recipe> = trials.iter().map(|trial| trial.recipe.clone()).collect();
    let done = |trial: &Trial| Result::of(&out.join(&trial.folder), &trial.recipe, &source.origins);
    let results: Mutex<Vec<Option<Result>>> = Mutex::new(trials.iter().map(done).collect::<Fallible<_>>()?);
    let table = |results: &[Option<Result>]| Table::new(plan, &recipes, results, &source.origins, &source.split);
    table(&results.lock().expect("no run panics")).write(out)?;
    let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
    let work = |machine: &Machine| -> Fallible<()> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(trial) = trials.get(index) else { return Ok(()) };
            if stop.load(Ordering::Relaxed) || failure.lock().expect("no run panics").is_some() {
                return Ok(());
            }
            if results.lock().expect("no run panics")[index].is_some() {
                continue;
            }
            let Some(result) = run_trial(index, trial, backends, machine, run_context)? else { return Ok(()) };
            let mut results = results.lock().expect("no run panics");
            results[index] = Some(result);
            let table = table(&results);
            table.write(out)?;
            (run_context.done)(index, results[index].as_ref().expect("set above"), &table)?;
        }
    };
    std::thread::scope(|scope| {
        for machine in *machines {
            scope.spawn(|| {
                if let Err(e) = work(machine) {
                    failure.lock().expect("no run panics").get_or_insert(e);
                }
            });
        }
    });
    match failure.into_inner().expect("no run panics") {
        Some(e) => Err(e),
        None => Ok(table(&results.into_inner().expect("no run panics"))),
    }
}

/// Starts or resumes one run; `None` if it was stopped.
fn run_trial<S: Sync>(
    index: usize,
    trial: &Trial,
    backends: &impl Backends,
    machine: &Machine,
    run_context: &RunContext<'_, S>,
) -> Fallible<Option<Result>> {
    let source = run_context.source;
    let path = run_context.out.join(&trial.folder);
    let folder = RunFolder::claim(&path)?;
    let resume_point = if folder.resume().is_file() { Some(load_resume_point(&folder.resume())?) } else { None };
    if resume_point.as_ref().is_some_and(|s| s.recipe != trial.recipe || s.origins != source.origins) {
        bail!("{} contains a run of another plan or text: use another folder for --out, or delete this one", path.display());
    }
    let from = Provenance {
        tokenizer: Some(source.tokenizer.to_json()),
        origins: source.origins.clone(),
        split: source.split.clone(),
        command: command_line(),
    };
    let stop = |step: u64| {
        (run_context.tick)(index, step);
        run_context.stop.load(Ordering::Relaxed)
    };
    let job = Job { recipe: &trial.recipe, from: &from, folder: &folder, trackers: &[], stop: &stop };
    let outcome = backends.run(machine, Training { job, data: &source.training_data, resume_point: resume_point.as_ref() })?;
    let Some(whole) = outcome.whole else { return Ok(None) };
    let nll = whole.validation_ema.unwrap_or(whole.validation);
    let tokens_per_second = outcome.tokens_per_second;
    let recipe = trial.recipe.to_toml();
    let result = Result { nll, scored: whole.scored, tokens_per_second, recipe, data: source.origins.clone() };
    result.write(&path)?;
    // A complete run is never resumed; files that cannot be removed do no harm.
    let _ = fs::remove_file(folder.resume()).and_then(|()| fs::remove_file(folder.last()));
    Ok(Some(result))
}

struct Training<'a> {
    job: Job<'a>,
    data: &'a TrainingData,
    resume_point: Option<&'a ResumePoint>,
}

impl BackendJob for Training<'_> {
    type Output = Outcome;

    fn on<B: Backward>(self, make: impl Fn() -> Fallible<B>) -> Fallible<Outcome> {
        train(make()?, &self.job, self.data, self.resume_point, Progress::hidden(), &mut Alone)
    }
}
