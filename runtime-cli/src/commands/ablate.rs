//! `hh-runtime ablate`: what each part is worth, by training without it.

use crate::ablate::{GROUPS, Plan, RunContext, Table, Trial, run as carry_out};
use crate::features::Feature;
use crate::files;
use crate::interrupt::{Ending, Interrupt};
use crate::machine::{Backend, Backends, Machine};
use crate::progress::Bar;
use crate::run_folder::RunFolder;
use crate::stderr::say;
use crate::train::{BUILTIN, Source, thousands};
use anyhow::Result;
use clap::builder::StyledStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

/// What `ablate --help` begins with.
pub const ABOUT: &str = "\
Train variants of a model from nothing, each with several seeds, and compare what they come to.

Every variant has as many parameters as the base, by the width of its feed-forward half, and sees as many tokens, of the same \
text in the same order for the same seed. That is what tells it from a knock-out (`hh-runtime probe`), which takes a part away \
from a model that was trained with it.

The plan is a recipe, as `train --config` reads it, with a section more:

  [model]
  preset = \"char-0.8m\"
  [train]
  steps = 2000
  [data]
  files = [\"input.txt\"]
  [ablate]
  seeds = [1, 2, 3]
  groups = [\"paths\", \"mixers\"]
  [[ablate.variant]]          # a variant of your own, as often as you like
  name = \"four taps fewer\"
  set = { ssm_conv = 1 }

The folder of the ablation gets results.csv, results.json, ablate.svg, and a folder for each run with its curve and its best \
weights. Ctrl-C saves the runs at hand; the same command goes on where it stopped, and adds what was added to the plan.";

/// Arguments of `ablate`; see [`ABOUT`].
#[derive(clap::Args)]
#[command(after_help = groups())]
pub struct Args {
    /// The plan
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The folder of the ablation [default: runs/ablate-NAME, by the name of the plan]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Say what would be trained, and do nothing
    #[arg(long)]
    list: bool,
    /// Machines that the runs are shared out over, as in cuda:0,cuda:1 [default: what --backend says]
    #[arg(long, value_name = "NAME", value_delimiter = ',', conflicts_with = "backend")]
    devices: Vec<Backend>,
    /// Runs side by side on each device [default: one for each thread of a processor, one on a GPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    #[command(flatten)]
    pub(super) machine: Machine,
}

fn groups() -> StyledStr {
    let lines: Vec<_> = GROUPS.iter().map(|group| format!("  {:<14}{}", group.name, group.about)).collect();
    format!("Groups:\n{}", lines.join("\n")).into()
}

/// Carries out a plan.
///
/// # Errors
/// One sentence that says what was wrong and what to do.
pub fn run(args: Args, backends: &impl Backends, interrupt: Interrupt) -> Result<Ending> {
    let machines = machines(&args);
    for machine in &machines {
        backends.place(machine)?;
    }
    let plan = Plan::read(&args.config)?;
    let mut data = plan.base.data();
    for path in data.files.iter_mut().chain(&mut data.validation).filter(|path| path.as_os_str() != BUILTIN) {
        *path = std::path::absolute(&*path)?;
    }
    let source = Source::open(&data, None, None)?;
    let mut trials = plan.trials(source.tokenizer.vocab_size())?;
    trials.iter_mut().for_each(|trial| trial.recipe.data = data.clone());
    source.require(&trials[0].recipe)?;
    if args.list {
        list(&plan, &trials)?;
        return Ok(Ending::Done);
    }
    let name = args.config.file_stem().unwrap_or_default().to_string_lossy();
    let out = args.out.clone().unwrap_or_else(|| RunFolder::named(&format!("ablate-{name}")));
    files::make_folder(&out)?;
    let stop = interrupt.listen()?;
    let steps = trials[0].recipe.train.steps;
    say(format_args!(
        "{} runs of {steps} steps: {} variants, {} seeds; {} at a time; into {}",
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
    let table = carry_out(&plan, &trials, backends, &run_context)?;
    shown.bar.finish();
    if table.lines.iter().any(|line| !line.runs.is_empty()) {
        draw(&out, &table)?;
        print(&mut io::stdout().lock(), &table, &out)?;
    }
    if stop.load(Ordering::Relaxed) {
        let _ = writeln!(io::stdout(), "stopped; to go on, the same command again");
        return Ok(Ending::Stopped);
    }
    Ok(Ending::Done)
}

const PICTURE: &str = "ablate.svg";

/// The picture, in a program that draws.
fn draw(folder: &Path, table: &Table) -> Result<()> {
    #[cfg(feature = "plots")]
    crate::ablate::draw(&folder.join(PICTURE), table)?;
    #[cfg(not(feature = "plots"))]
    let _ = (folder, table);
    Ok(())
}

/// A machine for each run at a time.
fn machines(args: &Args) -> Vec<Machine> {
    let devices = if args.devices.is_empty() { vec![args.machine.backend.clone()] } else { args.devices.clone() };
    let mut machines = Vec::new();
    for backend in devices {
        let processor = matches!(backend, Backend::Auto | Backend::Cpu);
        let jobs = args.jobs.map_or(if processor { args.machine.threads() } else { 1 }, usize::from);
        // Results do not depend on it: several small models side by side are faster than one on several threads.
        let threads = (args.machine.threads() / jobs).max(1) as u16;
        let threads = if processor { Some(threads) } else { args.machine.threads };
        machines.extend((0..jobs).map(|_| Machine { backend: backend.clone(), threads, ..args.machine.clone() }));
    }
    machines
}

fn list(plan: &Plan, trials: &[Trial]) -> Result<()> {
    let mut out = io::stdout().lock();
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

/// Says what all came to.
fn print(out: &mut impl Write, table: &Table, folder: &Path) -> Result<()> {
    writeln!(
        out,
        "\n{:<14} {:<26} {:>10} {:>5}  {:>5}  {:>8} {:>10}  {:>18}",
        "", "", "parameters", "ffn", "seeds", "nll", "deviation", "against the base"
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

/// How far all runs are: a bar on a terminal, a line for each run that is done elsewhere.
struct Shown {
    bar: Bar,
    /// Steps that each run has taken.
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
