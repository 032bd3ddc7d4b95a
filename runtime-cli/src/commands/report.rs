//! `hh-runtime report`: an HTML page about the results in a folder.

use crate::files;
use crate::report::{Sample, find, page};
use crate::stdout;
use crate::train::RunFolder;
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  hh-runtime report runs
      writes runs/report.html about every run, ablation, probe and task below runs
  hh-runtime report runs/char-0.8m-1 --out page.html --sample 0
      about one run, without sample text

The page is one self-contained file with its pictures inlined. It follows the light or dark preference of the browser.";

/// Arguments of `report`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Folder to search, with its subfolders
    folder: PathBuf,
    /// Output file [default: report.html in the folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Tokens to sample from each language model; 0 for none
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    sample: u32,
    /// CPU threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

/// Writes the page.
///
/// # Errors
/// A folder without results, a damaged result or checkpoint, or a file that cannot be read or written.
pub fn run(args: Args) -> Result<()> {
    if !args.folder.is_dir() {
        bail!("{} is not a folder; give the folder of a run, or one that contains several", args.folder.display());
    }
    let found = find(&args.folder)?;
    if found.is_empty() {
        bail!(
            "there is nothing to report in {}: it contains no run, ablation, probe or task; give the output folder of `train` or `ablate`",
            args.folder.display()
        );
    }
    let threads = args.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()), usize::from);
    let samples = found
        .iter()
        .map(|one| {
            let language_model = one.kind.run().is_some_and(|run| run.recipe.objective.is_none() && run.recipe.task.is_none());
            if !language_model || args.sample == 0 || !RunFolder::at(&one.path).best().is_file() {
                return Ok(None);
            }
            Sample::of(&one.path, args.sample as usize, threads)
                .map(Some)
                .with_context(|| format!("cannot sample from {}", one.path.display()))
        })
        .collect::<Result<Vec<_>>>()?;
    let name = std::path::absolute(&args.folder)?.file_name().map_or("runs".into(), |name| name.to_string_lossy().into_owned());
    let out = args.out.unwrap_or_else(|| args.folder.join("report.html"));
    let lies_there = std::path::absolute(files::folder_of(&out))? == std::path::absolute(&args.folder)?;
    let html = page(&name, &found, &samples, lies_there);
    files::write_atomically(&out, |w| w.write_all(html.as_bytes()))?;
    writeln!(stdout::lock(), "{}", out.display())?;
    Ok(())
}
