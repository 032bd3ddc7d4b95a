//! What varies between models, and nothing else. The JSON of [`Config`] is a checkpoint's `config` entry.

use crate::error::{ConfigError, Error};
use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::fmt::Display;
use serde::{Deserialize, Deserializer, Serialize};

/// How a position is told from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Positions {
    /// Rotary, in attention.
    #[default]
    Rope,
    /// A learned table of `max_len` rows, added to the embedding.
    Learned,
    /// Not at all: order comes from the recurrences alone.
    None,
}

/// Which Hopfield memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HopfieldKind {
    /// Softmax retrieval (Ramsauer et al. 2020).
    #[default]
    Modern,
    /// Hebbian matrices (Hopfield 1982) with exponential forgetting.
    Classic,
}

/// What a stored pattern is associated with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Association {
    /// The value of the position that came next: what followed when the memory last looked like this.
    #[default]
    Successor,
    /// The value of the same position.
    Same,
}

/// How the paths are fused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MixerKind {
    /// Softmax gates over normalised outputs.
    #[default]
    Softmax,
    /// The mean of normalised outputs (Hymba).
    Mean,
    /// The plain sum, with a gain (Falcon-H1).
    Sum,
}

/// The architecture. Field names are those of the reference implementation; a path width is one number, or one per layer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `V`: ids are `0..V`.
    pub vocab_size: usize,
    /// `D`: width of the residual stream.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Hidden width of the SwiGLU.
    pub ffn: usize,
    /// `d`: width of an attention or Hopfield head.
    pub head_dim: usize,
    /// `E`: width of the embedding; 0 means `D`.
    #[serde(default)]
    pub embed_dim: usize,
    /// How positions are told apart.
    #[serde(default)]
    pub positions: Positions,
    /// Rows of the learned table of positions.
    #[serde(default = "default_max_len")]
    pub max_len: usize,
    /// Width of the state-space path in each layer; 0 is off.
    #[serde(default, deserialize_with = "one_or_many")]
    pub ssm_width: Vec<usize>,
    /// Taps of its convolution.
    #[serde(default = "default_conv")]
    pub ssm_conv: usize,
    /// Width of the Hopfield path in each layer; 0 is off.
    #[serde(default, deserialize_with = "one_or_many")]
    pub hopfield_width: Vec<usize>,
    /// Modern or classic.
    #[serde(default)]
    pub hopfield_kind: HopfieldKind,
    /// `K` of each layer.
    #[serde(default)]
    pub hopfield_depths: Vec<usize>,
    /// Learned items per head (modern).
    #[serde(default)]
    pub hopfield_slots: usize,
    /// Newest items that a query sees (modern); 0 is all.
    #[serde(default)]
    pub hopfield_window: usize,
    /// What a pattern is stored with.
    #[serde(default)]
    pub hopfield_association: Association,
    /// Width of the attention path in each layer; 0 is off.
    #[serde(default, deserialize_with = "one_or_many")]
    pub attention_width: Vec<usize>,
    /// Newest positions that a query sees; 0 is all.
    #[serde(default)]
    pub attention_window: usize,
    /// How the paths are fused.
    #[serde(default)]
    pub mixer_kind: MixerKind,
    /// Hidden width of the gates' network.
    #[serde(default = "default_mixer")]
    pub mixer_hidden: usize,
    /// Passes over the blocks; all but the last carry no gradient.
    #[serde(default = "default_segments")]
    pub segments: usize,
    /// Width of the controller between segments; 0 is none.
    #[serde(default)]
    pub controller_width: usize,
    /// The controller also adds to the next segment's input.
    #[serde(default = "default_inject")]
    pub controller_inject: bool,
    /// Hidden width of the rectified-flow head (training only); 0 is none.
    #[serde(default)]
    pub flow_hidden: usize,
    /// Width of the episodic memory's keys; 0 is no such memory.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub episodic_width: usize,
    /// Newest items that the episodic memory looks up; 0 is all that it holds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub episodic_window: usize,
    /// Numbers of a text's vector: pooled hidden states through `pooled.weight`; 0 is the pooled hidden states themselves.
    /// Left out of the JSON where it is 0, which the reference has no word for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pooled_dim: usize,
    /// ε of every norm.
    #[serde(default = "default_eps")]
    pub norm_eps: f32,
}

