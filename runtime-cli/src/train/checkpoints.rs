//! Checkpoints of a run: weights for inference, and the state to resume from.

use super::local_steps::{self, Local};
use super::recipe::Recipe;
use super::source::SourceFile;
use crate::files;
use crate::loading::Source as File;
use anyhow::{Context, Result, anyhow};
use hh::CONTEXT;
use hh_core::backend::{Backward, Device, Precision};
use hh_core::checkpoint::{self, Checkpoint, Dtype, Metadata, STEP, TOKENIZER, Writer};
use hh_core::config::Config;
use hh_core::embed::CONVENTION;
use hh_core::error::Error;
use hh_core::init;
use hh_core::model::{self, Model, Params};
use hh_core::shape::{Shape, Shaped};
use hh_core::tokenizer::Tokenizer;
use hh_core::train::{Trainer, Workspace};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// Origin of a run, stored in the metadata of its checkpoints.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// The tokenizer as JSON; memory tasks have none.
    pub tokenizer: Option<String>,
    /// The files of the text.
    pub origins: Vec<SourceFile>,
    /// How they were split into training and held-out text.
    pub split: String,
    /// The command that started or continued the run.
    pub command: String,
}

/// The best validation so far.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
pub struct Best {
    /// Number of steps.
    pub step: u64,
    /// Validation loss, for language models in nats per held-out token.
    pub nll: f64,
    /// Whether it is that of the moving average of the weights.
    pub average: bool,
}

/// The state of a stopped run, to resume from.
pub struct ResumePoint {
    /// The recipe.
    pub recipe: Recipe,
    /// The tokenizer; memory tasks have none.
    pub tokenizer: Option<Box<dyn Tokenizer>>,
    /// The files of the text.
    pub origins: Vec<SourceFile>,
    /// Number of steps done.
    pub step: u64,
    /// The best validation so far.
    pub best: Option<Best>,
    /// With local steps, the number of ranks, each of which has moments of its own.
    pub ranks: Option<usize>,
    file: File,
}

const RECIPE: &str = "recipe";
const ORIGINS: &str = "data";
const BEST: &str = "best";
/// The number of ranks of a run with local steps.
const RANKS: &str = "ranks";

/// Tensor name prefix of a parameter tree in a resume file. The weights have none, so that the file is an ordinary checkpoint.
fn prefix(tree: &str) -> String {
    if tree == "weights" { String::new() } else { format!("{tree}.") }
}

/// Names of the items in a resume file, where an episodic memory runs on from batch to batch.
const ITEMS: [&str; 2] = ["items.keys", "items.tokens"];

/// Whether a checkpoint was trained only on the file with this name, according to its metadata.
pub fn trained_on(metadata: &Metadata, name: &str) -> bool {
    let origins = metadata.get(ORIGINS).and_then(|json| serde_json::from_str::<Vec<SourceFile>>(json).ok());
    matches!(origins.as_deref(), Some([one]) if one.name == name)
}

