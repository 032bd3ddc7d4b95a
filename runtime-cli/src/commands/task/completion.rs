//! `hh-runtime task completion`: pattern completion by Hopfield memories.: pattern completion by Hopfield memories.

use crate::features::Feature;
use crate::files::{self, shown};
use crate::machine::{BackendJob, Backends, Machine};
use crate::stdout;
use crate::task::REPORT;
use crate::task::completion::{Completion, MEMORIES, Report, Row, write_csv};
use crate::train::RunFolder;
use anyhow::Result;
use hh_core::backend::Backward;
use std::io::Write;
use std::path::PathBuf;

const AFTER: &str = "\
Each pattern is recalled once per trial. It counts as completed where its mean squared error is at most a tenth of its mean \
square: one wrong component in a ±1 pattern of 64. The modern memory is the kernel `recall` with one refinement, the classic one \
the kernel `hebbian` with one, its matrix without a diagonal as in Hopfield 1982; CA3 iterates that matrix to a fixed point.

The output folder gets completion.csv (every memory, number of patterns and probe), completion.svg and task.json.

Examples:
  hh-runtime task completion
  hh-runtime task completion --components gaussian --dimension 100 --patterns 100 --trials 20";

/// Arguments of `task completion`.
#[derive(clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Args {
    #[command(flatten)]
    task: Completion,
    /// Output folder, must be empty or absent [default: runs/completion-1, or the next free number]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) machine: Machine,
}

struct Job<'a>(&'a Completion);

impl BackendJob for Job<'_> {
    type Output = Vec<Row>;

    fn on<B: Backward>(self, make: impl Fn() -> Result<B>) -> Result<Vec<Row>> {
        self.0.run(&mut make()?)
    }
}

pub(super) fn run(args: &Args, backends: &impl Backends) -> Result<()> {
    args.task.validate()?;
    backends.place(&args.machine)?;
    let rows = backends.run(&args.machine, Job(&args.task))?;
    let folder = RunFolder::create(args.out.as_deref(), "completion")?;
    let file = |name| folder.path().join(name);
    files::write_atomically(&file("completion.csv"), |w| write_csv(&rows, w))?;
    #[cfg(feature = "plots")]
    crate::task::completion::draw(&file("completion.svg"), &rows)?;
    let report = Report::new(&args.task, &rows);
    files::write_atomically(&file(REPORT), |w| Ok(serde_json::to_writer_pretty(w, &report)?))?;

    let mut out = stdout::lock();
    writeln!(out, "fraction of {} patterns completed", report.patterns())?;
    writeln!(out, "{:<12}{:>9}{:>9}{:>9}", "", MEMORIES[0], MEMORIES[1], MEMORIES[2])?;
    for (probe, [modern, classic, ca3]) in report.shares() {
        writeln!(out, "{probe:<12}{modern:>9.3}{classic:>9.3}{ca3:>9.3}")?;
    }
    writeln!(out, "table        {}", shown(&file("completion.csv")))?;
    writeln!(out, "picture      {}", Feature::Plots.file(&file("completion.svg")))?;
    Ok(())
}
