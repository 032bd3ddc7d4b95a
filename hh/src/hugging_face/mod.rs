//! Folders in the layout of the Hugging Face libraries: `config.json`, `model.safetensors` and `tokenizer.json`, with the modules of
//! sentence-transformers where the model is one of embeddings.
//!
//! `hh-runtime export --hf` writes such a folder, and other programs write its weights again: names in another order, no metadata. The
//! configuration is then that of `config.json`, the tokenizer that of `tokenizer.json`. [`supply`] makes one checkpoint of it.

mod sentence;
#[cfg(test)]
mod tests;
mod tokenizer;

#[cfg(feature = "tokenizers")]
pub(crate) use tokenizer::check_template;
pub use tokenizer::tokenizer_json;

use crate::{CONTEXT, Error, files};
use hh_core::{
    checkpoint::{self, Archive, FORMAT, Metadata, TOKENIZER},
    config::Config,
    embed::CONVENTION,
    json::unique_keys,
    shape::Shape,
};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The weights.
pub const WEIGHTS: &str = "model.safetensors";
/// The configuration.
pub const CONFIG_JSON: &str = "config.json";
/// The tokenizer.
pub const TOKENIZER_JSON: &str = "tokenizer.json";
/// The modules of sentence-transformers.
pub const MODULES_JSON: &str = "modules.json";
/// The prompts of sentence-transformers.
pub const PROMPTS_JSON: &str = "config_sentence_transformers.json";
/// `model_type` of a configuration of this family.
pub const MODEL_TYPE: &str = "hh";
/// Key of `config.json`: the metadata of the checkpoint that the folder was made of, beside configuration and tokenizer.
pub const METADATA: &str = "checkpoint_metadata";
/// The projection of pooled hidden states in a checkpoint; sentence-transformers keeps it in a module of its own.
pub const POOLED: &str = "pooled.weight";
/// The same in the module's file.
pub const DENSE: &str = "linear.weight";

/// What other programs write under [`FORMAT`].
const FRAMEWORKS: [&str; 5] = ["pt", "np", "tf", "flax", "mlx"];

/// The weights of a folder in this layout.
///
/// # Errors
/// [`Error::Folder`] for a folder without weights, and a sentence for weights in a form that hh does not read.
pub fn weights_in(folder: &Path) -> Result<PathBuf, Error> {
    let weights = folder.join(WEIGHTS);
    if weights.is_file() {
        return Ok(weights);
    }
    let other = [
        ("model.safetensors.index.json", "weights in several files: save them as one, with max_shard_size=\"100GB\""),
        ("pytorch_model.bin", "pickled weights, which hh does not read: save them again with safe_serialization=True"),
    ];
    match other.into_iter().find(|(name, _)| folder.join(name).is_file()) {
        Some((name, what)) => Err(Error::Layout { path: folder.join(name), problem: format!("these are {what}") }),
        None => Err(Error::Folder(folder.to_owned())),
    }
}

/// The whole checkpoint of weights whose configuration or tokenizer are files beside them; `None` where there is nothing to
/// add. `bytes` are those of the file `weights`.
///
/// # Errors
/// A file beside them that cannot be read, or says something that hh does not do; weights that are no safetensors file.
pub fn supply(weights: &Path, bytes: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let archive = Archive::parse(bytes).map_err(|e| Error::Core(e).in_file(weights))?;
    let mut metadata = archive.metadata().clone();
    let folder = weights.parent().unwrap_or(Path::new(""));
    // Files beside weights of another name are not about them.
    let is_layout = weights.file_name().is_some_and(|name| name == WEIGHTS);
    let beside = |name: &str| Some(folder.join(name)).filter(|path| is_layout && path.is_file());
    let mut pooled = None;
    let mut changed = metadata.get(FORMAT).is_some_and(|format| FRAMEWORKS.contains(&format.as_str()));
    if changed {
        metadata.remove(FORMAT);
    }
    if !metadata.contains_key(checkpoint::CONFIG)
        && let Some(path) = beside(CONFIG_JSON)
    {
        let (mut config, notes) = read_config(&files::read_to_string(&path)?).map_err(|problem| Error::Layout { path, problem })?;
        let own = std::mem::replace(&mut metadata, notes);
        metadata.extend(own);
        if let Some(modules) = beside(MODULES_JSON) {
            let modules = sentence::read(&modules)?;
            metadata.insert(CONVENTION.to_owned(), modules.convention.to_json());
            pooled = modules.dense.filter(|_| archive.names().all(|name| name != POOLED));
        }
        if let Some(dense) = &pooled {
            config.pooled_dim = dense.shape.rows();
        }
        metadata.insert(checkpoint::CONFIG.to_owned(), config.to_json());
        changed = true;
    }
    if !metadata.contains_key(TOKENIZER)
        && let Some(path) = beside(TOKENIZER_JSON)
    {
        let ids = metadata.get(checkpoint::CONFIG).and_then(|config| Config::from_json(config).ok()).map_or(usize::MAX, |c| c.vocab_size);
        let description = tokenizer::description(&files::read_to_string(&path)?, ids);
        metadata.insert(TOKENIZER.to_owned(), description.map_err(|problem| Error::Layout { path, problem })?);
        changed = true;
    }
    Ok(if changed { Some(with_header(bytes, &metadata, pooled.as_ref())) } else { None })
}

