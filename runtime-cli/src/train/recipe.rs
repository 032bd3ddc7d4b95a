//! The recipe of a run: model, hyper-parameters and text. As TOML it is the `config.toml` of a run folder.

use super::objective::{Objective, ObjectiveOptions};
use super::options::{DataOptions, first_wins};
use super::settings::{Only, Settings, TrainOptions};
use crate::files;
use crate::task::Assignment;
use anyhow::{Result, anyhow, bail};
use hh_core::config::Config;
use hh_core::json::unique_keys;
use hh_core::presets::{PRESETS, preset};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The unit of the loss of a language model.
pub(super) const NATS: &str = "nats per token";
/// The preset of a run without a model.
const DEFAULT_PRESET: &str = "char-0.8m";

/// Width of the keys of an episodic memory that a recipe trains without saying how wide it is.
const EPISODIC_WIDTH: usize = 64;

/// A recipe as given by the user, in a file, by flags or both; absent values have defaults.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RecipeFile {
    /// Fields of [`Config`], and `preset`.
    pub model: Map<String, Value>,
    /// Hyper-parameters.
    pub train: TrainOptions,
    /// Training objective.
    pub objective: ObjectiveOptions,
    /// A memory task instead of a text.
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
    /// Held-out fraction of `files`; absent if `validation` is not empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holdout: Option<f64>,
    /// A [`Spec`](crate::tokenizers::Spec); if absent, `chars` or that of the shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// Field of a `.jsonl` line that contains the text.
    pub text_field: String,
}

/// Everything that determines a run, except the text itself.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Recipe {
    /// The architecture.
    pub model: Config,
    /// Hyper-parameters.
    pub train: Settings,
    /// Training objective, if it is not next-token prediction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    /// A memory task instead of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Assignment>,
    /// The text.
    pub data: Data,
}

impl RecipeFile {
    /// Reads a `.toml` recipe, or a `.json` with the fields of a model only.
    ///
    /// # Errors
    /// A file that cannot be read, invalid syntax, or an unknown field.
    pub fn read(path: &Path) -> Result<Self> {
        let text = files::read_to_string(path)?;
        if path.extension().is_some_and(|e| e == "json") {
            let model = unique_keys(&text)
                .and_then(|()| serde_json::from_str(&text))
                .map_err(|e| anyhow!("{} is not a model configuration: {e}; give a JSON object of its fields", path.display()))?;
            return Ok(Self { model, ..Self::default() });
        }
        let file: Self = toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(1, |at| 1 + text[..at.start].matches('\n').count());
            anyhow!("{} line {line}: {}", path.display(), e.message().replace('\n', " "))
        })?;
        Ok(Self { train: file.train.with_windows_of_old_runs(), ..file })
    }

    /// Overrides the values of the file by those of the flags.
    ///
    /// # Errors
    /// A preset together with a model in the file, both held-out files and a held-out fraction, or a value that is not finite.
    pub fn with_flags(
        mut self,
        name: Option<&str>,
        set: &[String],
        train: &TrainOptions,
        objective: &ObjectiveOptions,
        data: &DataOptions,
    ) -> Result<Self> {
        check_options(&self.train, &self.objective, &self.data)?;
        check_options(train, objective, data)?;
        // Either held-out flag replaces both values of the file.
        if data.validation.is_some() || data.holdout.is_some() {
            (self.data.validation, self.data.holdout) = (None, None);
        }
        if let Some(name) = name {
            if !self.model.is_empty() {
                bail!(
                    "--preset {name} contradicts the configuration, which has a model; use only one of them, and --set FIELD=VALUE to change it"
                );
            }
            self.model.insert("preset".into(), name.into());
        } else if let Some(name) = self.preset().map(Value::from) {
            // Set explicitly, because a field `width` from --set would mean a model without a preset.
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

    /// The data options with defaults.
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

    /// Takes the model of the checkpoint that the recipe starts from, if the recipe has no model.
    ///
    /// # Errors
    /// A checkpoint that cannot be read.
    pub fn starting_from(mut self, from: Option<&Path>) -> Result<Self> {
        if let Some(path) = from.filter(|_| self.model.is_empty()) {
            let source = crate::loading::Source::open(path)?;
            self.model = short_form(source.checkpoint()?.config());
            // The flow head depends on the objective.
            self.model.remove("flow_hidden");
        }
        Ok(self)
    }

    /// The complete recipe, for the vocabulary size of the tokenizer.
    ///
    /// # Errors
    /// An unknown preset, an unknown or invalid field, or invalid hyper-parameters.
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
                anyhow!("unknown preset \"{name}\"; the presets are {}", names.join(", "))
            })?),
            None => Map::new(),
        };
        fields.extend(self.model.iter().filter(|(field, _)| *field != "preset").map(|(k, v)| (k.clone(), v.clone())));
        fields.insert("vocab_size".into(), vocab_size.into());
        // The flow head takes a third of a small model's step, so it exists only if it is trained or set explicitly.
        if !self.model.contains_key("flow_hidden") {
            let trained = self.train.flow_weight.is_some_and(|w| w > 0.0);
            let width = fields.get("flow_hidden").filter(|n| **n != 0).or(fields.get("width")).cloned();
            fields.insert("flow_hidden".into(), if trained { width.unwrap_or(0.into()) } else { 0.into() });
        }
        if self.train.only == Some(Only::Episodic) && fields.get("episodic_width").is_none_or(|n| *n == 0) {
            fields.insert("episodic_width".into(), EPISODIC_WIDTH.into());
        }
        let json = Value::Object(fields).to_string();
        Config::from_json(&json).map_err(|e| {
            let message = e.to_string();
            // The JSON is internal: its line numbers mean nothing to the user.
            let about = message.rsplit_once(" at line ").map_or(&message[..], |(about, _)| about);
            anyhow!("invalid model configuration: {about}")
        })
    }
}

