//! The plan of an ablation: a recipe, the groups of variants of its model, and the seeds.

use super::groups::GROUPS;
use crate::budget::{parameters, with_ffn_for};
use crate::files;
use crate::train::{DataOptions, Recipe, RecipeFile, TrainOptions};
use anyhow::{Context, Result, anyhow, bail};
use hh_core::config::Config;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::path::Path;

/// A plan file: a recipe, as for `train --config`, and the section `[ablate]`.
#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default, deny_unknown_fields)]
struct File {
    model: Map<String, Value>,
    train: TrainOptions,
    data: DataOptions,
    ablate: Section,
}

#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default, deny_unknown_fields)]
struct Section {
    groups: Vec<String>,
    seeds: Option<Vec<u64>>,
    variant: Vec<CustomVariant>,
}

/// A custom variant.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
struct CustomVariant {
    name: String,
    set: Map<String, Value>,
}

/// The group of custom variants.
const OWN: &str = "own";
/// The group and name of the unchanged model.
const BASE: &str = "base";

/// A model to train with every seed. Equal variants of several groups are merged.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Group and name of each variant that is this model; the first gives the folder name.
    pub names: Vec<(String, String)>,
    /// The model, with the `ffn` that matches the size of the base; without a vocabulary size.
    recipe: RecipeFile,
}

/// A run of the plan.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Index of the plan's variant.
    pub variant: usize,
    /// Everything that determines the run, except the text.
    pub recipe: Recipe,
    /// Its folder, relative to that of the ablation.
    pub folder: String,
}

/// A plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The recipe of the base.
    pub base: RecipeFile,
    /// The variants; the base is the first.
    pub variants: Vec<Variant>,
    /// The seeds, at least one.
    pub seeds: Vec<u64>,
    /// The groups, in the order of the table.
    pub groups: Vec<String>,
}

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// A file that cannot be read, an unknown field or group, and an invalid variant.
    pub fn read(path: &Path) -> Result<Self> {
        let text = files::read_to_string(path)?;
        let file: File = toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(1, |at| 1 + text[..at.start].matches('\n').count());
            anyhow!("{} line {line}: {}", path.display(), e.message().replace('\n', " "))
        })?;
        Self::new(file).with_context(|| format!("invalid plan {}", path.display()))
    }

    fn new(file: File) -> Result<Self> {
        let File { model, train, data, ablate } = file;
        if train.seed.is_some() {
            bail!("[train] sets a seed; give the seeds of all runs as seeds = [1, 2, 3] in [ablate]");
        }
        if train.from.is_some() {
            bail!("[train] starts from a checkpoint, but an ablation trains from scratch: remove `from`");
        }
        let seeds = ablate.seeds.unwrap_or_else(|| vec![1, 2, 3]);
        if seeds.is_empty() || seeds.iter().collect::<HashSet<_>>().len() < seeds.len() {
            bail!("seeds is {seeds:?}; give at least one, without duplicates");
        }
        if ablate.groups.is_empty() && ablate.variant.is_empty() {
            let names: Vec<_> = GROUPS.iter().map(|group| group.name).collect();
            bail!("[ablate] has no variants; give groups (of {}) or an [[ablate.variant]] with `name` and `set`", names.join(", "));
        }
        let base = RecipeFile { model, train, data, ..RecipeFile::default() };
        let base = base.with_flags(None, &[], &TrainOptions::default(), &Default::default(), &DataOptions::default())?;
        // Widths and depths do not depend on the vocabulary, so variants are checked before the text is read.
        let config = base.complete(VOCABULARY)?.model;
        let groups = [BASE].into_iter().chain(ablate.groups.iter().map(String::as_str)).chain([OWN]).map(str::to_owned).collect();
        let mut plan = Self { base, variants: Vec::new(), seeds, groups };
        plan.add(BASE, BASE, &config, &config)?;
        for name in &ablate.groups {
            let Some(group) = GROUPS.iter().find(|group| group.name == name) else {
                let names: Vec<_> = GROUPS.iter().map(|group| group.name).collect();
                bail!("unknown group \"{name}\"; the groups are {}", names.join(", "));
            };
            for (name, variant) in (group.variants)(&config) {
                plan.add(group.name, &name, &variant, &config)?;
            }
        }
        for own in ablate.variant {
            let mut recipe = plan.base.clone();
            recipe.model.extend(own.set);
            let variant = recipe.complete(VOCABULARY).with_context(|| format!("the variant {}", own.name))?.model;
            plan.add(OWN, &own.name, &variant, &config)?;
        }
        Ok(plan)
    }

    fn add(&mut self, group: &str, name: &str, variant: &Config, base: &Config) -> Result<()> {
        let config = with_ffn_for(variant, parameters(base)).with_context(|| format!("the variant {group}: {name}"))?;
        let mut model: Map<String, Value> = serde_json::from_str(&config.to_json())?;
        for field in ["vocab_size", "norm_eps"] {
            model.remove(field);
        }
        let named = (group.to_owned(), name.to_owned());
        match self.variants.iter_mut().find(|known| known.recipe.model == model) {
            Some(known) => known.names.push(named),
            None => self.variants.push(Variant { names: vec![named], recipe: RecipeFile { model, ..self.base.clone() } }),
        }
        Ok(())
    }

    /// All runs for a vocabulary: every variant with the first seed, then every variant with the second, so that a plan that is
    /// stopped early has results for each variant.
    ///
    /// # Errors
    /// As [`RecipeFile::complete`].
    pub fn trials(&self, vocab_size: usize) -> Result<Vec<Trial>> {
        let mut trials = Vec::new();
        for &seed in &self.seeds {
            for (index, variant) in self.variants.iter().enumerate() {
                let mut recipe = variant.recipe.complete(vocab_size)?;
                recipe.train.seed = seed;
                let (group, name) = &variant.names[0];
                let folder = format!("{}/seed-{seed}", folder_name(&format!("{group}-{name}")));
                trials.push(Trial { variant: index, recipe, folder });
            }
        }
        Ok(trials)
    }
}

