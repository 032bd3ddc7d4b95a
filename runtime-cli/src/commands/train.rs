//! `hh-runtime train`: trains a language model or an embedding model.

mod report;
mod together;

use self::report::{Conclusion, print_start};
use crate::files::{self, shown};
use crate::hub;
use crate::interrupt::{Ending, Interrupt};
use crate::loading;
use crate::machine::{BackendJob, Backends, Machine};
use crate::ranks::{Launch, Ranks, threads_of_one};
use crate::stderr::say;
use crate::stdout;
use crate::train::{
    DataOptions, Job, ObjectiveOptions, Outcome, Progress, Provenance, Recipe, RecipeFile, ResumePoint, RunFolder, Source, SourceFile,
    Tracker, TrainOptions, TrainingData, command_line, load_resume_point, run as train,
};
use anyhow::{Context, Result, bail};
use hh_core::backend::Backward;
use hh_cpu::Cpu;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Start of `train --help`.
pub const ABOUT: &str = "\
Train a model on text, as a language model or as an embedding model.

Without flags it trains a language model of 0.8M parameters on the built-in corpus, in under three minutes on two cores, and \
prints its validation loss and a sample.

All output is in one folder, runs/NAME-1 or --out:

  config.toml          the recipe with every value, to run again with --config
  best.safetensors     the weights with the best validation loss, for `sample`, `eval` and `export`
  last.safetensors     the newest weights
  resume.safetensors   the state for --resume
  metrics.jsonl        one line of JSON for every tenth step and every validation
  curve.svg            the metrics as a picture
  metrics.csv          with --log csv: the metrics as a table
  tensorboard/         with --log tensorboard: the metrics as event files; show them with `tensorboard --logdir runs`

Ctrl-C finishes the current step, saves, and prints the command that resumes the run; a second Ctrl-C quits immediately. \
SIGTERM and SIGHUP do the same; under nohup the latter is ignored. A resumed run is bit for bit equal to an uninterrupted one, \
with any number of threads. A folder has one run at a time.

Started by torchrun, srun or mpirun, the processes train one model together: --accumulate counts the micro-batches of all of \
them and defaults to their number, rank 0 writes, and a signal to one of them stops all.";

/// Arguments of `train`; see [`ABOUT`].
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Model preset: char-0.8m, char-4.5m, gpt-4.5m, bpe-97m or word-107m [default: char-0.8m]
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Recipe file: TOML with the sections [model], [train] and [data], or JSON with the fields of a model; flags override it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set a field of the model configuration, as in --set layers=6 or --set hopfield_kind=classic
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Passes over the blocks; the same as --set segments=N
    #[arg(long, value_name = "N")]
    segments: Option<usize>,
    /// Output folder, must be empty or absent [default: runs/NAME-1, or the next free number]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write the metrics in another form, too; repeatable
    #[arg(long, value_enum, value_name = "FORM")]
    log: Vec<Tracker>,
    /// Resume the run in this folder; can be combined only with --steps, --patience, --log, --backend, --precision and
    /// --threads
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    resume: Option<PathBuf>,
    #[command(flatten)]
    text: DataOptions,
    #[command(flatten)]
    training: TrainOptions,
    #[command(flatten)]
    objective: ObjectiveOptions,
    #[command(flatten)]
    pub(super) machine: Machine,
}

const EXAMPLES: &str = "\
Examples:
  hh-runtime train
  hh-runtime train --preset char-4.5m --data shakespeare.txt --steps 5000 --dropout 0.2
  hh-runtime train --config runs/char-0.8m-1/config.toml --seed 2
  hh-runtime train --preset bpe-97m --data corpus.jsonl.zst --tokenizer bpe:tokenizer.json --batch 4 --accumulate 8
  hh-runtime train --resume runs/char-0.8m-1
  torchrun --no-python --nproc-per-node 2 hh-runtime train --data corpus.txt
  srun -n 4 hh-runtime train --data corpus.txt --out run
  hh-runtime train --from runs/bpe-1 --objective contrastive --data pairs.tsv --columns question,answer --batch 256 --context 64
  hh-runtime train --from runs/bpe-1 --objective distill --data texts.txt --teacher vectors.npy --set pooled_dim=384 --batch 256";

/// Trains a model and prints a summary.
///
/// # Errors
/// Invalid options, files or data, a device that is unavailable or fails, a file that cannot be written, an environment that
/// contradicts itself, or another rank that cannot be reached.
pub fn run(args: Args, backends: &impl Backends, interrupt: Interrupt) -> Result<Ending> {
    let launch = Launch::detect()?;
    let done = run_rank(args, &launch, backends, interrupt);
    if launch.rank == 0 { done } else { done.with_context(|| format!("rank {}", launch.rank)) }
}

