//! Knock-outs that change weights: some tensors of the model are replaced, and restored afterwards.

use super::knockout::Change;
use hh_core::backend::{Device, Precision};
use hh_core::config::Config;
use hh_core::layers::{block, hopfield::Memory};
use hh_core::model::{Model, shapes};
use hh_core::shape::Shaped;
use std::mem;
use std::ops::Range;

/// A logit that gives its depth all the weight when the others are 0: `exp(−10⁴)` is 0 in f32.
const DOMINANT: f32 = 1e4;

/// The original tensors that an edit replaced.
pub(super) struct Taken<T> {
    /// Index of a leaf, and the leaf.
    leaves: Vec<(usize, T)>,
    /// Layer, and its learned slots.
    slots: Vec<(usize, Memory<T>)>,
}

impl<T> Taken<T> {
    /// Restores the model.
    pub(super) fn put_back(self, model: &mut Model<T>) {
        for (layer, memory) in self.slots {
            *hopfield_of(model, layer) = memory;
        }
        // In reverse order: a leaf may have been replaced more than once.
        for (index, leaf) in self.leaves.into_iter().rev() {
            *leaf_of(model, index) = leaf;
        }
    }
}

fn leaf_of<T>(model: &mut Model<T>, index: usize) -> &mut T {
    model.params.leaves_mut().nth(index).expect("a leaf for every name")
}

fn hopfield_of<T>(model: &mut Model<T>, layer: usize) -> &mut Memory<T> {
    &mut model.params.blocks[layer].hopfield.as_mut().expect("a layer with a Hopfield path").memory
}

/// Changes the weights of some layers, if `change` is one of weights.
///
/// # Errors
/// Those of the device; the model is restored first.
pub(super) fn edit<B: Device>(
    b: &mut B,
    model: &mut Model<B::Tensor>,
    change: Change,
    layers: Range<usize>,
) -> Result<Taken<B::Tensor>, B::Error> {
    let names = shapes(&model.config).into_iter().map(|(name, _)| name).collect();
    let c = model.config.clone();
    let mut editor = Editor { b, model, names, taken: Taken { leaves: Vec::new(), slots: Vec::new() } };
    let done = editor.change(&c, change, layers);
    let Editor { taken, model, .. } = editor;
    match done {
        Ok(()) => Ok(taken),
        Err(e) => {
            taken.put_back(model);
            Err(e)
        }
    }
}

struct Editor<'a, B: Device> {
    b: &'a mut B,
    model: &'a mut Model<B::Tensor>,
    /// Names of all leaves.
    names: Vec<String>,
    taken: Taken<B::Tensor>,
}

impl<B: Device> Editor<'_, B> {
    fn change(&mut self, c: &Config, change: Change, layers: Range<usize>) -> Result<(), B::Error> {
        match change {
            Change::Nothing | Change::Shuffle(_) | Change::ShuffledController | Change::RandomController => {}
            Change::Keep(keep) => {
                for layer in layers {
                    let columns = block::columns(c, layer).map(|[_, (start, width)]| start..start + width);
                    self.replace(&format!("blocks.{layer}.mixer.norm.weight"), |gain| {
                        columns.into_iter().zip(keep).filter(|(_, keep)| !keep).for_each(|(columns, _)| gain[columns].fill(0.0));
                    })?;
                }
            }
            Change::UniformGates => {
                for layer in layers.clone().filter(|&l| c.gates(l) > 0) {
                    for leaf in ["weight", "bias"] {
                        self.replace(&format!("blocks.{layer}.mixer.gate.{leaf}"), |values| values.fill(0.0))?;
                    }
                }
                if c.controller_width > 0 {
                    self.no_gate_biases(c, layers)?;
                }
            }
            Change::Depth(depth) => {
                for layer in layers.filter(|&l| c.depth(l) > 0) {
                    let one = depth.min(c.depth(layer)) - 1;
                    self.depths(layer, |bias| bias[one] = DOMINANT)?;
                }
            }
            Change::UniformDepths => {
                for layer in layers.filter(|&l| c.depth(l) > 0) {
                    self.depths(layer, |_| ())?;
                }
            }
            Change::NoSlots => {
                for layer in layers.filter(|&l| c.hopfield_width[l] > 0) {
                    let slots = mem::replace(hopfield_of(self.model, layer), Memory::Modern(None));
                    self.taken.slots.push((layer, slots));
                }
            }
            Change::SilentController { gates, input } => {
                if gates {
                    self.no_gate_biases(c, layers)?;
                }
                if input && c.controller_inject {
                    self.replace("controller.inject.weight", |values| values.fill(0.0))?;
                }
            }
        }
        Ok(())
    }

    /// Zeroes the controller's gate biases of these layers.
    fn no_gate_biases(&mut self, c: &Config, layers: Range<usize>) -> Result<(), B::Error> {
        let width = c.controller_width;
        self.replace("controller.gate_bias.weight", |values| values[3 * layers.start * width..3 * layers.end * width].fill(0.0))
    }

    /// Makes the mixture over depths independent of the input: zero weights, and a bias that `bias` sets, starting from zeros.
    fn depths(&mut self, layer: usize, bias: impl FnOnce(&mut [f32])) -> Result<(), B::Error> {
        self.replace(&format!("blocks.{layer}.hopfield.depth.weight"), |values| values.fill(0.0))?;
        self.replace(&format!("blocks.{layer}.hopfield.depth.bias"), |values| {
            values.fill(0.0);
            bias(values);
        })
    }

    /// Replaces a leaf by a changed copy; the copy of a block-quantised leaf is dense.
    fn replace(&mut self, name: &str, change: impl FnOnce(&mut [f32])) -> Result<(), B::Error> {
        let index = self.names.iter().position(|known| known == name).expect("a tensor of the model");
        let leaf = leaf_of(self.model, index);
        let mut host = vec![0.0; leaf.shape().count()];
        self.b.download(leaf, &mut host)?;
        change(&mut host);
        let mut copy = self.b.alloc(leaf.shape(), Precision::Compute)?;
        self.b.upload(&host, &mut copy)?;
        self.taken.leaves.push((index, mem::replace(leaf, copy)));
        Ok(())
    }
}