/// The configuration and the metadata in a `config.json`. Keys that are none of [`Config`]'s are for other programs, if the file names
/// [`MODEL_TYPE`].
fn read_config(json: &str) -> Result<(Config, Metadata), String> {
    let unreadable = |e: serde_json::Error| format!("it is not readable: {e}");
    unique_keys(json).map_err(unreadable)?;
    let file: Map<String, Value> = serde_json::from_str(json).map_err(unreadable)?;
    let config =
        |fields: &Map<String, Value>| Config::from_json(&serde_json::to_string(fields).expect("JSON of JSON")).map_err(|e| e.to_string());
    match file.get("model_type").map(|kind| kind.as_str().unwrap_or_default()) {
        None => return Ok((config(&file)?, Metadata::new())),
        Some(MODEL_TYPE) => {}
        Some(kind) => return Err(format!("it is of a model of type {kind:?}, and hh reads its own alone, {MODEL_TYPE:?}")),
    }
    let fields = file.iter().filter(|(key, _)| Config::FIELDS.contains(&key.as_str())).map(|(key, value)| (key.clone(), value.clone()));
    let config = config(&fields.collect())?;
    let mut notes: Metadata = match file.get(METADATA) {
        None => Metadata::new(),
        Some(notes) => serde_json::from_value(notes.clone()).map_err(|e| format!("its {METADATA} is not readable: {e}"))?,
    };
    if let Some(context) = file.get(CONTEXT).and_then(Value::as_u64).filter(|&context| context > 0) {
        notes.insert(CONTEXT.to_owned(), context.to_string());
    }
    for own in [checkpoint::CONFIG, TOKENIZER, FORMAT] {
        notes.remove(own);
    }
    Ok((config, notes))
}

/// The `config.json` of a checkpoint, with keys of the Hugging Face libraries in `extra`; [`supply`] reads it back.
pub fn config_json(config: &Config, metadata: &Metadata, extra: Map<String, Value>) -> String {
    let mut file: Map<String, Value> = serde_json::from_str(&config.to_json()).expect("a configuration is an object");
    let mut notes = metadata.clone();
    for own in [checkpoint::CONFIG, TOKENIZER, FORMAT, CONTEXT] {
        notes.remove(own);
    }
    file.insert("model_type".into(), MODEL_TYPE.into());
    file.insert(CONTEXT.into(), crate::trained_context(metadata).into());
    file.insert(METADATA.into(), json!(notes));
    file.extend(extra);
    serde_json::to_string_pretty(&file).expect("strings and numbers are JSON") + "\n"
}

/// A tensor that goes into a file.
struct Dense {
    dtype: &'static str,
    shape: Shape,
    bytes: Vec<u8>,
}

/// A safetensors file with other metadata, and one more tensor. The file was parsed before.
fn with_header(bytes: &[u8], metadata: &Metadata, pooled: Option<&Dense>) -> Vec<u8> {
    let length = u64::from_le_bytes(*bytes.first_chunk().expect("a parsed file")) as usize;
    let (header, data) = bytes[8..].split_at(length);
    let mut header: BTreeMap<String, Value> = serde_json::from_slice(header).expect("a parsed header");
    header.insert("__metadata__".into(), json!(metadata));
    if let Some(Dense { dtype, shape, bytes }) = pooled {
        let offsets = [data.len(), data.len() + bytes.len()];
        header.insert(POOLED.into(), json!({"dtype": dtype, "shape": shape.dims(), "data_offsets": offsets}));
    }
    let mut json = serde_json::to_vec(&header).expect("JSON of JSON");
    json.resize(json.len().next_multiple_of(8), b' ');
    let more = pooled.map_or(&[][..], |dense| &dense.bytes);
    [&(json.len() as u64).to_le_bytes(), &json[..], data, more].concat()
}