/// The command line of this process, for [`Provenance::command`]; what is not Unicode in it is replaced.
pub(crate) fn command_line() -> String {
    std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

impl Provenance {
    fn notes(&self, recipe: &Recipe, step: u64) -> Metadata {
        let seen = step * recipe.seen_per_step();
        let origins = serde_json::to_string(&self.origins).expect("names and numbers are JSON");
        let mut notes: Metadata = [
            (STEP, step.to_string()),
            (ORIGINS, origins),
            (CONTEXT, recipe.train.context.to_string()),
            ("split", self.split.clone()),
            ("seed", recipe.train.seed.to_string()),
            (if recipe.objective.is_some() { "texts_seen" } else { "tokens_seen" }, seen.to_string()),
            ("command", self.command.clone()),
            ("program", concat!("hh-runtime ", env!("CARGO_PKG_VERSION")).into()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        notes.extend(self.tokenizer.as_ref().map(|json| (TOKENIZER.to_owned(), json.clone())));
        notes.extend(recipe.objective.as_ref().map(|objective| (CONVENTION.to_owned(), objective.convention().to_json())));
        notes
    }
}

/// Writes the weights, or their moving average, as a checkpoint for inference.
///
/// # Errors
/// A file that cannot be written; a value that is not finite, as the [`Error`] of the core. An existing file is then unchanged.
pub(super) fn save_weights<B: Backward, R>(
    path: &Path,
    trainer: &mut Trainer<B, R>,
    average: bool,
    validation: Option<f64>,
    recipe: &Recipe,
    from: &Provenance,
) -> Result<()> {
    let mut notes = from.notes(recipe, trainer.step());
    notes.insert("weights".into(), if average { "moving average".into() } else { "as trained".into() });
    let loss = if recipe.objective.is_some() { "validation_loss" } else { "validation_nll" };
    notes.extend(validation.map(|value| (loss.to_owned(), value.to_string())));
    let config = trainer.config().clone();
    let (b, train_state) = trainer.train_state_mut();
    let params = if average { &train_state.ema } else { &train_state.weights };
    save(path, b, &config, &notes, &named(&config, "weights", params), &[])
}

/// Writes the state to resume from: weights, moments, average, items of the memory, step, best validation, recipe, tokenizer.
///
/// # Errors
/// As [`save_weights`].
pub(super) fn save_resume_point<B: Backward, R: Workspace<B>>(
    path: &Path,
    trainer: &mut Trainer<B, R>,
    best: Option<Best>,
    recipe: &Recipe,
    from: &Provenance,
    local: &Local,
) -> Result<()> {
    let mut notes = from.notes(recipe, trainer.step());
    notes.extend(local.ranks.map(|ranks| (RANKS.to_owned(), ranks.to_string())));
    notes.insert(RECIPE.into(), recipe.to_toml());
    notes.insert(BEST.into(), serde_json::to_string(&best)?);
    let config = trainer.config().clone();
    let (b, train_state, memory) = trainer.resume_state_mut();
    let trees = train_state.named();
    let trees = trees.iter().flat_map(|(tree, params)| named(&config, tree, params));
    let items = memory.iter().flat_map(|m| ITEMS.into_iter().zip(m.leaves())).map(|(name, leaf)| (name.into(), leaf.shape(), leaf));
    save(path, b, &config, &notes, &trees.chain(items).collect::<Vec<_>>(), &local.tensors)
}

/// The initial weights of a run: those of the checkpoint that it starts from, if any, and initial values for the rest.
///
/// # Errors
/// A checkpoint that cannot be read or is of another model, or a device that is out of memory.
pub(super) fn first_weights<B: Device>(b: &mut B, recipe: &Recipe) -> Result<Params<B::Tensor>> {
    let (c, seed) = (&recipe.model, recipe.train.seed);
    let Some(path) = &recipe.train.from else { return Ok(Model::init(b, c.clone(), seed)?.params) };
    let source = File::open(path)?;
    let file = source.checkpoint()?;
    let weights = model::params(b, c, Precision::Master, |name, shape, out| {
        // Tensors of one objective are absent from checkpoints of another, and any model can be given a memory.
        let optional = ["flow.", "pooled.", "episodic."].iter().any(|part| name.starts_with(part));
        if optional && file.names().all(|there| there != name) {
            init::value(name, shape, c, seed, out);
            return Ok(());
        }
        file.read(name, shape, out)
    });
    weights.with_context(|| source.cannot_use())
}

/// Why a checkpoint cannot be written.
enum Failure {
    File(io::Error),
    Model(Error),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self::Model(e)
    }
}

/// A tensor of a file, and its name and shape there.
type Named<'a, T> = (String, Shape, &'a T);

/// The tensors of a tree. A leaf that the optimiser does not need has another shape, and is left out.
fn named<'a, T: Shaped>(config: &Config, tree: &str, params: &'a Params<T>) -> Vec<Named<'a, T>> {
    let (prefix, shapes) = (prefix(tree), model::shapes(config));
    let kept = shapes.into_iter().zip(params.leaves()).filter(|((_, shape), leaf)| leaf.shape() == *shape);
    kept.map(|((name, shape), leaf)| (prefix.clone() + &name, shape, leaf)).collect()
}

