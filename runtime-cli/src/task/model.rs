//! Small models that differ only in their paths and have equal numbers of parameters.

use crate::budget::{parameters, with_ffn_for};
use anyhow::{Result, bail};
use hh_core::config::{Config, PATHS};
use serde_json::{Map, Value, json};
use std::fmt;
use std::str::FromStr;

/// The enabled paths: ssm, hopfield, attention.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Paths(pub [bool; 3]);

impl Paths {
    /// All three.
    pub const HYBRID: Self = Self([true; 3]);
}

impl FromStr for Paths {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "hybrid" {
            return Ok(Self::HYBRID);
        }
        let mut on = [false; 3];
        for name in text.split(['+', ',']) {
            let path = PATHS.iter().position(|path| *path == name);
            let Some(path) = path else {
                return Err("the paths are hybrid, ssm, hopfield and attention, or a combination such as ssm+hopfield".into());
            };
            on[path] = true;
        }
        Ok(Self(on))
    }
}

impl fmt::Display for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::HYBRID {
            return f.write_str("hybrid");
        }
        let on: Vec<&str> = PATHS.into_iter().zip(self.0).filter_map(|(path, on)| on.then_some(path)).collect();
        f.write_str(&on.join("+"))
    }
}

/// Model options.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Model")]
pub struct ModelOptions {
    /// Paths of the model: hybrid (all three), ssm, hopfield, attention, or a combination such as ssm+hopfield
    #[arg(long, value_name = "NAMES", default_value_t = Paths::HYBRID)]
    pub paths: Paths,
    /// Width of the model, and of each of its paths
    #[arg(long, value_name = "D", default_value_t = 64, value_parser = clap::value_parser!(u16).range(2..=4096))]
    pub width: u16,
    /// Number of blocks
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub layers: u16,
    /// Refinements of the Hopfield memory's query
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub depth: u8,
    /// Number of parameters, matched through the feed-forward width [default: that of the hybrid with a feed-forward width of
    /// twice --width, so that it is the same for all choices of --paths]
    #[arg(long, value_name = "N")]
    pub parameters: Option<usize>,
    /// Set a field of the model configuration, as in --set hopfield_association=same; with --set ffn=N, the number of parameters
    /// is not matched
    #[arg(long, value_name = "FIELD=VALUE")]
    pub set: Vec<String>,
}

impl ModelOptions {
    /// Configuration fields of a model with these paths, as in a recipe.
    fn fields(&self, paths: Paths) -> Map<String, Value> {
        let (width, layers) = (usize::from(self.width), usize::from(self.layers));
        let mut fields = Map::new();
        let head = [32, 16, 8, 4, 2].into_iter().find(|head| width.is_multiple_of(*head)).unwrap_or(1);
        for (name, value) in [("width", width), ("layers", layers), ("ffn", 2 * width), ("head_dim", head)] {
            fields.insert(name.into(), value.into());
        }
        for (path, on) in PATHS.into_iter().zip(paths.0) {
            fields.insert(format!("{path}_width"), if on { width } else { 0 }.into());
        }
        fields.insert("hopfield_depths".into(), json!(vec![self.depth; layers]));
        fields
    }

    /// The model's fields, with the feed-forward width that gives the target number of parameters. `complete` makes a
    /// configuration of the fields and of [`set`](Self::set).
    ///
    /// # Errors
    /// An invalid field, or a target that the model exceeds without a feed-forward network.
    pub fn solved(&self, complete: impl Fn(Map<String, Value>) -> Result<Config>) -> Result<Map<String, Value>> {
        let mut fields = self.fields(self.paths);
        let config = complete(fields.clone())?;
        let chosen = self.set.iter().any(|pair| pair.split('=').next().is_some_and(|field| field.trim() == "ffn"));
        match self.parameters {
            Some(n) if chosen => {
                bail!("--parameters {n} determines the feed-forward width, and so does --set ffn: give only one of them")
            }
            None if chosen => return Ok(fields),
            _ => {}
        }
        let target = match self.parameters {
            Some(target) => target,
            None => parameters(&complete(self.fields(Paths::HYBRID))?),
        };
        fields.insert("ffn".into(), with_ffn_for(&config, target)?.ffn.into());
        Ok(fields)
    }
}
