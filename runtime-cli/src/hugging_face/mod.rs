//! Export of a checkpoint as a folder in the layout of the Hugging Face libraries, with its model in PyTorch.
//! [`hh::hugging_face`] reads such folders.

mod card;
mod sentence;
#[cfg(test)]
mod tests;
mod tokenizer;

pub use card::Labels;

use crate::export::{Exported, Outgoing};
use crate::files;
use crate::loading::Source;
use anyhow::{Context, Result, anyhow, bail};
use hh::hugging_face::{CONFIG_JSON, DENSE, POOLED, WEIGHTS, config_json};
use hh_core::checkpoint::{Dtype, FORMAT, Metadata, TOKENIZER};
use hh_core::embed::CONVENTION;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

/// The files that do not depend on the model.
const SOURCES: [(&str, &str); 2] =
    [("configuration_hh.py", include_str!("configuration_hh.py")), ("modeling_hh.py", include_str!("modeling_hh.py"))];
/// The module of the projection of pooled hidden states.
const DENSE_FOLDER: &str = "2_Dense";

/// The result of an export.
pub struct Folder {
    /// Sizes and rounding.
    pub exported: Exported,
    /// The data type of the weights.
    pub dtype: Dtype,
    /// Whether the source's weights were block-quantised.
    pub widened: bool,
    /// Whether it is a model of embeddings, with the modules of sentence-transformers.
    pub is_embedder: bool,
}

/// Writes a folder, which must be absent or empty, in one step: in `dtype`, or else that of the checkpoint's weights.
///
/// # Errors
/// An invalid source, one without a tokenizer or with one that has no `tokenizer.json`, a value too large for the data type, and a
/// folder that is not empty or cannot be written; no folder is left then.
pub fn export(source: &Source, out: &Path, dtype: Option<Dtype>, normalize: bool, labels: &Labels) -> Result<Folder> {
    if out.exists() && !out.is_dir() {
        bail!("{} is a file; give the name of a folder as --hf", out.display());
    }
    if fs::read_dir(out).is_ok_and(|mut content| content.next().is_some()) {
        bail!("{} exists and is not empty; delete it, or export to another folder", out.display());
    }
    let outgoing = Outgoing::new(source, normalize)?;
    let dtype = dtype.unwrap_or(outgoing.dtype());
    let description = outgoing.metadata.get(TOKENIZER).with_context(|| format!("{}: it has no tokenizer inside", source.cannot_use()))?;
    let tokenizer = tokenizer::Files::new(description, &outgoing.config).with_context(|| source.cannot_use())?;
    let is_embedder = outgoing.metadata.contains_key(CONVENTION) || outgoing.config.pooled_dim > 0;

    let parent = files::folder_of(out);
    files::make_folder(&parent)?;
    files::remove_stale(&parent);
    let failed = |e: std::io::Error| anyhow!("cannot write to {}: {}", out.display(), files::remedy(&e));
    let (unfinished, _lock) = files::unfinished_folder_in(&parent).map_err(failed)?;
    let folder = unfinished.path();
    let write = |name: &str, text: &str| files::write_atomically(&folder.join(name), |w| w.write_all(text.as_bytes()));

    let pytorch = Metadata::from([(FORMAT.to_owned(), "pt".to_owned())]);
    let mut bytes = outgoing.write(&folder.join(WEIGHTS), &pytorch, dtype.into(), |name| Some(name).filter(|&name| name != POOLED))?;
    if outgoing.config.pooled_dim > 0 {
        let home = folder.join(DENSE_FOLDER);
        files::make_folder(&home)?;
        bytes += outgoing.write(&home.join(WEIGHTS), &pytorch, dtype.into(), |name| Some(DENSE).filter(|_| name == POOLED))?;
    }
    write(CONFIG_JSON, &config_json(&outgoing.config, &outgoing.metadata, keys(is_embedder, &tokenizer)))?;
    for (name, text) in tokenizer.texts(is_embedder) {
        write(name, &text)?;
    }
    for (name, text) in SOURCES {
        write(name, text)?;
    }
    if is_embedder {
        sentence::write(folder, &outgoing.config, &outgoing.metadata)?;
    }
    write("README.md", &card::text(labels, out, &outgoing, is_embedder))?;
    let exported = outgoing.compared(&Source::open(folder)?, bytes)?;

    files::sync_folder(folder).map_err(failed)?;
    fs::rename(folder, out).map_err(failed)?;
    files::sync_folder(&parent).map_err(failed)?;
    Ok(Folder { exported, dtype, widened: outgoing.is_quantised(), is_embedder })
}

/// What `transformers` wants to know, beside the configuration. It computes in f32 whatever the weights are stored in, as hh does.
fn keys(is_embedder: bool, tokenizer: &tokenizer::Files) -> Map<String, Value> {
    let class = if is_embedder { "HHModel" } else { "HHForCausalLM" };
    let keys = json!({
        "architectures": [class],
        "auto_map": {
            "AutoConfig": "configuration_hh.HHConfig",
            "AutoModel": "modeling_hh.HHModel",
            "AutoModelForCausalLM": "modeling_hh.HHForCausalLM",
        },
        "dtype": "float32",
        "tie_word_embeddings": true,
        "bos_token_id": null,
        "eos_token_id": tokenizer.end_of_text,
        "pad_token_id": tokenizer.pad_id,
    });
    let Value::Object(keys) = keys else { unreachable!("an object") };
    keys
}

/// JSON as these libraries write it.
fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("strings and numbers are JSON") + "\n"
}