/// Checks the options of one source, the file or the flags, for what a recipe cannot store.
fn check_options(train: &TrainOptions, objective: &ObjectiveOptions, data: &DataOptions) -> Result<()> {
    let lists = [&data.files, &data.validation].into_iter().flatten().flatten();
    lists.chain(&train.from).chain(&objective.teacher).try_for_each(|path| files::require_unicode(path))?;
    let mut numbers = train.numbers().into_iter().chain(objective.numbers()).chain(data.holdout.map(|part| ("holdout", part)));
    if let Some((name, value)) = numbers.find(|(_, value)| !(*value as f32).is_finite()) {
        bail!("{name} is {value}; it must be a finite number, at most {:e}", f32::MAX);
    }
    match (data.validation.as_deref(), data.holdout) {
        (Some([_, ..]), Some(part)) => bail!("--validation and --holdout {part} both define the held-out text: give only one of them"),
        _ => Ok(()),
    }
}

/// The fields of a configuration, with one number instead of a list where all layers are equal, so that `layers` can be changed
/// alone.
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
    // The default 1e-5 is an f32, which has more digits as the f64 of JSON.
    fields.remove("norm_eps");
    fields
}

/// Parses `6`, `[3, 2, 1]`, `true`; any other text is a string.
fn value_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

/// A recipe in the order of its TOML sections.
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

/// Upper limits, whose products fit into 64 bits.
const LARGEST: [(&str, usize); 3] = [("batch", 1 << 16), ("context", 1 << 20), ("accumulate", 1 << 16)];

/// Most items of an episodic memory in training.
const LARGEST_MEMORY: usize = 1 << 20;

impl Recipe {
    /// Checks all values.
    ///
    /// # Errors
    /// The first invalid value, with its valid range.
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
        if let local @ 1.. = t.local_steps as u64 {
            let due = [("eval_every", t.eval_every), ("save_every", t.save_every)];
            if let Some((name, value)) = due.into_iter().find(|(_, every)| *every < t.steps && every % local != 0) {
                bail!(
                    "{name} is {value}; with --local-steps {local}, after which the ranks have the same weights, it must be a multiple of that"
                );
            }
        }
        t.hyper().validate(&self.model)?;
        if t.only == Only::Episodic && t.from.is_none() {
            bail!("--only episodic trains the memory of a model that is there; give the model with --from CHECKPOINT");
        }
        if t.episodic_items > LARGEST_MEMORY {
            bail!("episodic_items is {}; it must be at most {LARGEST_MEMORY}", t.episodic_items);
        }
        if self.objective.is_some() && (t.only == Only::Episodic || t.episodic_items > 0) {
            bail!("an embedding objective does not train the episodic memory; leave out --only and --episodic-items");
        }
        if let Some(objective) = &self.objective {
            objective.options(t.batch, t.context, 1).validate(&self.model)?;
        }
        if self.model.positions == hh_core::config::Positions::Learned && t.context > self.model.max_len {
            bail!(
                "the context is {}, but the model has {} learned positions; reduce --context, or increase --set max_len",
                t.context,
                self.model.max_len
            );
        }
        Ok(())
    }

    /// Checks that as many ranks can train it together.
    ///
    /// # Errors
    /// Fewer micro-batches than ranks, and micro-batches that continue each other.
    pub fn for_ranks(&self, size: usize) -> Result<()> {
        let t = &self.train;
        if t.accumulate < size {
            bail!(
                "a step has {} micro-batches, too few for {size} ranks: use fewer ranks, or --accumulate {size} in a new run",
                t.accumulate
            );
        }
        if t.episodic_items > 0 && size > 1 {
            bail!(
                "with --episodic-items each micro-batch continues the one before it, so that several ranks cannot share them: start one process"
            );
        }
        Ok(())
    }

    /// Tokens per step, or texts in embedding runs.
    pub fn seen_per_step(&self) -> u64 {
        let t = &self.train;
        (t.batch * t.accumulate * if self.objective.is_some() { 1 } else { t.context }) as u64
    }

    /// The unit of its loss.
    pub fn unit(&self) -> &'static str {
        self.objective.as_ref().map_or(NATS, Objective::unit)
    }

    /// As TOML, for [`RecipeFile::read`].
    pub fn to_toml(&self) -> String {
        let mut fields = short_form(&self.model);
        fields.insert("norm_eps".into(), self.model.norm_eps.to_string().parse::<f64>().expect("a number").into());
        let again = match &self.task {
            None => "Repeat it with: hh-runtime train --config config.toml",
            Some(_) => "Its command is in the metadata of its checkpoints",
        };
        let mut text = format!("# The recipe of this run. {again}\n\n");
        let data = self.task.is_none().then_some(&self.data);
        let whole = Sections { model: fields, train: &self.train, objective: &self.objective, task: &self.task, data };
        text += &toml::to_string(&whole).expect("numbers, names and lists are TOML");
        text
    }

    /// Reads the output of [`to_toml`](Self::to_toml).
    ///
    /// # Errors
    /// A damaged recipe.
    pub fn from_toml(text: &str) -> Result<Self> {
        let file: RecipeFile = toml::from_str(text).map_err(|e| anyhow!("the recipe of the run is damaged: {}", e.message()))?;
        let vocab_size =
            file.model.get("vocab_size").and_then(Value::as_u64).ok_or_else(|| anyhow!("the recipe of the run has no vocab_size"))?;
        RecipeFile { train: file.train.with_windows_of_old_runs(), ..file }.complete(vocab_size as usize)
    }
}

#[cfg(test)]
mod tests;
