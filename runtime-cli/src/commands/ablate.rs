//! `hh-runtime ablate`: measures each part of a model by training without it.

use crate::ablate::{GROUPS, Plan, RunContext, Table, Trial, run as run_plan};
use crate::features::Feature;
use crate::files;
use crate::interrupt::{Ending, Interrupt};
use crate::machine::{Backend, Backends, Machine};
use crate::progress::Bar;
use crate::run_folder::RunFolder;
use crate::stderr::say;
use crate::stdout;
use crate::train::{Source, thousands};
use anyhow::Result;
use clap::builder::StyledStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

/// Start of `ablate --help`.
pub const ABOUT: &str = "\
Train variants of a model from scratch, each with several seeds, and compare their held-out losses.

Every variant has as many parameters as the base (its feed-forward width is adjusted) and trains on as many tokens of the \
same text, in the same order for the same seed. A knock-out (`hh-runtime probe`) differs: it removes a part from a model that \
was trained with it.

The plan is a recipe, as for `train --config`, with one more section:

  [model]
  preset = \"char-0.8m\"
  [train]
  steps = 2000
  [data]
  files = [\"input.txt\"]
  [ablate]
  seeds = [1, 2, 3]
  groups = [\"paths\", \"mixers\"]
  [[ablate.variant]]          # a custom variant; may be repeated
  name = \"no convolution\"
  set = { ssm_conv = 1 }

The output folder gets results.csv, results.json, ablate.svg, and one folder per run with its loss curve and best weights. \
Ctrl-C saves the unfinished runs; the same command resumes them and also runs variants that were added to the plan.";

/// Arguments of `ablate`; see [`ABOUT`].
#[derive(clap::Args)]
#[command(after_help = groups())]
pub struct Args {
    /// Plan file (TOML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Output folder [default: runs/ablate-NAME, where NAME is the plan's file name]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// List the models to train and exit
    #[arg(long)]
    list: bool,
    /// Devices to distribute the runs over, for example cuda:0,cuda:1 [default: that of --backend]
    #[arg(long, value_name = "NAME", value_delimiter = ',', conflicts_with = "backend")]
    devices: Vec<Backend>,
    /// Concurrent runs per device [default: one per CPU thread, one on a GPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    #[command(flatten)]
    pub(super) machine: Machine,
}

fn groups() -> StyledStr {
    let lines: Vec<_> = GROUPS.iter().map(|group| format!("  {:<14}{}", group.name, group.about)).collect();
    format!("Groups:\n{}", lines.join("\n")).into()
}

/// Runs a plan.
///
/// # Errors
/// An invalid plan, text or device, a failed run, or a file that cannot be read or written.
pub fn run(args: Args, backends: &impl Backends, interrupt: Interrupt) -> Result<Ending> {
    let machines = machines(&args);
    for machine in &machines {
        backends.place(machine)?;
    }
    let plan = Plan::read(&args.config)?;
    let mut data = plan.base.data();
    data.make_absolute()?;
    let source = Source::open(&data, None, None)?;
    let mut trials = plan.trials(source.tokenizer.vocab_size())?;
    trials.iter_mut().for_each(|trial| trial.recipe.data = data.clone());
    source.require(&trials[0].recipe)?;
    if args.list {
        list(&plan, &trials)?;
        return Ok(Ending::Done);
    }
    data.repeated(&source.origins).iter().for_each(say);
    let name = args.config.file_stem().unwrap_or_default().to_string_lossy();
    let out = args.out.clone().unwrap_or_else(|| RunFolder::named(&format!("ablate-{name}")));
    files::make_folder(&out)?;
    let stop = interrupt.listen()?;
    let steps = trials[0].recipe.train.steps;
    say(format_args!(
        "{} runs of {steps} steps: {} variants, {} seeds, {} concurrent; output: {}",
        trials.len(),
        plan.variants.len(),
        plan.seeds.len(),
        machines.len(),
        out.display()
    ));
    let shown = Shown::new(trials.len(), steps);
    let run_context = RunContext {
        source: &source,
        out: &out,
        machines: &machines,
        stop: &stop,
        tick: &|trial, step| shown.tick(trial, step),
        done: |index: usize, result: &crate::ablate::TrialResult, table: &Table| {
            shown.bar.say(&format!("{:<40} {:.4}", trials[index].folder, result.nll));
            draw(&out, table)
        },
    };
    let table = run_plan(&plan, &trials, backends, &run_context)?;
    shown.bar.finish();
    if table.lines.iter().any(|line| !line.runs.is_empty()) {
        draw(&out, &table)?;
        print(&mut stdout::lock(), &table, &out)?;
    }
    if stop.load(Ordering::Relaxed) {
        let _ = writeln!(stdout::lock(), "stopped; run the same command again to resume");
        return Ok(Ending::Stopped);
    }
    Ok(Ending::Done)
}

const PICTURE: &str = "ablate.svg";

/// Draws the picture, in a build with the feature `plots`.
fn draw(folder: &Path, table: &Table) -> Result<()> {
    #[cfg(feature = "plots")]
    crate::ablate::draw(&folder.join(PICTURE), table)?;
    #[cfg(not(feature = "plots"))]
    let _ = (folder, table);
    Ok(())
}

/// One entry per concurrent run.
fn machines(args: &Args) -> Vec<Machine> {
    let devices = if args.devices.is_empty() { vec![args.machine.backend.clone()] } else { args.devices.clone() };
    let mut machines = Vec::new();
    for backend in devices {
        let cpu = matches!(backend, Backend::Auto | Backend::Cpu);
        let jobs = args.jobs.map_or(if cpu { args.machine.threads() } else { 1 }, usize::from);
        // Results do not depend on the number of threads; small models on one thread each are faster than one model on several.
        let threads = (args.machine.threads() / jobs).max(1) as u16;
        let threads = if cpu { Some(threads) } else { args.machine.threads };
        machines.extend((0..jobs).map(|_| Machine { backend: backend.clone(), threads, ..args.machine.clone() }));
    }
    machines
}

fn list(plan: &Plan, trials: &[Trial]) -> Result<()> {
    let mut out = stdout::lock();
    writeln!(out, "{:>10}  {:>5}  {:<20}  variant", "parameters", "ffn", "ssm hopfield attention")?;
    for (variant, trial) in plan.variants.iter().zip(trials) {
        let c = &trial.recipe.model;
        let mut widths: Vec<String> = (0..c.layers).map(|layer| c.widths(layer).map(|w| w.to_string()).join(" ")).collect();
        widths.dedup();
        let names: Vec<_> = variant.names.iter().map(|(group, name)| format!("{group}: {name}")).collect();
        let parameters = thousands(crate::budget::parameters(c) as u64);
        writeln!(out, "{parameters:>10}  {:>5}  {:<22}  {}", c.ffn, widths.join(" | "), names.join(" = "))?;
    }
    Ok(())
}

/// Prints the table of results.
fn print(out: &mut impl Write, table: &Table, folder: &Path) -> Result<()> {
    writeln!(
        out,
        "\n{:<14} {:<26} {:>10} {:>5}  {:>5}  {:>8} {:>10}  {:>18}",
        "", "", "parameters", "ffn", "seeds", "nll", "deviation", "vs. base"
    )?;
    for line in &table.lines {
        let number = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:.4}"));
        let against = line
            .against_base
            .map_or(String::new(), |(d, spread)| spread.map_or(format!("{d:+.4}"), |spread| format!("{d:+.4} ± {spread:.4}")));
        writeln!(
            out,
            "{:<14} {:<26} {:>10} {:>5}  {:>5}  {:>8} {:>10}  {against:>18}",
            line.group,
            line.name,
            line.parameters,
            line.ffn,
            line.runs.len(),
            number(line.mean),
            number(line.deviation)
        )?;
    }
    writeln!(out, "\ntable          {}", folder.join("results.csv").display())?;
    writeln!(out, "picture        {}", Feature::Plots.file(&folder.join(PICTURE)))?;
    Ok(())
}

/// Progress of all runs: a bar on a terminal, otherwise one line per finished run.
struct Shown {
    bar: Bar,
    /// Steps done in each run.
    at: Mutex<Vec<u64>>,
}

impl Shown {
    fn new(trials: usize, steps: u64) -> Self {
        let bar = Bar::new("{bar:40.cyan/dim} {percent}% · {eta} left", trials as u64 * steps, 0);
        Self { bar, at: Mutex::new(vec![0; trials]) }
    }

    fn tick(&self, trial: usize, step: u64) {
        let mut at = self.at.lock().expect("nothing panics here");
        at[trial] = step;
        self.bar.set(at.iter().sum());
    }
}
