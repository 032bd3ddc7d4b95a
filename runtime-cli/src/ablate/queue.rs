//! Runs the trials of a plan, as many side by side as there are machines, each where the one before has ended.

use super::plan::{Plan, Trial};
use super::results::{Result, Table};
use crate::files;
use crate::machine::{BackendJob, Backends, Machine};
use crate::train::{
    Job, Outcome, Progress, Provenance, Recipe, ResumePoint, RunFolder, Source, TrainingData, load_resume_point, run as train,
};
use anyhow::{Result as Fallible, bail};
use hh_core::backend::Backward;
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
    /// A machine for each run at a time.
    pub machines: &'a [Machine],
    /// Whether to stop after the step at hand.
    pub stop: &'a AtomicBool,
    /// Hears of steps: trial, steps taken.
    pub tick: &'a (dyn Fn(usize, u64) + Sync),
    /// Hears of every run that is done, and of what all have come to so far.
    pub done: S,
}

/// Carries out what is not done yet of a plan, and returns the table; runs that were stopped go on where they were.
///
/// # Errors
/// One sentence: the first run's that failed, after which no other is begun.
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
            let Some(result) = one(index, trial, backends, machine, run_context)? else { return Ok(()) };
            let mut results = results.lock().expect("no run panics");
            results[index] = Some(result);
            let table = table(&results);
            table.write(out)?;
            (run_context.done)(index, results[index].as_ref().expect("just put there"), &table)?;
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

/// One run, from its beginning or from where it was left; `None` where it was stopped.
fn one<S: Sync>(
    index: usize,
    trial: &Trial,
    backends: &impl Backends,
    machine: &Machine,
    run_context: &RunContext<'_, S>,
) -> Fallible<Option<Result>> {
    let source = run_context.source;
    let path = run_context.out.join(&trial.folder);
    let folder = RunFolder::at(&path)?;
    let resume_point = if folder.resume().is_file() { Some(load_resume_point(&folder.resume())?) } else { None };
    if resume_point.as_ref().is_some_and(|s| s.recipe != trial.recipe || s.origins != source.origins) {
        bail!("{} holds a run of another plan or text: give another folder to --out, or delete that one", path.display());
    }
    let recipe = trial.recipe.to_toml();
    files::write_atomically(&folder.config(), |w| w.write_all(recipe.as_bytes()))?;
    let from = Provenance {
        tokenizer: Some(source.tokenizer.to_json()),
        origins: source.origins.clone(),
        split: source.split.clone(),
        command: std::env::args().collect::<Vec<_>>().join(" "),
    };
    let stop = |step: u64| {
        (run_context.tick)(index, step);
        run_context.stop.load(Ordering::Relaxed)
    };
    let job = Job { recipe: &trial.recipe, from: &from, folder: &folder, stop: &stop };
    let outcome = backends.run(machine, Training { job, data: &source.training_data, resume_point: resume_point.as_ref() })?;
    let Some(whole) = outcome.whole else { return Ok(None) };
    let nll = whole.validation_ema.unwrap_or(whole.validation);
    let tokens_per_second = outcome.tokens_per_second;
    let result = Result { nll, scored: whole.scored, tokens_per_second, recipe, data: source.origins.clone() };
    result.write(&path)?;
    // A run that is done needs nothing to go on with; what cannot be removed does no harm.
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
        train(make()?, &self.job, self.data, self.resume_point, Progress::hidden())
    }
}