fn default_max_len() -> usize {
    1024
}
fn default_conv() -> usize {
    4
}
fn default_mixer() -> usize {
    32
}
fn default_segments() -> usize {
    1
}
fn default_inject() -> bool {
    true
}
fn default_eps() -> f32 {
    1e-5
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(usize),
    Many(Vec<usize>),
}

fn one_or_many<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<usize>, D::Error> {
    Ok(match OneOrMany::deserialize(d)? {
        OneOrMany::One(n) => vec![n],
        OneOrMany::Many(v) => v,
    })
}

/// Most blocks that a model may have.
const MAX_LAYERS: usize = 1 << 10;

/// The three paths of a block, in the order in which everything is packed.
pub const PATHS: [&str; 3] = ["ssm", "hopfield", "attention"];

impl Config {
    /// Names of all fields.
    pub const FIELDS: [&str; 28] = [
        "vocab_size",
        "width",
        "layers",
        "ffn",
        "head_dim",
        "embed_dim",
        "positions",
        "max_len",
        "ssm_width",
        "ssm_conv",
        "hopfield_width",
        "hopfield_kind",
        "hopfield_depths",
        "hopfield_slots",
        "hopfield_window",
        "hopfield_association",
        "attention_width",
        "attention_window",
        "mixer_kind",
        "mixer_hidden",
        "segments",
        "controller_width",
        "controller_inject",
        "flow_hidden",
        "episodic_width",
        "episodic_window",
        "pooled_dim",
        "norm_eps",
    ];

