//! The modules of sentence-transformers.

use super::{DENSE_FOLDER, pretty};
use crate::files;
use anyhow::Result;
use hh::Pooling;
use hh::hugging_face::{MODULES_JSON, PROMPTS_JSON};
use hh_core::checkpoint::Metadata;
use hh_core::config::Config;
use hh_core::embed::Convention;
use serde_json::{Value, json};
use std::path::Path;

/// Writes the list of the modules, their files, and the prompts of a checkpoint's convention.
///
/// # Errors
/// A convention that cannot be read, and a file that cannot be written.
pub(super) fn write(folder: &Path, c: &Config, metadata: &Metadata) -> Result<()> {
    let convention = Convention::of(metadata)?;
    let put = |path: &Path, value: &Value| files::write_atomically(path, |w| w.write_all(pretty(value).as_bytes()));
    let mut kinds = vec![("Transformer", ""), ("Pooling", "1_Pooling")];
    if c.pooled_dim > 0 {
        kinds.push(("Dense", DENSE_FOLDER));
        let dense = json!({
            "in_features": c.width, "out_features": c.pooled_dim, "bias": false,
            "activation_function": "torch.nn.modules.linear.Identity",
        });
        put(&folder.join(DENSE_FOLDER).join("config.json"), &dense)?;
    }
    kinds.push(("Normalize", if c.pooled_dim > 0 { "3_Normalize" } else { "2_Normalize" }));
    let module = |(i, (kind, path)): (usize, (&str, &str))| json!({"idx": i, "name": i.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}")});
    put(&folder.join(MODULES_JSON), &kinds.into_iter().enumerate().map(module).collect())?;

    let pooling = folder.join("1_Pooling");
    files::make_folder(&pooling)?;
    let mode = |own: Pooling| convention.pooling == own;
    let flags = json!({
        "word_embedding_dimension": c.width,
        "pooling_mode_cls_token": false,
        "pooling_mode_mean_tokens": mode(Pooling::Mean),
        "pooling_mode_max_tokens": false,
        "pooling_mode_mean_sqrt_len_tokens": false,
        "pooling_mode_weightedmean_tokens": mode(Pooling::Weighted),
        "pooling_mode_lasttoken": mode(Pooling::Last),
        "include_prompt": true,
    });
    put(&pooling.join("config.json"), &flags)?;
    // No length is set: nothing of a text is cut off.
    put(&folder.join("sentence_bert_config.json"), &json!({"max_seq_length": null, "do_lower_case": false}))?;
    let prompts = json!({
        "prompts": {"query": convention.query, "document": convention.document},
        "default_prompt_name": null,
        "similarity_fn_name": "cosine",
    });
    put(&folder.join(PROMPTS_JSON), &prompts)
}
