//! Finds the runs, ablations, probes and tasks in a folder.

use crate::ablate::{Table, read_table};
use crate::files;
use crate::probe::Report;
use crate::task::{self, Reported, completion};
use crate::train::{Recipe, Record, RunFolder, read_records};
use anyhow::{Context, Result, anyhow};
use std::fs;
use std::path::{Path, PathBuf};

/// A folder with results.
pub struct Found {
    /// Its path relative to the searched folder; empty for that folder itself.
    pub name: String,
    /// Its path.
    pub path: PathBuf,
    /// Its kind, with its results.
    pub kind: Kind,
    /// The SVG pictures in it: name without extension, and content.
    pub pictures: Vec<(String, Vec<u8>)>,
}

/// The kind of a folder, with its results.
#[expect(clippy::large_enum_variant, reason = "there are few instances")]
pub enum Kind {
    /// A training run.
    Run(Run),
    /// An ablation; the runs below it are not listed separately.
    Ablation(Table),
    /// Knock-outs of one model.
    Probe(Report),
    /// Pattern completion by untrained memories.
    Completion(completion::Report),
}

/// A training run.
pub struct Run {
    /// Its recipe.
    pub recipe: Recipe,
    /// Its metrics.
    pub records: Vec<Record>,
    /// The report of its task, if it has one and is complete.
    pub task: Option<task::Report>,
    /// The names of its files for other programs, those of folders with a slash.
    pub files: Vec<String>,
}

impl Kind {
    /// The training run, if it is one.
    pub fn run(&self) -> Option<&Run> {
        if let Self::Run(run) = self { Some(run) } else { None }
    }
}

/// Maximum depth of subfolders to search.
const DEPTH: usize = 4;

/// Searches a folder and its subfolders.
///
/// # Errors
/// A folder that cannot be read, or a damaged file in it.
pub fn find(folder: &Path) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    search(folder, String::new(), DEPTH, &mut found)?;
    Ok(found)
}

fn search(path: &Path, name: String, depth: usize, found: &mut Vec<Found>) -> Result<()> {
    if let Some(kind) = kind(path)? {
        let ablation = matches!(kind, Kind::Ablation(_));
        found.push(Found { name: name.clone(), path: path.to_owned(), kind, pictures: pictures(path)? });
        // The runs below an ablation are part of it.
        if ablation {
            return Ok(());
        }
    }
    if depth == 0 {
        return Ok(());
    }
    for (entry, path) in entries(path)? {
        if path.is_dir() {
            let below = if name.is_empty() { entry } else { format!("{name}/{entry}") };
            search(&path, below, depth - 1, found)?;
        }
    }
    Ok(())
}

/// Names and paths in a folder, sorted by name, with trailing numbers in numeric order.
fn entries(path: &Path) -> Result<Vec<(String, PathBuf)>> {
    let read = fs::read_dir(path).map_err(|e| anyhow!("cannot read the folder {}: {e}", path.display()))?;
    let mut all = read
        .map(|entry| entry.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())))
        .collect::<std::io::Result<Vec<_>>>()
        .with_context(|| format!("cannot read the folder {}", path.display()))?;
    // run-2 before run-10.
    all.sort_by_key(|(name, _)| {
        let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let (stem, number) = name.split_at(name.len() - digits);
        (stem.to_owned(), number.parse::<u64>().unwrap_or(0))
    });
    Ok(all)
}

fn kind(path: &Path) -> Result<Option<Kind>> {
    let run = RunFolder::at(path);
    if path.join("results.json").is_file() {
        if let Some(report) = Report::read(path)? {
            return Ok(Some(Kind::Probe(report)));
        }
        return read_table(path).map(|table| Some(Kind::Ablation(table)));
    }
    let task = match Reported::read(path)? {
        Some(Reported::Completion(report)) => return Ok(Some(Kind::Completion(report))),
        Some(Reported::Run(report)) => Some(report),
        None => None,
    };
    if run.config().is_file() && run.metrics().is_file() {
        let text = files::read_to_string(&run.config())?;
        let recipe = Recipe::from_toml(&text).with_context(|| run.config().display().to_string())?;
        let records = read_records(&run.metrics())?;
        let files = [run.config(), run.metrics(), run.csv(), run.tensorboard()].into_iter().filter(|file| file.exists());
        let name = |file: PathBuf| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            if file.is_dir() { format!("{name}/") } else { name.into_owned() }
        };
        return Ok(Some(Kind::Run(Run { recipe, records, task, files: files.map(name).collect() })));
    }
    Ok(None)
}

fn pictures(path: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let svgs = entries(path)?.into_iter().filter(|(name, path)| name.ends_with(".svg") && path.is_file());
    svgs.map(|(name, path)| {
        let bytes = fs::read(&path).map_err(|e| anyhow!("cannot read {}: {e}", path.display()))?;
        Ok((name.trim_end_matches(".svg").to_owned(), bytes))
    })
    .collect()
}
