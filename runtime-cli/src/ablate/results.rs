//! What the runs of a plan came to: a line for each variant, with the mean over its seeds.

use super::plan::Plan;
use crate::budget::parameters;
use crate::files;
use crate::stats::moments;
use crate::train::{Recipe, SourceFile};
use anyhow::{Context, Result as Fallible, bail};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The file in a run's folder that says it is done.
pub(super) const DONE: &str = "result.json";
/// The table in the folder of an ablation, for programs.
const TABLE: &str = "results.json";
/// The same, for spreadsheets.
const SHEET: &str = "results.csv";

/// One run that is done.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Result {
    /// Nats per token over the whole held-out text; with averaged weights where there are any.
    pub nll: f64,
    /// Held-out tokens that were scored.
    pub scored: u64,
    /// Tokens a second of its steps, on the machine that ran it.
    pub tokens_per_second: f64,
    /// The recipe, as TOML.
    pub recipe: String,
    /// The text.
    pub data: Vec<SourceFile>,
}

impl Result {
    /// What the folder of a run says, if the run is done.
    ///
    /// # Errors
    /// One sentence where the file says something else, or speaks of another recipe or text.
    pub(super) fn of(folder: &Path, recipe: &Recipe, data: &[SourceFile]) -> Fallible<Option<Self>> {
        let path = folder.join(DONE);
        if !path.exists() {
            return Ok(None);
        }
        let text = files::read_to_string(&path)?;
        let result: Self =
            serde_json::from_str(&text).with_context(|| format!("{} is damaged; delete it to train anew", path.display()))?;
        if result.recipe != recipe.to_toml() || result.data != data {
            bail!("{} holds a run of another plan or text: give another folder to --out, or delete that one", folder.display());
        }
        Ok(Some(result))
    }

    pub(super) fn write(&self, folder: &Path) -> Fallible<()> {
        let text = serde_json::to_string_pretty(self)?;
        files::write_atomically(&folder.join(DONE), |w| w.write_all(text.as_bytes()))
    }
}

/// What a variant came to.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Line {
    /// The question.
    pub group: String,
    /// The answer that this model is.
    pub name: String,
    /// Numbers that it learns.
    pub parameters: usize,
    /// The feed-forward width that was solved for.
    pub ffn: usize,
    /// Path widths of each layer: ssm, hopfield, attention.
    pub widths: Vec<[usize; 3]>,
    /// Seeds that are done, and what each came to, in nats per token.
    pub runs: Vec<(u64, f64)>,
    /// Their mean; absent where none is done.
    pub mean: Option<f64>,
    /// Their standard deviation (n − 1); absent below two.
    pub deviation: Option<f64>,
    /// Mean difference to the base over the seeds that both have, and its standard deviation.
    pub against_base: Option<(f64, Option<f64>)>,
}

/// All lines, and what they are of.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Table {
    /// The text.
    pub data: Vec<SourceFile>,
    /// How it was split.
    pub split: String,
    /// Tokens that each run trained on.
    pub tokens: u64,
    /// Optimiser steps of each run.
    pub steps: u64,
    /// The seeds of the plan.
    pub seeds: Vec<u64>,
    /// The variants, the base first; one that answers several questions has a line for each.
    pub lines: Vec<Line>,
}

impl Table {
    /// From the runs that are done; `results` has one place for each of the plan's trials.
    pub(super) fn new(plan: &Plan, recipes: &[Recipe], results: &[Option<Result>], data: &[SourceFile], split: &str) -> Self {
        let variants = plan.variants.len();
        let runs = |variant: usize| -> Vec<(u64, f64)> {
            let places = plan.seeds.iter().zip(results.chunks(variants));
            places.filter_map(|(&seed, row)| Some((seed, row[variant].as_ref()?.nll))).collect()
        };
        let base = runs(0);
        let mut lines = Vec::new();
        for (index, variant) in plan.variants.iter().enumerate() {
            let (model, runs) = (&recipes[index].model, runs(index));
            let values: Vec<_> = runs.iter().map(|run| run.1).collect();
            let both = runs.iter().filter_map(|(seed, nll)| Some(nll - base.iter().find(|run| run.0 == *seed)?.1));
            let (mean, deviation) = moments(&values).unzip();
            for (group, name) in &variant.names {
                lines.push(Line {
                    group: group.clone(),
                    name: name.clone(),
                    parameters: parameters(model),
                    ffn: model.ffn,
                    widths: (0..model.layers).map(|layer| model.widths(layer)).collect(),
                    runs: runs.clone(),
                    mean,
                    deviation: deviation.flatten(),
                    against_base: moments(&both.clone().collect::<Vec<_>>()).filter(|_| index > 0),
                });
            }
        }
        // In the order of the questions: a variant that was met before stands where it is asked for again.
        lines.sort_by_key(|line| plan.groups.iter().position(|group| *group == line.group));
        let recipe = &recipes[0];
        Self {
            data: data.to_vec(),
            split: split.to_owned(),
            tokens: recipe.train.steps * recipe.seen_per_step(),
            steps: recipe.train.steps,
            seeds: plan.seeds.clone(),
            lines,
        }
    }

    /// Writes the table into the folder of the ablation, for programs and for spreadsheets.
    ///
    /// # Errors
    /// One sentence where a file cannot be written.
    pub fn write(&self, folder: &Path) -> Fallible<()> {
        let json = serde_json::to_string_pretty(self)?;
        files::write_atomically(&folder.join(TABLE), |w| w.write_all(json.as_bytes()))?;
        let mut sheet = csv::Writer::from_writer(Vec::new());
        let number = |value: Option<f64>| value.map_or(String::new(), |v| v.to_string());
        sheet.write_record(["group", "name", "parameters", "ffn", "seeds", "nll", "deviation", "difference", "difference_deviation"])?;
        for line in &self.lines {
            let (difference, spread) = line.against_base.unzip();
            sheet.write_record([
                line.group.clone(),
                line.name.clone(),
                line.parameters.to_string(),
                line.ffn.to_string(),
                line.runs.len().to_string(),
                number(line.mean),
                number(line.deviation),
                number(difference),
                number(spread.flatten()),
            ])?;
        }
        let bytes = sheet.into_inner().map_err(|e| e.into_error())?;
        files::write_atomically(&folder.join(SHEET), |w| w.write_all(&bytes))
    }
}

/// Reads the table of an ablation.
///
/// # Errors
/// One sentence where there is none, or it is damaged.
pub fn read_table(folder: &Path) -> Fallible<Table> {
    let path = folder.join(TABLE);
    serde_json::from_str(&files::read_to_string(&path)?).with_context(|| format!("{} is no table of an ablation", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moments_of_three_numbers() {
        assert_eq!(moments(&[]), None);
        assert_eq!(moments(&[2.0]), Some((2.0, None)));
        let (mean, deviation) = moments(&[1.0, 2.0, 6.0]).unwrap();
        assert!((mean - 3.0).abs() < 1e-12 && (deviation.unwrap() - 7f64.sqrt()).abs() < 1e-12);
    }
}