/// Writes tensors of the device, then those of the host.
fn save<B: Device>(
    path: &Path,
    b: &mut B,
    config: &Config,
    notes: &Metadata,
    tensors: &[Named<'_, B::Tensor>],
    more: &[(String, Shape, Vec<f32>)],
) -> Result<()> {
    let mut unfit = None;
    let written = files::write_atomically(path, |w| {
        let entries = tensors.iter().map(|(name, shape, _)| (name.as_str(), *shape));
        let entries = entries.chain(more.iter().map(|(name, shape, _)| (name.as_str(), *shape)));
        let sink = |piece: &[u8]| w.write_all(piece).map_err(Failure::File);
        let mut host = Vec::new();
        let write = || -> Result<(), Failure> {
            let mut writer = Writer::begin(&checkpoint::metadata(config, notes), entries, Dtype::F32, sink)?;
            for (name, shape, leaf) in tensors {
                host.resize(shape.count(), 0.0);
                b.download(leaf, &mut host).map_err(Error::device)?;
                writer.tensor(name, &host)?;
            }
            more.iter().try_for_each(|(name, _, numbers)| writer.tensor(name, numbers))?;
            writer.finish();
            Ok(())
        };
        write().map_err(|failure| match failure {
            Failure::File(e) => e,
            Failure::Model(e) => io::Error::other(unfit.insert(e).to_string()),
        })
    });
    match unfit {
        Some(e) => Err(e.into()),
        None => written,
    }
}

/// Reads the state of a stopped run.
///
/// # Errors
/// A file that cannot be read, is damaged, or is not a resume file.
pub fn load_resume_point(path: &Path) -> Result<ResumePoint> {
    let source = File::open(path)?;
    let parse = || -> Result<_> {
        let file = Checkpoint::parse(source.bytes())?;
        let note = |key: &str| {
            file.metadata().get(key).ok_or_else(|| anyhow!("its metadata has no \"{key}\", so it is not the resume file of a run"))
        };
        let recipe = Recipe::from_toml(note(RECIPE)?)?;
        let tokenizer = if recipe.task.is_some() { None } else { Some(hh::tokenizer::from_json(note(TOKENIZER)?)?) };
        let ranks = file.metadata().get(RANKS).map(|ranks| ranks.parse()).transpose()?;
        Ok((recipe, tokenizer, serde_json::from_str(note(ORIGINS)?)?, file.step(), serde_json::from_str(note(BEST)?)?, ranks))
    };
    let (recipe, tokenizer, origins, step, best, ranks) = parse().with_context(|| cannot_resume(path))?;
    Ok(ResumePoint { recipe, tokenizer, origins, step, best, ranks, file: source })
}

fn cannot_resume(path: &Path) -> String {
    format!("cannot resume from {}", path.display())
}

impl ResumePoint {
    /// The weights at the stop.
    ///
    /// # Errors
    /// A tensor that is missing, has another shape or is not finite, or a device that is out of memory.
    pub(super) fn weights<B: Device>(&self, b: &mut B, c: &Config) -> Result<Params<B::Tensor>> {
        let mut read = || -> Result<_> {
            let file = self.file.checkpoint()?;
            file.expect(model::shapes(c).iter().map(|(name, shape)| (name.as_str(), *shape)))?;
            Ok(model::params(b, c, Precision::Master, |name, shape, out| file.read(name, shape, out))?)
        };
        read().with_context(|| cannot_resume(self.file.path()))
    }

    /// Restores the optimiser state, the items of the memory and the step of a trainer that has [these weights](Self::weights).
    ///
    /// # Errors
    /// As [`weights`](Self::weights).
    pub(super) fn restore<B: Backward, R: Workspace<B>>(&self, trainer: &mut Trainer<B, R>) -> Result<()> {
        let file = self.file.checkpoint()?;
        let shapes = model::shapes(trainer.config());
        let rank = trainer.hyper().rank.rank;
        let (b, train_state, memory) = trainer.resume_state_mut();
        let mut host = Vec::new();
        let mut restore = |b: &mut B, name: &str, leaf: &mut B::Tensor| -> Result<()> {
            host.resize(leaf.shape().count(), 0.0);
            file.read(name, leaf.shape(), &mut host).with_context(|| cannot_resume(self.file.path()))?;
            Ok(b.upload(&host, leaf)?)
        };
        for (tree, params) in train_state.named_mut().into_iter().filter(|(tree, _)| *tree != "weights") {
            for ((name, _), leaf) in shapes.iter().zip(params.leaves_mut()).filter(|((_, shape), leaf)| leaf.shape() == *shape) {
                let of_rank = if self.ranks.is_some() && tree != "ema" { local_steps::prefix(rank) } else { String::new() };
                restore(b, &(of_rank + &prefix(tree) + name), leaf)?;
            }
        }
        if let Some(memory) = memory {
            for (name, leaf) in ITEMS.into_iter().zip(memory.leaves_mut()) {
                restore(b, name, leaf)?;
            }
            let t = &self.recipe.train;
            // As the device counts, which begins again at 0 after 2³² positions.
            let seen = self.step * (t.accumulate * t.context) as u64;
            b.upload_indices(&[seen as u32], &mut memory.clock)?;
        }
        if let Some(outer) = trainer.outer_mut() {
            let mut rest = &mut outer.momentum[..];
            for (name, shape) in &shapes {
                let (part, after) = rest.split_at_mut(shape.count());
                file.read(&local_steps::outer(name), *shape, part).with_context(|| cannot_resume(self.file.path()))?;
                rest = after;
            }
        }
        trainer.resume_at(self.step);
        Ok(())
    }
}