    /// Reads and [validates](Self::validate) a configuration.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let mut config: Self = serde_json::from_str(text).map_err(|e| ConfigError::Unreadable(e.to_string()))?;
        config.spread();
        config.validate()?;
        Ok(config)
    }

    /// The JSON that [`from_json`](Self::from_json) and the reference read.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a configuration has no key that JSON lacks")
    }

    /// Writes short forms out: one width for all layers, `embed_dim` 0. Leaves an invalid number of layers to
    /// [`validate`](Self::validate), rather than make room for it.
    pub fn spread(&mut self) {
        if self.layers > MAX_LAYERS {
            return;
        }
        if self.embed_dim == 0 {
            self.embed_dim = self.width;
        }
        for widths in [&mut self.ssm_width, &mut self.hopfield_width, &mut self.attention_width] {
            match widths[..] {
                [] => *widths = vec![0; self.layers],
                [one] => *widths = vec![one; self.layers],
                _ => {}
            }
        }
    }

    /// Widths of ssm, hopfield and attention in a layer.
    pub fn widths(&self, layer: usize) -> [usize; 3] {
        [self.ssm_width[layer], self.hopfield_width[layer], self.attention_width[layer]]
    }

    /// Which paths of a layer are on.
    pub fn on(&self, layer: usize) -> [bool; 3] {
        self.widths(layer).map(|w| w > 0)
    }

    /// Sum of a layer's path widths.
    pub fn mixed(&self, layer: usize) -> usize {
        self.widths(layer).iter().sum()
    }

    /// Rows of a layer's packed input projection.
    pub fn in_rows(&self, layer: usize) -> usize {
        let [s, h, a] = self.widths(layer);
        4 * s + 3 * h + 3 * a
    }

    /// Number of gates in a layer: one for each path that is on, none if only one is or the mixer has no gates.
    pub fn gates(&self, layer: usize) -> usize {
        let n = self.on(layer).iter().filter(|&&on| on).count();
        if n > 1 && self.mixer_kind == MixerKind::Softmax { n } else { 0 }
    }

    /// `K` of a layer; 0 where the Hopfield path is off.
    pub fn depth(&self, layer: usize) -> usize {
        if self.hopfield_width[layer] > 0 { self.hopfield_depths[layer] } else { 0 }
    }

    /// Numbers of a text's vector.
    pub fn vector_dim(&self) -> usize {
        if self.pooled_dim > 0 { self.pooled_dim } else { self.width }
    }

    /// Embedding and residual stream differ in width.
    pub fn factorised(&self) -> bool {
        self.embed_dim != self.width
    }

    /// Says what is wrong with a configuration, field by field.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first invalid field, its value, and what it must be.
    pub fn validate(&self) -> Result<(), Error> {
        let fail = |what: String| Err(ConfigError::Contradiction(what).into());
        let field = |name: &str, value: &dyn Display, must: String| Err(ConfigError::field(name, value, must).into());
        for (name, value, limit) in [
            ("vocab_size", self.vocab_size, 1 << 24),
            ("width", self.width, 1 << 16),
            ("layers", self.layers, MAX_LAYERS),
            ("ffn", self.ffn, 1 << 18),
            ("head_dim", self.head_dim, 1 << 10),
            ("embed_dim", self.embed_dim, 1 << 16),
            ("max_len", self.max_len, 1 << 24),
            ("ssm_conv", self.ssm_conv, 16),
            ("mixer_hidden", self.mixer_hidden, 1 << 16),
            ("segments", self.segments, 16),
        ] {
            if value == 0 || value > limit {
                return field(name, &value, format!("between 1 and {limit}"));
            }
        }
        for (name, value, limit) in [
            ("hopfield_slots", self.hopfield_slots, 1 << 16),
            ("hopfield_window", self.hopfield_window, 1 << 24),
            ("attention_window", self.attention_window, 1 << 24),
            ("controller_width", self.controller_width, 1 << 16),
            ("flow_hidden", self.flow_hidden, 1 << 16),
            ("pooled_dim", self.pooled_dim, 1 << 16),
            ("episodic_width", self.episodic_width, 1 << 12),
            ("episodic_window", self.episodic_window, 1 << 24),
        ] {
            if value > limit {
                return field(name, &value, format!("at most {limit}"));
            }
        }
        for (name, widths) in
            [("ssm_width", &self.ssm_width), ("hopfield_width", &self.hopfield_width), ("attention_width", &self.attention_width)]
        {
            if widths.len() != self.layers {
                return fail(format!(
                    "{name} has {} entries; give one number, or one for each of the {} layers",
                    widths.len(),
                    self.layers
                ));
            }
            for (layer, &w) in widths.iter().enumerate() {
                if w > 1 << 16 || (name != "ssm_width" && w % self.head_dim != 0) {
                    let must = format!("a multiple of head_dim ({}), or 0 for off", self.head_dim);
                    return field(&format!("{name} of layer {layer}"), &w, must);
                }
            }
        }
        if let Some(layer) = (0..self.layers).find(|&l| self.mixed(l) == 0) {
            return fail(format!("layer {layer} has no path; give one of ssm_width, hopfield_width, attention_width a width above 0"));
        }
        if self.hopfield_width.iter().any(|&w| w > 0) {
            if self.hopfield_depths.len() != self.layers {
                return fail(format!(
                    "hopfield_depths has {} entries; it needs one for each of the {} layers",
                    self.hopfield_depths.len(),
                    self.layers
                ));
            }
            if let Some(layer) = (0..self.layers).find(|&l| self.hopfield_width[l] > 0 && !(1..=64).contains(&self.hopfield_depths[l])) {
                return field(&format!("hopfield_depths of layer {layer}"), &self.hopfield_depths[layer], "between 1 and 64".into());
            }
            if self.hopfield_kind == HopfieldKind::Classic && self.hopfield_window > 0 {
                return fail(format!(
                    "hopfield_window is {}; a classic memory forgets by decay and has no window: set it to 0",
                    self.hopfield_window
                ));
            }
        }
        if self.attention_width.iter().any(|&w| w > 0) && self.positions == Positions::Rope && self.head_dim % 2 == 1 {
            return fail(format!("head_dim is {}; rotary positions need an even one", self.head_dim));
        }
        if self.episodic_window > 0 && self.episodic_width == 0 {
            return fail(format!("episodic_window is {} without a memory: give episodic_width, or leave it out", self.episodic_window));
        }
        if !(self.norm_eps > 0.0 && self.norm_eps < 1.0) {
            return fail(format!("norm_eps is {}; it must lie between 0 and 1", self.norm_eps));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
