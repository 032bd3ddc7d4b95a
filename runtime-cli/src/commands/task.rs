//! `hh-runtime task`: synthetic memory benchmarks.

mod completion;
mod help;
mod jobs;

pub use help::ABOUT;

use self::help::{COPY, EXAMPLES, INDUCTION, MQAR, SELECTIVE_COPY};
use self::jobs::{Prepared, go};
use crate::interrupt::{Ending, Interrupt};
use crate::machine::{Backends, Machine};
use crate::stdout;
use crate::task::{Assignment, DelayedCopy, Induction, Kind, ModelOptions, Mqar, SelectiveCopy};
use crate::train::{DataOptions, ObjectiveOptions, RecipeFile, RunFolder, TrainOptions, load_resume_point};
use anyhow::{Result, bail};
use clap::Subcommand;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Arguments of `task`; see [`ABOUT`].
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    task: Option<Name>,
    /// List the tasks
    #[arg(long)]
    list: bool,
    /// Resume the run in this folder
    #[arg(long, value_name = "DIR", conflicts_with = "list")]
    resume: Option<PathBuf>,
    #[command(flatten)]
    machine: Machine,
}

#[derive(Subcommand)]
enum Name {
    /// Multi-query associative recall (MQAR of zoology): key-value pairs, then keys whose values must be recalled
    #[command(after_help = MQAR)]
    Mqar(Trained<Mqar>),
    /// Delayed copy: some symbols, a long delay, then the symbols must be repeated
    #[command(after_help = COPY)]
    Copy(Trained<DelayedCopy>),
    /// Selective copying: symbols scattered among blanks must be repeated in order
    #[command(after_help = SELECTIVE_COPY)]
    SelectiveCopy(Trained<SelectiveCopy>),
    /// Induction heads: recall the token after the last cue; tested at up to 64 times the training length
    #[command(after_help = INDUCTION)]
    Induction(Trained<Induction>),
    /// Pattern completion from noisy or masked probes: modern and classic Hopfield memories and CA3, without training
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
    /// Output folder, must be empty or absent [default: runs/TASK-PATHS-1, or the next free number]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    machine: Machine,
}

/// Training hyper-parameters; the defaults depend on the task.
#[derive(clap::Args)]
#[command(next_help_heading = "Training")]
struct Training {
    /// Training examples; 0 generates new ones in every step [default: 100000 for mqar, 0 for the others]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..1 << 24))]
    examples: Option<u32>,
    /// Passes over the examples, instead of --steps [default: 64 for mqar]
    #[arg(long, value_name = "N", conflicts_with = "steps")]
    epochs: Option<u32>,
    /// Maximum optimiser steps [default: enough for 6.4M examples of mqar, 48,000 of copy, 192,000 of selective-copy, 128,000 of
    /// induction]
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// Examples per step [default: 128 for mqar, 16 for copy, 32 for the others]
    #[arg(long, value_name = "B")]
    batch: Option<usize>,
    /// Peak learning rate [default: 2e-3; the MQAR paper sweeps 1e-4 to 1e-2]
    #[arg(long)]
    lr: Option<f64>,
    /// Decoupled weight decay of matrices [default: 0.1]
    #[arg(long)]
    weight_decay: Option<f64>,
    /// Dropout probability [default: 0]
    #[arg(long)]
    dropout: Option<f64>,
    /// Seed of examples, initial weights and dropout
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Steps between validations [default: 200]
    #[arg(long, value_name = "N")]
    eval_every: Option<u64>,
    /// Held-out examples; validations during training use the first 500
    #[arg(long, value_name = "N", default_value_t = 3000, value_parser = clap::value_parser!(u32).range(1..1 << 24))]
    held_out: u32,
    /// Held-out accuracy at which training stops early; above 1 it never does
    #[arg(long, value_name = "SHARE", default_value_t = 0.995)]
    enough: f64,
}

/// Held-out examples of a validation during training.
const VALIDATION_EXAMPLES: u64 = 500;

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

/// Runs or resumes a task, or lists the tasks.
///
/// # Errors
/// Invalid options, a device that is unavailable, a failed run, or a file that cannot be read or written.
pub fn run(args: Args, backends: &impl Backends, interrupt: Interrupt) -> Result<Ending> {
    match (args.task, args.resume) {
        (Some(Name::Mqar(of)), _) => fresh(of, Kind::Mqar, backends, interrupt),
        (Some(Name::Copy(of)), _) => fresh(of, Kind::Copy, backends, interrupt),
        (Some(Name::SelectiveCopy(of)), _) => fresh(of, Kind::SelectiveCopy, backends, interrupt),
        (Some(Name::Induction(of)), _) => fresh(of, Kind::Induction, backends, interrupt),
        (Some(Name::Completion(of)), _) => completion::run(&of, backends).map(|()| Ending::Done),
        (None, Some(folder)) => resumed(&folder, &args.machine, backends, interrupt),
        (None, None) => list().map(|()| Ending::Done),
    }
}

fn list() -> Result<()> {
    let mut out = stdout::lock();
    for task in <Name as Subcommand>::augment_subcommands(clap::Command::new("task")).get_subcommands() {
        writeln!(out, "{:<16}{}", task.get_name(), task.get_about().map(ToString::to_string).unwrap_or_default())?;
    }
    Ok(())
}

fn fresh<T: clap::Args>(of: Trained<T>, kind: impl FnOnce(T) -> Kind, backends: &impl Backends, interrupt: Interrupt) -> Result<Ending> {
    let began = Instant::now();
    let place = backends.place(&of.machine)?;
    let (kind, training) = (kind(of.task), &of.training);
    let task = kind.task();
    task.validate()?;
    if !training.enough.is_finite() {
        bail!("--enough is {}; it must be finite", training.enough);
    }
    let (defaults, vocabulary) = (task.defaults(), task.vocabulary());
    let examples = training.examples.map_or(defaults.examples, |n| (n > 0).then_some(n.into()));
    let batch = training.batch.unwrap_or(defaults.batch);
    let steps = match (training.steps, training.epochs, examples) {
        (Some(steps), ..) => steps,
        (None, Some(epochs), Some(examples)) => (examples * u64::from(epochs)).div_ceil(batch.max(1) as u64),
        (None, Some(epochs), None) => {
            bail!("--epochs {epochs} needs a fixed set of examples, but every step generates new ones: give --steps, or --examples")
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
        eval_tokens: Some(VALIDATION_EXAMPLES * task.length() as u64),
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
    go(Prepared { recipe, folder, resume_point: None }, &of.machine, backends, &place, interrupt, began)
}

fn resumed(path: &Path, machine: &Machine, backends: &impl Backends, interrupt: Interrupt) -> Result<Ending> {
    let began = Instant::now();
    let place = backends.place(machine)?;
    let folder = RunFolder::open(path)?;
    let resume_point = load_resume_point(&folder.resume())?;
    if resume_point.recipe.task.is_none() {
        bail!("the run in {0} was trained on text, not on a task; resume it with hh-runtime train --resume {0}", path.display());
    }
    go(
        Prepared { recipe: resume_point.recipe.clone(), folder, resume_point: Some(resume_point) },
        machine,
        backends,
        &place,
        interrupt,
        began,
    )
}
