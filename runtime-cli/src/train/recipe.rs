//! The recipe of a run: model, hyper-parameters and text. As TOML it is the `config.toml` of a run folder.

use super::objective::{Objective, ObjectiveOptions};
use super::options::{DataOptions, first_wins};
use super::settings::{Settings, TrainOptions};
use crate::files;
use crate::task::Assignment;
use anyhow::{Result, anyhow, bail};
use hh_core::config::Config;
use hh_core::presets::{PRESETS, preset};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// What the loss of a language model is measured in.
pub(super) const NATS: &str = "nats per token";
/// The preset of a run that names no model.
const DEFAULT_PRESET: &str = "char-0.8m";

/// A recipe as a user writes it, in a file, by flags or both: what is absent has a default.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RecipeFile {
    /// Fields of [`Config`], and `preset`.
    pub model: Map<String, Value>,
    /// Hyper-parameters.
    pub train: TrainOptions,
    /// What is minimised.
    pub objective: ObjectiveOptions,
    /// A memory task in place of a text.
    pub task: Option<Assignment>,
    /// The text.
    pub data: DataOptions,
}

/// The text, its split and its tokenizer.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Data {
    /// Text files, one folder of shards, or `builtin`.
    pub files: Vec<PathBuf>,
    /// Held-out files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation: Vec<PathBuf>,
    /// The part of `files` that is held out where `validation` is empty; absent where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holdout: Option<f64>,
    /// A [`Spec`](crate::tokenizers::Spec); absent, `chars` or that of the shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// The field of a `.jsonl` line that holds the text.
    pub text_field: String,
}

/// Everything that a run is a function of, but for the text itself.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Recipe {
    /// The architecture.
    pub model: Config,
    /// Hyper-parameters.
    pub train: Settings,
    /// What is minimised, if that is not the next token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    /// A memory task in place of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Assignment>,
    /// The text.
    pub data: Data,
}

