//! `hh-runtime task`: memory tasks.

mod completion;

use super::train::{STOPPED, listen, shown};
use crate::budget::parameters;
use crate::files;
use crate::loading;
use crate::machine::{Backends, Machine, Work};
use crate::speak::say;
use crate::task::{Assignment, Copy, Graded, Induction, Kind, ModelOptions, Mqar, Report, SelectiveCopy, exam, solve};
use crate::train::{
    DataOptions, Job, ObjectiveOptions, Outcome, Progress, Provenance, Recipe, RecipeFile, RunFolder, Standing, TrainOptions, load_standing,
};
use anyhow::{Result, bail};
use clap::Subcommand;
use hh_core::backend::Backward;
use hh_core::model::Model;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// What `task --help` begins with.
pub const ABOUT: &str = "\
Ask a model what it can keep in mind: memory tasks, drawn by a seed.

A small model is trained on examples of the task until it answers held-out ones, or to its last step; then it is asked \
through its state, at delays and lengths that it was not trained on. --paths says which paths it has; whichever they \
are, it has as many parameters. A run's folder, runs/TASK-PATHS-1 or what --out says, is that of `train`, and has beside:

  task.json            the task, the model, and what came of it: nll, accuracy, and the table of the exam

Accuracy is the share of answers whose id has the largest logit. Training, the validations on its way and the exam have \
examples that have nothing to do with each other.

Ctrl-C finishes the step at hand, saves, and says how to go on.";

const EXAMPLES: &str = "\
Examples:
  hh-runtime task --list
  hh-runtime task mqar --paths hopfield
  hh-runtime task mqar --length 128 --pairs 8 --width 128 --epochs 8
  hh-runtime task copy --delay 500 --paths ssm+hopfield
  hh-runtime task completion
  hh-runtime task --resume runs/mqar-hopfield-1";

/// Arguments of `task`; see [`ABOUT`].
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    task: Option<Name>,
    /// Tells the tasks
    #[arg(long)]
    list: bool,
    /// Goes on with the run in this folder
    #[arg(long, value_name = "DIR", conflicts_with = "list")]
    resume: Option<PathBuf>,
    #[command(flatten)]
    machine: Machine,
}

#[derive(Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one of them in a process")]
enum Name {
    /// Multi-query associative recall: pairs of key and value, then keys whose values are asked for (zoology's MQAR)
    Mqar(Trained<Mqar>),
    /// Delayed copy: some symbols, a long delay, the symbols once more
    Copy(Trained<Copy>),
    /// Selective copying: symbols scattered among blanks, to be told in their order
    SelectiveCopy(Trained<SelectiveCopy>),
    /// Induction heads: what came after the cue, the last time? Asked at up to 64 times the length of training
    Induction(Trained<Induction>),
    /// Pattern completion from noise and masking: modern and classic Hopfield memories and CA3, none of which is trained
    Completion(completion::Args),
}

/// A task that a model is trained on.
#[derive(clap::Args)]
struct Trained<T: clap::Args> {
    #[command(flatten)]
    task: T,
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    training: Training,
    /// The folder of the run, which must be empty or absent [default: runs/TASK-PATHS-1, or the next free number]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    machine: Machine,
}

/// How a model is trained on a task; each task has defaults of its own.
#[derive(clap::Args)]
#[command(next_help_heading = "Training")]
struct Training {
    /// Examples to train on; 0 is new ones in every step [default: 100000 for mqar, 0 for the others]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..1 << 28))]
    examples: Option<u32>,
    /// Passes over the examples, in place of --steps [default: 64 for mqar]
    #[arg(long, value_name = "N", conflicts_with = "steps")]
    epochs: Option<u32>,
    /// Optimiser steps at most
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// Examples of a step
    #[arg(long, value_name = "B")]
    batch: Option<usize>,
    /// Largest learning rate [default: 2e-3; the sweep of MQAR's authors is 1e-4 to 1e-2]
    #[arg(long)]
    lr: Option<f64>,
    /// Decoupled decay of matrices [default: 0.1]
    #[arg(long)]
    weight_decay: Option<f64>,
    /// Probability of dropout [default: 0]
    #[arg(long)]
    dropout: Option<f64>,
    /// Seed of examples, initial weights and dropout
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Steps from one validation to the next [default: 200]
    #[arg(long, value_name = "N")]
    eval_every: Option<u64>,
    /// Held-out examples; a validation on the way takes the first 500
    #[arg(long, value_name = "N", default_value_t = 3000, value_parser = clap::value_parser!(u32).range(1..1 << 24))]
    held_out: u32,
    /// The share of right answers to held-out examples at which training ends; above 1 it goes to its last step
    #[arg(long, value_name = "SHARE", default_value_t = 0.995)]
    enough: f64,
}

