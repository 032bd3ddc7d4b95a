//! Small models to compare paths by: the same but for the paths that are on, and as many parameters.

use crate::budget::{parameters, with_ffn_for};
use anyhow::{Result, bail};
use hh_core::config::{Config, PATHS};
use serde_json::{Map, Value, json};
use std::fmt;
use std::str::FromStr;

/// Which paths are on: ssm, hopfield, attention.
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
            let Some(path) = path else { return Err("there are hybrid, ssm, hopfield, attention, and several as in ssm+hopfield".into()) };
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

/// A model, as flags.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Model")]
pub struct ModelOptions {
    /// The paths that are on: hybrid (all three), ssm, hopfield, attention, or several, as in ssm+hopfield
    #[arg(long, value_name = "NAMES", default_value_t = Paths::HYBRID)]
    pub paths: Paths,
    /// Width of the model, and of each path that is on
    #[arg(long, value_name = "D", default_value_t = 64, value_parser = clap::value_parser!(u16).range(2..=4096))]
    pub width: u16,
    /// Blocks
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub layers: u16,
    /// Refinements of a Hopfield memory's query
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub depth: u8,
    /// Parameters, which the width of the feed-forward networks is chosen for [default: as many as the hybrid has with
    /// feed-forward networks of twice the width, so that all choices of --paths have as many]
    #[arg(long, value_name = "N")]
    pub parameters: Option<usize>,
    /// Changes one field of the model, as in --set hopfield_association=same; --set ffn=N leaves parameters what they are
    #[arg(long, value_name = "FIELD=VALUE")]
    pub set: Vec<String>,
}

impl ModelOptions {
    /// Fields of a model with these paths, as a recipe has them.
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

    /// The model's fields, with the feed-forward width that its number of parameters asks for. `complete` makes a configuration
    /// of fields and of what [`set`](Self::set) says.
    ///
    /// # Errors
    /// One sentence for a field that cannot be, and for parameters that the model has without any feed-forward network.
    pub fn solved(&self, complete: impl Fn(Map<String, Value>) -> Result<Config>) -> Result<Map<String, Value>> {
        let mut fields = self.fields(self.paths);
        let config = complete(fields.clone())?;
        let chosen = self.set.iter().any(|pair| pair.split('=').next().is_some_and(|field| field.trim() == "ffn"));
        match self.parameters {
            Some(n) if chosen => {
                bail!("--parameters {n} chooses the width of the feed-forward networks, and so does --set ffn: give one of the two")
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
