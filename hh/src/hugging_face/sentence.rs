//! The modules of sentence-transformers.

use super::{DENSE, Dense, PROMPTS_JSON, WEIGHTS};
use crate::{Convention, Error, Pooling, files};
use hh_core::checkpoint::Archive;
use serde::Deserialize;
use serde_json::Value;
use std::path::{Component, Path};

/// What the modules of a folder say.
pub(super) struct Modules {
    pub(super) convention: Convention,
    pub(super) dense: Option<Dense>,
}

#[derive(Deserialize)]
struct Module {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    path: String,
}

/// Reads `modules.json`, the files of the modules, and the prompts.
///
/// # Errors
/// A file that cannot be read, and a module, a pooling or a default prompt that hh does not have.
pub(super) fn read(list: &Path) -> Result<Modules, Error> {
    let folder = list.parent().unwrap_or(Path::new(""));
    let refuse = |path: &Path, problem: String| Error::Layout { path: path.to_owned(), problem };
    let modules: Vec<Module> =
        serde_json::from_str(&files::read_to_string(list)?).map_err(|e| refuse(list, format!("it is not readable: {e}")))?;
    let (mut convention, mut dense) = (Convention::default(), None);
    for Module { kind, path } in modules {
        if Path::new(&path).components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(refuse(list, format!("it has the path {path:?}, which is not one inside of the folder")));
        }
        let home = folder.join(path);
        match kind.rsplit('.').next().unwrap_or_default() {
            "Transformer" | "Normalize" => {}
            "Pooling" => {
                let config = home.join("config.json");
                convention.pooling = pooling(&json(&config)?).map_err(|problem| refuse(&config, problem))?;
            }
            "Dense" if dense.is_none() => dense = Some(read_dense(&home)?),
            _ => {
                return Err(refuse(list, format!("it has the module {kind:?}; hh knows Transformer, Pooling, one Dense and Normalize")));
            }
        }
    }
    let prompts = folder.join(PROMPTS_JSON);
    if prompts.is_file() {
        let file = json(&prompts)?;
        let prompt = |name: &str| file["prompts"][name].as_str().unwrap_or_default().to_owned();
        (convention.query, convention.document) = (prompt("query"), prompt("document"));
        if let Some(name) = file["default_prompt_name"].as_str().filter(|name| !prompt(name).is_empty()) {
            let problem =
                format!("it has the default prompt {name:?}, and hh has none for texts of no kind: set default_prompt_name to null");
            return Err(refuse(&prompts, problem));
        }
    }
    Ok(Modules { convention, dense })
}

fn json(path: &Path) -> Result<Value, Error> {
    let text = files::read_to_string(path)?;
    serde_json::from_str(&text).map_err(|e| Error::Layout { path: path.to_owned(), problem: format!("it is not readable: {e}") })
}

/// The pooling of a module: one name in newer files, a flag for each in older ones.
fn pooling(config: &Value) -> Result<Pooling, String> {
    if config["include_prompt"] == false {
        return Err("it leaves prompts out of the pooling, which hh does not".into());
    }
    let flags = || {
        let on = config.as_object().into_iter().flatten().filter(|(key, value)| key.starts_with("pooling_mode_") && **value == true);
        on.map(|(key, _)| key["pooling_mode_".len()..].trim_end_matches("_tokens").trim_end_matches("_token").to_owned()).collect()
    };
    let modes: Vec<String> = match &config["pooling_mode"] {
        Value::Null => flags(),
        Value::String(mode) => vec![mode.clone()],
        other => vec![other.to_string()],
    };
    match &modes.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["mean"] | [] => Ok(Pooling::Mean),
        ["lasttoken"] => Ok(Pooling::Last),
        ["weightedmean"] => Ok(Pooling::Weighted),
        _ => Err(format!("it pools by {}; hh pools by mean, lasttoken or weightedmean", modes.join(" and "))),
    }
}

/// The projection of pooled hidden states.
fn read_dense(home: &Path) -> Result<Dense, Error> {
    let (config, weights) = (home.join("config.json"), home.join(WEIGHTS));
    let file = json(&config)?;
    let linear = file["activation_function"].as_str().is_none_or(|name| name.ends_with("Identity"));
    if file["bias"] != false || !linear {
        let problem = "it is a projection with a bias or an activation; hh has one without either".into();
        return Err(Error::Layout { path: config, problem });
    }
    let bytes = files::read(&weights)?;
    let read = || {
        let tensor = Archive::parse(&bytes)?.tensor(DENSE)?;
        Ok(Dense { dtype: tensor.dtype.name(), shape: tensor.shape, bytes: tensor.bytes.to_vec() })
    };
    read().map_err(|e| Error::Core(e).in_file(&weights))
}
