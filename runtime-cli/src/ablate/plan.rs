//! What is to be trained: a recipe, the questions asked of its model, and the seeds.

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

/// A file: a recipe, as `train --config` reads it, and a section on what to vary.
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

/// A variant that the file describes itself.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
struct CustomVariant {
    name: String,
    set: Map<String, Value>,
}

/// What a plan's own variants belong to.
const OWN: &str = "own";
/// What the model that is varied is called.
const BASE: &str = "base";

/// A model to be trained with every seed. Two questions that lead to the same model share it.
#[derive(Clone, Debug)]
pub struct Variant {
    /// `group: name` of each question that it answers, the first of which names its folder.
    pub names: Vec<(String, String)>,
    /// The model, with the `ffn` that makes its size that of the base; the vocabulary is still to come.
    recipe: RecipeFile,
}

/// A run of the plan.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Which of the plan's variants.
    pub variant: usize,
    /// Everything that the run is a function of, but for the text.
    pub recipe: Recipe,
    /// Its folder, below that of the ablation.
    pub folder: String,
}

/// Everything to be trained.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The recipe of the base.
    pub base: RecipeFile,
    /// The variants, the base first.
    pub variants: Vec<Variant>,
    /// The seeds, at least one.
    pub seeds: Vec<u64>,
    /// The questions, in the order in which they are asked.
    pub groups: Vec<String>,
}

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// One sentence for a file that cannot be read, for words that no plan has, and for a variant that cannot be.
    pub fn read(path: &Path) -> Result<Self> {
        let text = files::read_to_string(path)?;
        let file: File = toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(1, |at| 1 + text[..at.start].matches('\n').count());
            anyhow!("{} line {line}: {}", path.display(), e.message().replace('\n', " "))
        })?;
        Self::new(file).with_context(|| format!("{} cannot be carried out", path.display()))
    }

    fn new(file: File) -> Result<Self> {
        let File { model, train, data, ablate } = file;
        if train.seed.is_some() {
            bail!("[train] has a seed; give the seeds of all runs as seeds = [1, 2, 3] in [ablate]");
        }
        if train.from.is_some() {
            bail!("[train] starts from a checkpoint; an ablation is trained anew, or it would be a knock-out: leave `from` out");
        }
        let seeds = ablate.seeds.unwrap_or_else(|| vec![1, 2, 3]);
        if seeds.is_empty() || seeds.iter().collect::<HashSet<_>>().len() < seeds.len() {
            bail!("seeds is {seeds:?}; give at least one, and none twice");
        }
        if ablate.groups.is_empty() && ablate.variant.is_empty() {
            let names: Vec<_> = GROUPS.iter().map(|group| group.name).collect();
            bail!("[ablate] varies nothing; give groups, of {}, or a [[ablate.variant]] with a name and what it sets", names.join(", "));
        }
        let base = RecipeFile { model, train, data, ..RecipeFile::default() };
        let base = base.with_flags(None, &[], &TrainOptions::default(), &Default::default(), &DataOptions::default())?;
        // Widths and depths hang on no vocabulary, so the variants can be known, and found impossible, before the text is read.
        let config = base.complete(VOCABULARY)?.model;
        let groups = [BASE].into_iter().chain(ablate.groups.iter().map(String::as_str)).chain([OWN]).map(str::to_owned).collect();
        let mut plan = Self { base, variants: Vec::new(), seeds, groups };
        plan.add(BASE, BASE, &config, &config)?;
        for name in &ablate.groups {
            let Some(group) = GROUPS.iter().find(|group| group.name == name) else {
                let names: Vec<_> = GROUPS.iter().map(|group| group.name).collect();
                bail!("there is no group \"{name}\"; there are {}", names.join(", "));
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
    /// stopped early has something to say of each.
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

/// Any: no width of the blocks hangs on it.
const VOCABULARY: usize = 256;

/// Letters, digits and what joins them.
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
    fn questions_that_lead_to_one_model_share_it() {
        let plan = plan("[ablate]\ngroups = [\"paths\", \"mixers\", \"associations\", \"memories\"]\nseeds = [4, 5]").unwrap();
        let names = &plan.variants[0].names;
        let wanted = [
            ("base", "base"),
            ("paths", "ssm+hopfield+attention"),
            ("mixers", "softmax gates"),
            ("associations", "successor"),
            ("memories", "modern"),
        ];
        assert_eq!(names[..], wanted.map(|(group, name)| (group.to_owned(), name.to_owned())));
        assert_eq!(plan.variants.len(), 1 + 6 + 2 + 1 + 1);
        let trials = plan.trials(65).unwrap();
        assert_eq!(trials.len(), 2 * plan.variants.len());
        assert_eq!((&trials[1].folder[..], &trials[12].folder[..]), ("paths-ssm/seed-4", "paths-ssm/seed-5"));
        let folders: HashSet<_> = trials.iter().map(|trial| &trial.folder).collect();
        assert_eq!(folders.len(), trials.len());
        let wanted = parameters(&trials[0].recipe.model);
        for trial in &trials {
            assert_eq!(trial.recipe.model.vocab_size, 65);
            assert!(parameters(&trial.recipe.model).abs_diff(wanted) < wanted / 500, "{}", trial.folder);
        }
    }

    #[test]
    fn a_plan_that_cannot_be_says_why() {
        for (text, words) in [
            ("", "varies nothing"),
            ("[ablate]\ngroups = [\"path\"]", "no group \"path\"; there are paths, mixes"),
            ("[ablate]\ngroups = [\"paths\"]\nseeds = []", "give at least one"),
            ("[ablate]\ngroups = [\"paths\"]\nseeds = [1, 1]", "none twice"),
            ("[train]\nseed = 3\n[ablate]\ngroups = [\"paths\"]", "seeds = [1, 2, 3]"),
            ("[train]\nfrom = \"x\"\n[ablate]\ngroups = [\"paths\"]", "trained anew"),
            ("[[ablate.variant]]\nname = \"a\"\nset = {depth = 3}", "unknown field"),
            ("[[ablate.variant]]\nname = \"a\"\nset = {ssm_width = 4000}", "narrow its paths"),
        ] {
            let error = format!("{:#}", plan(text).unwrap_err());
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
