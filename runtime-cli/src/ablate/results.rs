//! Results of an ablation: one line per variant, with the mean over its seeds.

use super::plan::Plan;
use crate::budget::parameters;
use crate::files;
use crate::stats::moments;
use crate::train::{Recipe, SourceFile};
use anyhow::{Context, Result as Fallible, bail};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The file that marks the run in its folder as complete.
pub(super) const DONE: &str = "result.json";
/// The table in the folder of an ablation, as JSON.
const TABLE: &str = "results.json";
/// The same as CSV.
const SHEET: &str = "results.csv";

/// The result of a complete run.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Result {
    /// Nats per token over the whole held-out text, with averaged weights if the run has them.
    pub nll: f64,
    /// Held-out tokens that were scored.
    pub scored: u64,
    /// Training tokens per second, on the machine that ran it.
    pub tokens_per_second: f64,
    /// The recipe, as TOML.
    pub recipe: String,
    /// The text.
    pub data: Vec<SourceFile>,
}

impl Result {
    /// Reads the result in the folder of a run; `None` if the run is not complete.
    ///
    /// # Errors
    /// A damaged file, or the result of another recipe or text.
    pub(super) fn of(folder: &Path, recipe: &Recipe, data: &[SourceFile]) -> Fallible<Option<Self>> {
        let path = folder.join(DONE);
        if !path.exists() {
            return Ok(None);
        }
        let text = files::read_to_string(&path)?;
        let result: Self =
            serde_json::from_str(&text).with_context(|| format!("{} is damaged; delete it to train from scratch", path.display()))?;
        // Parsed, because the comment in the TOML may differ between versions of the program.
        if Recipe::from_toml(&result.recipe).ok().as_ref() != Some(recipe) || result.data != data {
            bail!("{} contains a run of another plan or text: use another folder for --out, or delete this one", folder.display());
        }
        Ok(Some(result))
    }

    pub(super) fn write(&self, folder: &Path) -> Fallible<()> {
        let text = serde_json::to_string_pretty(self)?;
        files::write_atomically(&folder.join(DONE), |w| w.write_all(text.as_bytes()))
    }
}

/// The results of a variant.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Line {
    /// The group.
    pub group: String,
    /// The name within the group.
    pub name: String,
    /// Number of parameters.
    pub parameters: usize,
    /// The feed-forward width that matches the size of the base.
    pub ffn: usize,
    /// Path widths of each layer: ssm, hopfield, attention.
    pub widths: Vec<[usize; 3]>,
    /// Complete seeds and the loss of each, in nats per token.
    pub runs: Vec<(u64, f64)>,
    /// Their mean; absent if there are none.
    pub mean: Option<f64>,
    /// Their standard deviation (n − 1); absent for fewer than two.
    pub deviation: Option<f64>,
    /// Mean difference to the base over the seeds that both have, and its standard deviation.
    pub against_base: Option<(f64, Option<f64>)>,
}

/// All results of an ablation, with the setting that they share.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Table {
    /// The text.
    pub data: Vec<SourceFile>,
    /// How it was split into training and held-out text.
    pub split: String,
    /// Tokens that each run trained on.
    pub tokens: u64,
    /// Optimiser steps of each run.
    pub steps: u64,
    /// The seeds of the plan.
    pub seeds: Vec<u64>,
    /// The variants, the base first; a variant of several groups has a line in each.
    pub lines: Vec<Line>,
}

impl Table {
    /// From the complete runs; `results` has one entry for each of the plan's trials.
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
        // In the order of the groups, so that a merged variant appears in each of its groups.
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

    /// Writes the table into the folder of the ablation, as JSON and as CSV.
    ///
    /// # Errors
    /// A file that cannot be written.
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
/// A missing or damaged table.
pub fn read_table(folder: &Path) -> Fallible<Table> {
    let path = folder.join(TABLE);
    serde_json::from_str(&files::read_to_string(&path)?).with_context(|| format!("{} is not the table of an ablation", path.display()))
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