/// A placeholder: no width of the blocks depends on it.
const VOCABULARY: usize = 256;

/// Replaces everything except letters, digits, `+`, `-` and `.` by single hyphens.
fn folder_name(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_alphanumeric() || "+-.".contains(c) { c } else { '-' }).collect();
    plain.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Plan> {
        Plan::new(toml::from_str(text).unwrap())
    }

    #[test]
    fn equal_variants_of_several_groups_are_merged() {
        let plan = plan("[ablate]\ngroups = [\"paths\", \"mixers\", \"associations\", \"memories\"]\nseeds = [4, 5]").unwrap();
        let names = &plan.variants[0].names;
        let expected = [
            ("base", "base"),
            ("paths", "ssm+hopfield+attention"),
            ("mixers", "softmax gates"),
            ("associations", "successor"),
            ("memories", "modern"),
        ];
        assert_eq!(names[..], expected.map(|(group, name)| (group.to_owned(), name.to_owned())));
        assert_eq!(plan.variants.len(), 1 + 6 + 2 + 1 + 1);
        let trials = plan.trials(65).unwrap();
        assert_eq!(trials.len(), 2 * plan.variants.len());
        assert_eq!((&trials[1].folder[..], &trials[12].folder[..]), ("paths-ssm/seed-4", "paths-ssm/seed-5"));
        let folders: HashSet<_> = trials.iter().map(|trial| &trial.folder).collect();
        assert_eq!(folders.len(), trials.len());
        let expected = parameters(&trials[0].recipe.model);
        for trial in &trials {
            assert_eq!(trial.recipe.model.vocab_size, 65);
            assert!(parameters(&trial.recipe.model).abs_diff(expected) < expected / 500, "{}", trial.folder);
        }
    }

    #[test]
    fn an_invalid_plan_is_rejected_with_the_reason() {
        for (text, words) in [
            ("", "no variants"),
            ("[ablate]\ngroups = [\"path\"]", "unknown group \"path\"; the groups are paths, mixes"),
            ("[ablate]\ngroups = [\"paths\"]\nseeds = []", "give at least one"),
            ("[ablate]\ngroups = [\"paths\"]\nseeds = [1, 1]", "without duplicates"),
            ("[train]\nseed = 3\n[ablate]\ngroups = [\"paths\"]", "seeds = [1, 2, 3]"),
            ("[train]\nfrom = \"x\"\n[ablate]\ngroups = [\"paths\"]", "from scratch"),
            ("[[ablate.variant]]\nname = \"a\"\nset = {depth = 3}", "unknown field"),
            ("[[ablate.variant]]\nname = \"a\"\nset = {ssm_width = 4000}", "reduce the path widths"),
        ] {
            let error = format!("{:#}", plan(text).unwrap_err());
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