fn run_rank(mut args: Args, launch: &Launch, backends: &impl Backends, interrupt: Interrupt) -> Result<Ending> {
    let began = Instant::now();
    if launch.size > 1 {
        together::check(&args)?;
    } else if let Some(note) = Launch::note() {
        say(note);
    }
    // Checked before the text is read and the folder is created.
    let mut place = backends.place(&args.machine)?;
    let mut ranks = Ranks::connect(launch)?;
    if launch.size > 1 && args.machine.threads.is_none() {
        args.machine.threads = u16::try_from(threads_of_one::<Cpu<f32>>(&mut ranks)?).ok();
        place = backends.place(&args.machine)?;
    }
    let prepared = match &args.resume {
        Some(folder) => resumed(folder, &args, launch)?,
        None => fresh(&args, launch)?,
    };
    let prepared = together::agree(prepared, &args.machine, &mut ranks)?;
    let folder = &prepared.folder;
    let abandon = || {
        if launch.rank == 0 {
            folder.abandon()
        }
    };
    let stop = if launch.rank == 0 { interrupt.listen() } else { interrupt.listen_quietly() };
    let stop = stop.inspect_err(|_| abandon())?;
    let outcome = train_on(backends, &args, &prepared, &place, &stop, &mut ranks).inspect_err(|_| abandon())?;
    ranks.finish();
    if launch.rank != 0 {
        return Ok(if outcome.whole.is_none() { Ending::Stopped } else { Ending::Done });
    }
    if outcome.whole.is_none() {
        let steps = prepared.recipe.train.steps;
        let place = if outcome.step < steps { format!("after step {} of {steps}", outcome.step) } else { "in the last validation".into() };
        let again = args.machine.again();
        // A stopped run is reported as such even if the line cannot be printed.
        let _ = writeln!(stdout::lock(), "stopped {place}; resume with: hh-runtime train --resume {}{again}", shown(folder.path()));
        return Ok(Ending::Stopped);
    }
    let conclusion = Conclusion { recipe: &prepared.recipe, folder, outcome: &outcome, began, stop: &stop, size: launch.size };
    backends.run(&args.machine, conclusion)?;
    Ok(Ending::Done)
}

fn train_on(
    backends: &impl Backends,
    args: &Args,
    prepared: &Prepared,
    place: &str,
    stop: &AtomicBool,
    ranks: &mut Ranks,
) -> Result<Outcome> {
    let Prepared { recipe, source, folder, resume_point } = prepared;
    let from = Provenance {
        tokenizer: Some(source.tokenizer.to_json()),
        origins: source.origins.clone(),
        split: source.split.clone(),
        command: command_line(),
    };
    let rank = ranks.place();
    let estimate = backends.memory_estimate(&args.machine, recipe, rank)?;
    if rank.rank == 0 {
        print_start(recipe, source, folder, place, rank.size);
        if let Some(estimate) = estimate {
            say(format_args!("memory {estimate}{}", if rank.size > 1 { ", of each rank" } else { "" }));
        }
    }
    let job = Job { recipe, from: &from, folder, trackers: &args.log, stop: &|_| stop.load(Ordering::Relaxed) };
    backends.run(&args.machine, Training { job, data: &source.training_data, resume_point: resume_point.as_ref(), ranks })
}

struct Training<'a> {
    job: Job<'a>,
    data: &'a TrainingData,
    resume_point: Option<&'a ResumePoint>,
    ranks: &'a mut Ranks,
}

impl BackendJob for Training<'_> {
    type Output = Outcome;

    fn on<B: Backward>(self, make: impl Fn() -> Result<B>) -> Result<Outcome> {
        let recipe = self.job.recipe;
        let unit = if recipe.objective.is_some() { "texts" } else { "tokens" };
        let progress = match self.ranks.place().rank {
            0 => Progress::new(self.resume_point.map_or(0, |s| s.step), recipe.train.steps, unit),
            _ => Progress::hidden(),
        };
        train(make()?, &self.job, self.data, self.resume_point, progress, self.ranks)
    }
}

/// A run that is ready to start.
struct Prepared {
    recipe: Recipe,
    source: Source,
    folder: RunFolder,
    resume_point: Option<ResumePoint>,
}