impl RecipeFile {
    /// Reads a `.toml` recipe, or a `.json` with the fields of a model alone.
    ///
    /// # Errors
    /// One sentence for a file that cannot be read, and for what it says that no recipe says.
    pub fn read(path: &Path) -> Result<Self> {
        let text = files::read_to_string(path)?;
        if path.extension().is_some_and(|e| e == "json") {
            let model = serde_json::from_str(&text)
                .map_err(|e| anyhow!("{} is not a model's configuration: {e}; give a JSON object of its fields", path.display()))?;
            return Ok(Self { model, ..Self::default() });
        }
        toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(1, |at| 1 + text[..at.start].matches('\n').count());
            anyhow!("{} line {line}: {}", path.display(), e.message().replace('\n', " "))
        })
    }

    /// What these flags say, and where they are silent, what the file says.
    ///
    /// # Errors
    /// One sentence where a preset meets a model that is already there, files to hold out meet a part to hold out, or a
    /// hyper-parameter is not finite.
    pub fn with_flags(
        mut self,
        name: Option<&str>,
        set: &[String],
        train: &TrainOptions,
        objective: &ObjectiveOptions,
        data: &DataOptions,
    ) -> Result<Self> {
        possible(&self.train, &self.objective, &self.data)?;
        possible(train, objective, data)?;
        // A flag that says what to hold out replaces what the file says of it, in either way.
        if data.validation.is_some() || data.holdout.is_some() {
            (self.data.validation, self.data.holdout) = (None, None);
        }
        if let Some(name) = name {
            if !self.model.is_empty() {
                bail!(
                    "--preset {name} contradicts the configuration, which has a model; give one of the two, and --set FIELD=VALUE to change it"
                );
            }
            self.model.insert("preset".into(), name.into());
        } else if let Some(name) = self.preset().map(Value::from) {
            // Before --set width=… would make it look like a model of its own.
            self.model.insert("preset".into(), name);
        }
        for pair in set {
            let Some((field, value)) = pair.split_once('=') else {
                bail!("--set {pair} has no value; write --set FIELD=VALUE, as in --set layers=6");
            };
            self.model.insert(field.trim().into(), value_of(value.trim()));
        }
        Ok(Self {
            model: self.model,
            train: first_wins(train, &self.train),
            objective: first_wins(objective, &self.objective),
            task: self.task,
            data: first_wins(data, &self.data),
        })
    }

    /// The name of the preset, if the model is one.
    pub fn preset(&self) -> Option<&str> {
        match self.model.get("preset") {
            Some(name) => name.as_str(),
            None => (!self.model.contains_key("width")).then_some(DEFAULT_PRESET),
        }
    }

    /// The text, with defaults where nothing is said.
    pub fn data(&self) -> Data {
        let d = self.data.clone();
        let validation = d.validation.unwrap_or_default();
        Data {
            files: d.files.unwrap_or_else(|| vec![super::BUILTIN.into()]),
            holdout: validation.is_empty().then(|| d.holdout.unwrap_or(0.1)),
            validation,
            tokenizer: d.tokenizer,
            text_field: d.text_field.unwrap_or_else(|| "text".into()),
        }
    }

    /// With the model of a checkpoint, where the recipe starts from one and says nothing of its model.
    ///
    /// # Errors
    /// One sentence for a checkpoint that cannot be read.
    pub fn starting_from(mut self, from: Option<&Path>) -> Result<Self> {
        if let Some(path) = from.filter(|_| self.model.is_empty()) {
            let source = crate::loading::Source::open(path)?;
            self.model = short_form(source.checkpoint()?.config());
            // Whether there is one hangs on the objective.
            self.model.remove("flow_hidden");
        }
        Ok(self)
    }

    /// The whole recipe, for a vocabulary that the tokenizer has.
    ///
    /// # Errors
    /// One sentence for an unknown preset, an unknown or impossible field, hyper-parameters that cannot be.
    pub fn complete(&self, vocab_size: usize) -> Result<Recipe> {
        let model = self.config(vocab_size)?;
        let recipe = Recipe {
            train: Settings::new(&self.train, &model),
            model,
            objective: self.objective.complete()?,
            task: self.task.clone(),
            data: self.data(),
        };
        recipe.validate()?;
        Ok(recipe)
    }

    fn config(&self, vocab_size: usize) -> Result<Config> {
        let mut fields = match self.preset() {
            Some(name) => short_form(&preset(name).ok_or_else(|| {
                let names: Vec<_> = PRESETS.iter().map(|(name, _)| *name).collect();
                anyhow!("there is no preset \"{name}\"; there are {}", names.join(", "))
            })?),
            None => Map::new(),
        };
        fields.extend(self.model.iter().filter(|(field, _)| *field != "preset").map(|(k, v)| (k.clone(), v.clone())));
        fields.insert("vocab_size".into(), vocab_size.into());
        // The head costs a third of a small model's step: it is there where it is trained, unless the recipe asks otherwise.
        if !self.model.contains_key("flow_hidden") {
            let wanted = self.train.flow_weight.is_some_and(|w| w > 0.0);
            let there = fields.get("flow_hidden").filter(|n| **n != 0).or(fields.get("width")).cloned();
            fields.insert("flow_hidden".into(), if wanted { there.unwrap_or(0.into()) } else { 0.into() });
        }
        let json = Value::Object(fields).to_string();
        Config::from_json(&json).map_err(|e| {
            let message = e.to_string();
            // The JSON was made here: its lines are nothing to the user.
            let about = message.rsplit_once(" at line ").map_or(&message[..], |(about, _)| about);
            anyhow!("invalid model configuration: {about}")
        })
    }
}

/// Says what cannot be said, in one place: neither in a file nor by flags.
fn possible(train: &TrainOptions, objective: &ObjectiveOptions, data: &DataOptions) -> Result<()> {
    let mut numbers = train.numbers().into_iter().chain(objective.numbers()).chain(data.holdout.map(|part| ("holdout", part)));
    if let Some((name, value)) = numbers.find(|(_, value)| !value.is_finite()) {
        bail!("{name} is {value}; it must be a finite number");
    }
    match (data.validation.as_deref(), data.holdout) {
        (Some([_, ..]), Some(part)) => bail!("--validation says what is held out, and so does --holdout {part}: give one of the two"),
        _ => Ok(()),
    }
}