/// Held-out examples of a validation on the way.
const ON_THE_WAY: u64 = 500;

impl Args {
    pub(super) fn machine(&self) -> &Machine {
        match &self.task {
            None => &self.machine,
            Some(Name::Mqar(of)) => &of.machine,
            Some(Name::Copy(of)) => &of.machine,
            Some(Name::SelectiveCopy(of)) => &of.machine,
            Some(Name::Induction(of)) => &of.machine,
            Some(Name::Completion(of)) => &of.machine,
        }
    }
}

/// Runs a task.
pub fn run(args: Args, backends: &impl Backends) -> Result<()> {
    match (args.task, args.resume) {
        (Some(Name::Mqar(of)), _) => fresh(of, Kind::Mqar, backends),
        (Some(Name::Copy(of)), _) => fresh(of, Kind::Copy, backends),
        (Some(Name::SelectiveCopy(of)), _) => fresh(of, Kind::SelectiveCopy, backends),
        (Some(Name::Induction(of)), _) => fresh(of, Kind::Induction, backends),
        (Some(Name::Completion(of)), _) => completion::run(&of, backends),
        (None, Some(folder)) => resumed(&folder, &args.machine, backends),
        (None, None) => list(),
    }
}

fn list() -> Result<()> {
    let mut out = std::io::stdout().lock();
    for task in <Name as Subcommand>::augment_subcommands(clap::Command::new("task")).get_subcommands() {
        writeln!(out, "{:<16}{}", task.get_name(), task.get_about().map(ToString::to_string).unwrap_or_default())?;
    }
    Ok(())
}

fn fresh<T: clap::Args>(of: Trained<T>, kind: impl FnOnce(T) -> Kind, backends: &impl Backends) -> Result<()> {
    let began = Instant::now();
    let place = backends.place(&of.machine)?;
    let (kind, training) = (kind(of.task), &of.training);
    let task = kind.task();
    task.validate()?;
    if !training.enough.is_finite() {
        bail!("--enough is {}; it must be a number", training.enough);
    }
    let (defaults, vocabulary) = (task.defaults(), task.vocabulary());
    let examples = training.examples.map_or(defaults.examples, |n| (n > 0).then_some(n.into()));
    let batch = training.batch.unwrap_or(defaults.batch);
    let steps = match (training.steps, training.epochs, examples) {
        (Some(steps), ..) => steps,
        (None, Some(epochs), Some(examples)) => (examples * u64::from(epochs)).div_ceil(batch.max(1) as u64),
        (None, Some(epochs), None) => {
            bail!("--epochs {epochs} are passes over examples, and every step has new ones: give --steps, or --examples")
        }
        (None, None, _) => (defaults.steps * defaults.batch as u64).div_ceil(batch.max(1) as u64),
    };
    let train = TrainOptions {
        steps: Some(steps),
        batch: Some(batch),
        context: Some(task.length()),
        lr: Some(training.lr.unwrap_or(defaults.lr)),
        weight_decay: training.weight_decay,
        dropout: training.dropout,
        ema: Some(0.0),
        seed: Some(training.seed),
        eval_every: Some(training.eval_every.unwrap_or(200)),
        eval_tokens: Some(ON_THE_WAY * task.length() as u64),
        ..TrainOptions::default()
    };
    let assignment = Assignment { examples, held_out: training.held_out as usize, enough: training.enough, kind: kind.clone() };
    let recipe = |fields| {
        let file = RecipeFile { model: fields, task: Some(assignment.clone()), ..RecipeFile::default() };
        let none = (ObjectiveOptions::default(), DataOptions::default());
        file.with_flags(None, &of.model.set, &train, &none.0, &none.1)?.complete(vocabulary)
    };
    let recipe = recipe(of.model.solved(|fields| Ok(recipe(fields)?.model))?)?;
    let folder = RunFolder::create(of.out.as_deref(), &format!("{}-{}", kind.name(), of.model.paths))?;
    go(Prepared { recipe, folder, standing: None }, &of.machine, backends, &place, began)
}

fn resumed(path: &Path, machine: &Machine, backends: &impl Backends) -> Result<()> {
    let began = Instant::now();
    let place = backends.place(machine)?;
    let folder = RunFolder::open(path)?;
    let standing = load_standing(&folder.resume())?;
    if standing.recipe.task.is_none() {
        bail!("the run in {0} is of a text, not of a task; go on with it by hh-runtime train --resume {0}", path.display());
    }
    go(Prepared { recipe: standing.recipe.clone(), folder, standing: Some(standing) }, machine, backends, &place, began)
}

