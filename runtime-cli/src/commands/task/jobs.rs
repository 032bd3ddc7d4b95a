//! Training and final test of a task, from the recipe to the report.

use crate::budget::parameters;
use crate::files::shown;
use crate::interrupt::{Ending, Interrupt};
use crate::loading;
use crate::machine::{BackendJob, Backends, Machine};
use crate::stderr::say;
use crate::stdout;
use crate::task::{Assignment, ExamResult, REPORT, Report, exam, solve};
use crate::train::{Job, Outcome, Progress, Provenance, Recipe, ResumePoint, RunFolder, command_line};
use anyhow::{Result, bail};
use hh_core::backend::Backward;
use hh_core::model::Model;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// A run that is ready to start.
pub(super) struct Prepared {
    pub(super) recipe: Recipe,
    pub(super) folder: RunFolder,
    pub(super) resume_point: Option<ResumePoint>,
}

/// Trains, runs the final test, and prints a summary.
pub(super) fn go(
    prepared: Prepared,
    machine: &Machine,
    backends: &impl Backends,
    place: &str,
    interrupt: Interrupt,
    began: Instant,
) -> Result<Ending> {
    let Prepared { recipe, folder, resume_point } = &prepared;
    let Some(assignment) = &recipe.task else { bail!("the recipe has no task") };
    let stop = interrupt.listen().inspect_err(|_| folder.abandon())?;
    let stop = &|| stop.load(Ordering::Relaxed);
    let from = Provenance {
        tokenizer: None,
        origins: Vec::new(),
        split: "held-out examples are drawn independently".into(),
        command: command_line(),
    };
    let train = || {
        print_start(recipe, assignment, folder, place);
        let job = Job { recipe, from: &from, folder, trackers: &[], stop: &|_| stop() };
        backends.run(machine, Solve { job, assignment, resume_point: resume_point.as_ref() })
    };
    let outcome = train().inspect_err(|_| folder.abandon())?;
    let exam = match outcome.whole {
        Some(_) => backends.run(machine, FinalTest { recipe, assignment, folder, stop })?,
        None => None,
    };
    let report = exam.as_ref().and_then(|exam| Report::new(recipe, &outcome, exam));
    let (Some(report), Some(exam)) = (report, exam) else {
        let again = machine.again();
        let _ = writeln!(
            stdout::lock(),
            "stopped after step {}; resume with: hh-runtime task --resume {}{again}",
            outcome.step,
            shown(folder.path())
        );
        return Ok(Ending::Stopped);
    };
    let path = folder.path().join(REPORT);
    report.write(&path)?;
    summary(&outcome, &exam, &path, began)?;
    Ok(Ending::Done)
}

fn print_start(recipe: &Recipe, assignment: &Assignment, folder: &RunFolder, place: &str) {
    let (t, c) = (&recipe.train, &recipe.model);
    let examples = assignment.examples.map_or("new in every step".into(), |n| format!("{n} for training"));
    say(format_args!(
        "{}: {} parameters, vocabulary {}; examples: {examples}, {} held out",
        assignment.kind.name(),
        parameters(c),
        c.vocab_size,
        assignment.held_out
    ));
    say(format_args!("at most {} steps of {} × {} tokens on {place}; output: {}", t.steps, t.batch, t.context, shown(folder.path())));
}

struct Solve<'a> {
    job: Job<'a>,
    assignment: &'a Assignment,
    resume_point: Option<&'a ResumePoint>,
}

impl BackendJob for Solve<'_> {
    type Output = Outcome;

    fn on<B: Backward>(self, make: impl Fn() -> Result<B>) -> Result<Outcome> {
        let progress = Progress::new(self.resume_point.map_or(0, |s| s.step), self.job.recipe.train.steps, "tokens");
        solve(make()?, &self.job, self.assignment, self.resume_point, progress)
    }
}

/// The final test of the best weights. `None` where it was stopped.
struct FinalTest<'a> {
    recipe: &'a Recipe,
    assignment: &'a Assignment,
    folder: &'a RunFolder,
    stop: &'a dyn Fn() -> bool,
}

impl BackendJob for FinalTest<'_> {
    type Output = Option<Vec<ExamResult>>;

    fn on<B: Backward>(self, make: impl Fn() -> Result<B>) -> Result<Option<Vec<ExamResult>>> {
        let source = loading::Source::open(&self.folder.best())?;
        let mut all = Vec::new();
        for spec in self.assignment.kind.task().exams() {
            let mut backend = make()?;
            let model = Model::from_checkpoint(&mut backend, &source.checkpoint()?)?;
            let Some(result) = exam(backend, &model, &spec, self.recipe.train.seed, self.stop)? else { return Ok(None) };
            say(format_args!("{} {}: accuracy {:.4}", result.name, result.value, result.score.accuracy()));
            all.push(result);
        }
        Ok(Some(all))
    }
}

fn summary(outcome: &Outcome, exam: &[ExamResult], path: &Path, began: Instant) -> Result<()> {
    let mut out = stdout::lock();
    let Some(whole) = outcome.whole else { return Ok(()) };
    writeln!(out)?;
    writeln!(
        out,
        "held out     accuracy {:.4}, {:.4} nats, over {} answers, after {} steps",
        whole.accuracy.unwrap_or_default(),
        whole.better().0,
        whole.scored,
        outcome.step
    )?;
    for ExamResult { name, value, examples, score } in exam {
        writeln!(
            out,
            "{:<12} accuracy {:.4}, {:.4} nats, over {examples} examples",
            format!("{name} {value}"),
            score.accuracy(),
            score.nll()
        )?;
    }
    writeln!(out, "time         {:.0} s", began.elapsed().as_secs_f64())?;
    writeln!(out, "report       {}", shown(path))?;
    Ok(())
}