/// A preset's fields, with one number where all layers have the same: so another number of layers is one field to change.
fn short_form(config: &Config) -> Map<String, Value> {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(config) else { unreachable!("a configuration is an object") };
    for name in ["ssm_width", "hopfield_width", "attention_width"] {
        if let Some(Value::Array(widths)) = fields.get(name)
            && widths.windows(2).all(|w| w[0] == w[1])
        {
            let one = widths[0].clone();
            fields.insert(name.into(), one);
        }
    }
    if !config.factorised() {
        fields.remove("embed_dim");
    }
    // A default of 1e-5 in f32 is a longer number in the f64 of JSON.
    fields.remove("norm_eps");
    fields
}

/// `6`, `[3, 2, 1]`, `true`; any other text is a name.
fn value_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

/// A recipe in the order in which it is read.
#[derive(Serialize)]
struct Sections<'a> {
    model: Map<String, Value>,
    train: &'a Settings,
    #[serde(skip_serializing_if = "Option::is_none")]
    objective: &'a Option<Objective>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: &'a Option<Assignment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Data>,
}

/// Limits that keep one step within any machine's memory, and every product of them within 64 bits.
const LARGEST: [(&str, usize); 3] = [("batch", 1 << 16), ("context", 1 << 20), ("accumulate", 1 << 16)];

impl Recipe {
    /// Says what cannot be.
    ///
    /// # Errors
    /// One sentence with the first value that cannot be, and what it must be.
    pub fn validate(&self) -> Result<()> {
        self.model.validate()?;
        let t = &self.train;
        for ((name, most), value) in LARGEST.into_iter().zip([t.batch, t.context, t.accumulate]) {
            if !(1..=most).contains(&value) {
                bail!("{name} is {value}; it must be between 1 and {most}");
            }
        }
        let every =
            [("eval_every", t.eval_every), ("eval_tokens", t.eval_tokens), ("save_every", t.save_every), ("log_every", t.log_every)];
        if let Some((name, _)) = every.into_iter().find(|(_, value)| *value == 0) {
            bail!("{name} is 0; it must be at least 1");
        }
        t.hyper().validate(&self.model)?;
        if let Some(objective) = &self.objective {
            objective.options(t.batch, t.context, 1).validate(&self.model)?;
        }
        if self.model.positions == hh_core::config::Positions::Learned && t.context > self.model.max_len {
            bail!(
                "the context is {} and the table of learned positions has {} rows; shorten --context, or --set max_len",
                t.context,
                self.model.max_len
            );
        }
        Ok(())
    }

    /// Tokens of one step; texts, where vectors are trained.
    pub fn seen_per_step(&self) -> u64 {
        let t = &self.train;
        (t.batch * t.accumulate * if self.objective.is_some() { 1 } else { t.context }) as u64
    }

    /// What its loss is measured in.
    pub fn unit(&self) -> &'static str {
        self.objective.as_ref().map_or(NATS, Objective::unit)
    }

    /// As TOML, which [`RecipeFile::read`] reads.
    pub fn to_toml(&self) -> String {
        let mut fields = short_form(&self.model);
        fields.insert("norm_eps".into(), self.model.norm_eps.to_string().parse::<f64>().expect("a number").into());
        let again = match &self.task {
            None => "To run it again: hh-runtime train --config config.toml",
            Some(_) => "The command that began it is in the metadata of its checkpoints",
        };
        let mut text = format!("# What this run was made of. {again}\n\n");
        let data = self.task.is_none().then_some(&self.data);
        let whole = Sections { model: fields, train: &self.train, objective: &self.objective, task: &self.task, data };
        text += &toml::to_string(&whole).expect("numbers, names and lists are TOML");
        text
    }

    /// Reads what [`to_toml`](Self::to_toml) wrote.
    ///
    /// # Errors
    /// One sentence for a damaged recipe.
    pub fn from_toml(text: &str) -> Result<Self> {
        let file: RecipeFile = toml::from_str(text).map_err(|e| anyhow!("the recipe of the run is damaged: {}", e.message()))?;
        let vocab_size =
            file.model.get("vocab_size").and_then(Value::as_u64).ok_or_else(|| anyhow!("the recipe of the run has no vocab_size"))?;
        file.complete(vocab_size as usize)
    }
}

#[cfg(test)]
mod tests;