fn fresh(args: &Args, launch: &Launch) -> Result<Prepared> {
    let file = args.config.as_deref().map(RecipeFile::read).transpose()?.unwrap_or_default();
    if let Some(assignment) = &file.task {
        bail!("the recipe is that of a memory task: use hh-runtime task {}", assignment.kind.name());
    }
    let mut set = args.set.clone();
    set.extend(args.segments.map(|n| format!("segments={n}")));
    let from = args.training.from.clone().or(file.train.from.clone());
    let file = if args.preset.is_none() { file.starting_from(from.as_deref())? } else { file };
    let mut file = file.with_flags(args.preset.as_deref(), &set, &args.training, &args.objective, &args.text)?;
    // One micro-batch for each rank.
    file.train.accumulate = file.train.accumulate.or((launch.size > 1).then_some(launch.size));
    // Absolute, so that the stored recipe works from any folder.
    for path in [&mut file.train.from, &mut file.objective.teacher].into_iter().flatten() {
        if !hub::is_address(path) {
            *path = files::absolute(path)?;
        }
    }
    // Reading the text may take minutes, so the recipe is checked first, with a placeholder vocabulary size.
    let checked = file.complete(256)?;
    checked.for_ranks(launch.size)?;
    let objective = checked.objective;
    let mut data = file.data();
    data.make_absolute()?;
    let known = match (&file.train.from, &data.tokenizer) {
        (Some(from), None) => Some(loading::tokenizer(&from.to_string_lossy())?),
        _ => None,
    };
    let source = Source::open(&data, objective.as_ref(), known)?;
    let recipe = Recipe { data, ..file.complete(source.tokenizer.vocab_size())? };
    source.require(&recipe)?;
    if launch.rank != 0 {
        return Ok(Prepared { recipe, source, folder: RunFolder::at(Path::new("")), resume_point: None });
    }
    recipe.data.repeated(&source.origins).iter().for_each(say);
    let name = match (file.preset(), &args.config) {
        (Some(preset), _) => preset.to_owned(),
        (None, Some(path)) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        (None, None) => "model".to_owned(),
    };
    let folder = RunFolder::create(args.out.as_deref(), &name)?;
    Ok(Prepared { recipe, source, folder, resume_point: None })
}

fn resumed(path: &Path, args: &Args, launch: &Launch) -> Result<Prepared> {
    let changeable = TrainOptions { steps: args.training.steps, patience: args.training.patience, ..TrainOptions::default() };
    let other = args.objective != ObjectiveOptions::default()
        || args.preset.is_some()
        || args.config.is_some()
        || args.segments.is_some()
        || !args.set.is_empty();
    if other || args.training != changeable || args.text != DataOptions::default() {
        bail!(
            "--resume uses the recipe of the run and can be combined only with --steps, --patience, --log, --backend, --precision and --threads; \
             for another recipe start a new run, from its weights with --from"
        );
    }
    let folder = if launch.rank == 0 { RunFolder::open(path)? } else { RunFolder::at(path) };
    let resume_point = load_resume_point(&folder.resume())?;
    if let Some(ranks) = resume_point.ranks.filter(|&ranks| ranks != launch.size) {
        bail!("with local steps each of the {ranks} ranks of the run has moments of its own: resume it with {ranks} ranks");
    }
    let mut recipe = extended(&resume_point, args.training.steps, launch.rank == 0)?;
    recipe.for_ranks(launch.size)?;
    recipe.train.patience = args.training.patience.unwrap_or(recipe.train.patience);
    let Some(tokenizer) = &resume_point.tokenizer else {
        bail!("the run in {0} is a memory task; resume it with hh-runtime task --resume {0}", path.display());
    };
    let source = Source::open(&recipe.data, recipe.objective.as_ref(), Some(hh::tokenizer::from_json(&tokenizer.to_json())?))?;
    if source.origins != resume_point.origins {
        bail!(
            "the text has changed since the run started: it was {} and is now {}; restore it",
            names(&resume_point.origins),
            names(&source.origins)
        );
    }
    Ok(Prepared { recipe, source, folder, resume_point: Some(resume_point) })
}

fn names(origins: &[SourceFile]) -> String {
    origins.iter().map(|o| format!("{} of {} bytes", o.name, o.bytes)).collect::<Vec<_>>().join(", ")
}

/// The recipe with another number of steps, if given; a rank that speaks prints the effect on the learning rate.
fn extended(resume_point: &ResumePoint, steps: Option<u64>, speaks: bool) -> Result<Recipe> {
    let mut recipe = resume_point.recipe.clone();
    let Some(steps) = steps.filter(|&steps| steps != recipe.train.steps) else { return Ok(recipe) };
    if steps < resume_point.step {
        bail!("the run has already done {} steps; --steps must be at least that, but is {steps}", resume_point.step);
    }
    let before = recipe.train.hyper().schedule.lr(resume_point.step);
    recipe.train.steps = steps;
    recipe.validate()?;
    let after = recipe.train.hyper().schedule.lr(resume_point.step);
    if speaks {
        say(format_args!(
            "{steps} steps instead of {}: the cosine schedule is rescaled, and the learning rate is now {after:.2e} instead of {before:.2e}",
            resume_point.recipe.train.steps
        ));
    }
    Ok(recipe)
}