/// What a run needs before it begins.
struct Prepared {
    recipe: Recipe,
    folder: RunFolder,
    standing: Option<Standing>,
}

fn go(prepared: Prepared, machine: &Machine, backends: &impl Backends, place: &str, began: Instant) -> Result<()> {
    let Prepared { recipe, folder, standing } = &prepared;
    let Some(assignment) = &recipe.task else { bail!("the recipe has no task") };
    let stop = listen().inspect_err(|_| folder.abandon())?;
    let stop = &|| stop.load(Ordering::Relaxed);
    let from = Provenance {
        tokenizer: None,
        origins: Vec::new(),
        split: "other examples are held out".into(),
        command: std::env::args().collect::<Vec<_>>().join(" "),
    };
    let train = || {
        files::write_atomically(&folder.config(), |w| w.write_all(recipe.to_toml().as_bytes()))?;
        introduce(recipe, assignment, folder, place);
        let job = Job { recipe, from: &from, folder, stop: &|_| stop() };
        backends.run(machine, Solve { job, assignment, standing: standing.as_ref() })
    };
    let outcome = train().inspect_err(|_| folder.abandon())?;
    let exam = match outcome.whole {
        Some(_) => backends.run(machine, Examine { recipe, assignment, folder, stop })?,
        None => None,
    };
    let report = exam.as_ref().and_then(|exam| Report::new(recipe, &outcome, exam));
    let (Some(report), Some(exam)) = (report, exam) else {
        let again = machine.again();
        let _ = writeln!(
            std::io::stdout(),
            "stopped after step {}; to go on: hh-runtime task --resume {}{again}",
            outcome.step,
            shown(folder.path())
        );
        std::process::exit(STOPPED);
    };
    let path = folder.path().join("task.json");
    report.write(&path)?;
    summary(&outcome, &exam, &path, began)
}

fn introduce(recipe: &Recipe, assignment: &Assignment, folder: &RunFolder, place: &str) {
    let (t, c) = (&recipe.train, &recipe.model);
    let examples = assignment.examples.map_or("new ones in every step".into(), |n| format!("{n} to train on"));
    say(format_args!(
        "{}: {} weights; {} ids; examples: {examples}, {} held out",
        assignment.kind.name(),
        parameters(c),
        c.vocab_size,
        assignment.held_out
    ));
    say(format_args!("{} steps at most of {} × {} tokens on {place}; into {}", t.steps, t.batch, t.context, shown(folder.path())));
}

struct Solve<'a> {
    job: Job<'a>,
    assignment: &'a Assignment,
    standing: Option<&'a Standing>,
}

impl Work for Solve<'_> {
    type Output = Outcome;

    fn on<B: Backward>(self, make: impl Fn() -> Result<B>) -> Result<Outcome> {
        let progress = Progress::new(self.standing.map_or(0, |s| s.step), self.job.recipe.train.steps, "tokens");
        solve(make()?, &self.job, self.assignment, self.standing, progress)
    }
}

/// All exams of the best weights. `None` where it was stopped.
struct Examine<'a> {
    recipe: &'a Recipe,
    assignment: &'a Assignment,
    folder: &'a RunFolder,
    stop: &'a dyn Fn() -> bool,
}

impl Work for Examine<'_> {
    type Output = Option<Vec<Graded>>;

    fn on<B: Backward>(self, make: impl Fn() -> Result<B>) -> Result<Option<Vec<Graded>>> {
        let source = loading::Source::open(&self.folder.best())?;
        let mut all = Vec::new();
        for asked in self.assignment.kind.task().exams() {
            let mut backend = make()?;
            let model = Model::from_checkpoint(&mut backend, &source.checkpoint()?)?;
            let Some(graded) = exam(backend, &model, &asked, self.recipe.train.seed, self.stop)? else { return Ok(None) };
            say(format_args!("{} {}: accuracy {:.4}", graded.name, graded.value, graded.marks.accuracy()));
            all.push(graded);
        }
        Ok(Some(all))
    }
}

fn summary(outcome: &Outcome, exam: &[Graded], path: &Path, began: Instant) -> Result<()> {
    let mut out = std::io::stdout().lock();
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
    for Graded { name, value, examples, marks } in exam {
        writeln!(
            out,
            "{:<12} accuracy {:.4}, {:.4} nats, over {examples} examples",
            format!("{name} {value}"),
            marks.accuracy(),
            marks.nll()
        )?;
    }
    writeln!(out, "time         {:.0} s", began.elapsed().as_secs_f64())?;
    writeln!(out, "report       {}", shown(path))?;
    Ok(())
}
