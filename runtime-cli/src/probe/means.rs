//! Mean gates and mean weights of the Hopfield depths, in the last pass of the unchanged model.

use super::disturb::Rows;
use hh_core::backend::Device;
use hh_core::config::{Config, PATHS};
use hh_core::hooks::{BlockId, Hooks};
use hh_core::layers::block;
use hh_core::shape::Shaped;
use serde::{Deserialize, Serialize};

/// The gate of one path in one layer.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Gate {
    /// Layer, from 0.
    pub layer: usize,
    /// One of [`PATHS`].
    pub path: String,
    /// Mean over all tokens. The gates of a layer sum to its number of paths.
    pub mean: f64,
    /// Mean over the windows, at each position.
    pub positions: Vec<f32>,
}

/// The mixture over depths in one layer.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Depths {
    /// Layer, from 0.
    pub layer: usize,
    /// Mean weight of each refinement, in order. They sum to 1.
    pub weights: Vec<f64>,
}

/// Accumulates sums over tokens.
pub(super) struct Means {
    config: Config,
    /// The observed pass.
    segment: usize,
    /// Tokens at each position.
    counts: Vec<u64>,
    /// `[L, T, n]`, with n gates in the layer.
    gates: Vec<Vec<f64>>,
    /// `[L, K]`, with K refinements in the layer.
    depths: Vec<Vec<f64>>,
}

impl Means {
    pub(super) fn new(config: &Config, segments: usize, time: usize) -> Self {
        let gates = (0..config.layers).map(|l| vec![0.0; time * config.gates(l)]).collect();
        let depths = (0..config.layers).map(|l| vec![0.0; config.depth(l)]).collect();
        Self { config: config.clone(), segment: segments - 1, counts: vec![0; time], gates, depths }
    }

    /// Hooks that accumulate a batch of these windows.
    pub(super) fn of<'a>(&'a mut self, rows: &'a Rows) -> Watching<'a> {
        for &(_, counted) in rows {
            self.counts[..counted].iter_mut().for_each(|n| *n += 1);
        }
        Watching { means: self, rows }
    }

    pub(super) fn gates(&self) -> Vec<Gate> {
        let c = &self.config;
        let tokens = self.counts.iter().sum::<u64>() as f64;
        let of_layer = |layer: usize| {
            let (n, sums) = (c.gates(layer), &self.gates[layer]);
            let paths = (0..3).filter(move |&path| n > 0 && c.on(layer)[path]).enumerate();
            paths.map(move |(i, path)| {
                let at = || sums.iter().skip(i).step_by(n);
                let positions = at().zip(&self.counts).map(|(sum, &n)| (sum / n as f64) as f32).collect();
                Gate { layer, path: PATHS[path].to_owned(), mean: at().sum::<f64>() / tokens, positions }
            })
        };
        (0..c.layers).flat_map(of_layer).collect()
    }

    pub(super) fn depths(&self) -> Vec<Depths> {
        let tokens = self.counts.iter().sum::<u64>() as f64;
        let layers = self.depths.iter().enumerate().filter(|(_, sums)| !sums.is_empty());
        layers.map(|(layer, sums)| Depths { layer, weights: sums.iter().map(|sum| sum / tokens).collect() }).collect()
    }
}

pub(super) struct Watching<'a> {
    means: &'a mut Means,
    rows: &'a Rows,
}

impl<B: Device> Hooks<B> for Watching<'_> {
    type Error = B::Error;

    fn block(&mut self, b: &mut B, at: BlockId, acts: &block::Acts<B::Tensor>) -> Result<(), B::Error> {
        let Self { means, rows } = self;
        if at.segment != means.segment {
            return Ok(());
        }
        let mut host = Vec::new();
        if let Some(gate) = &acts.mixer.gate {
            for row in each_row(b, &gate.gates, &mut host, rows)? {
                means.gates[at.layer].iter_mut().zip(row).for_each(|(sum, &gate)| *sum += f64::from(gate));
            }
        }
        if let Some(hopfield) = &acts.hopfield {
            let sums = &mut means.depths[at.layer];
            for row in each_row(b, &hopfield.depth, &mut host, rows)? {
                for logits in row.chunks_exact(sums.len()) {
                    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    let weights = || logits.iter().map(|&x| f64::from(x - top).exp());
                    let all: f64 = weights().sum();
                    sums.iter_mut().zip(weights()).for_each(|(sum, weight)| *sum += weight / all);
                }
            }
        }
        Ok(())
    }
}

/// The valid positions of each window of a tensor `[B, T, width]`.
fn each_row<'a, B: Device>(
    b: &mut B,
    tensor: &B::Tensor,
    host: &'a mut Vec<f32>,
    rows: &'a Rows,
) -> Result<impl Iterator<Item = &'a [f32]>, B::Error> {
    let [_, time, width] = tensor.shape().extents();
    host.resize(tensor.shape().count(), 0.0);
    b.download(tensor, host)?;
    Ok(rows.iter().zip(host.chunks_exact(time * width)).map(move |(&(_, counted), row)| &row[..counted * width]))
}
