//! `hh-runtime report`: a page of what a folder holds.

use crate::files;
use crate::report::{Sample, find, page};
use crate::train::RunFolder;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  hh-runtime report runs
      runs/report.html, of every run, ablation, probe and task below runs
  hh-runtime report runs/char-0.8m-1 --out page.html --sample 0
      of one run, without letting it write

The page is one file: pictures are inside, and it loads nothing. It follows the reader's choice of light or dark, and prints.";

/// Arguments of `report`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The folder to look in, and below
    folder: PathBuf,
    /// The page [default: report.html in the folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Tokens that each language model writes for it; 0 is none
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    sample: u32,
    /// Threads of the processor [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

/// Writes the page.
///
/// # Errors
/// One sentence that says what was wrong and what to do.
pub fn run(args: Args) -> Result<()> {
    if !args.folder.is_dir() {
        bail!("{} is no folder; give the folder of a run, or one that holds several", args.folder.display());
    }
    let found = find(&args.folder)?;
    if found.is_empty() {
        bail!(
            "there is nothing to report in {}: no run, ablation, probe or task lies in it; give the folder that `train` or `ablate` wrote to",
            args.folder.display()
        );
    }
    let threads = args.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()), usize::from);
    let samples = found
        .iter()
        .map(|one| {
            let speaks = one.kind.run().is_some_and(|run| run.recipe.objective.is_none() && run.recipe.task.is_none());
            if !speaks || args.sample == 0 || !RunFolder::at(&one.path)?.best().is_file() {
                return Ok(None);
            }
            Sample::of(&one.path, args.sample as usize, threads).map(Some).with_context(|| format!("the sample of {}", one.path.display()))
        })
        .collect::<Result<Vec<_>>>()?;
    let name = std::path::absolute(&args.folder)?.file_name().map_or("runs".into(), |name| name.to_string_lossy().into_owned());
    let out = args.out.unwrap_or_else(|| args.folder.join("report.html"));
    let html = page(&name, &found, &samples);
    files::write_atomically(&out, |w| w.write_all(html.as_bytes()))?;
    println!("{}", out.display());
    Ok(())
}
