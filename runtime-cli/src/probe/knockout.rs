//! The list of knock-outs of a model, and their names.

use hh_core::config::{Config, HopfieldKind, PATHS};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Kinds of knock-outs.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// The unchanged model.
    Baseline,
    /// Number of passes over the blocks.
    Segments,
    /// The summary that the controller passes to the next pass.
    Controller,
    /// The paths with a nonzero output.
    Paths,
    /// The input of a path, shuffled over time.
    Shuffles,
    /// The mixture over the refinements of the Hopfield memory.
    Depths,
    /// The gates of the paths.
    Gates,
    /// Learned slots of the Hopfield memory.
    Slots,
}

impl Group {
    /// Heading of its rows.
    pub fn title(self) -> &'static str {
        match self {
            Self::Baseline => "Baseline",
            Self::Segments => "Passes over the blocks",
            Self::Controller => "Controller",
            Self::Paths => "Active paths",
            Self::Shuffles => "Input of a path shuffled over time",
            Self::Depths => "Recursion depth of the Hopfield memory",
            Self::Gates => "Gates",
            Self::Slots => "Learned slots of the Hopfield memory",
        }
    }
}

/// The change that a knock-out makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// Zeroes the output of all but these of [`PATHS`]; the gates are unchanged. (The gain of a path's output is set to zero; no
    /// norm spans several paths.)
    Keep([bool; 3]),
    /// Shuffles the input of this one of [`PATHS`] over time, differently in each window, layer and pass.
    Shuffle(usize),
    /// All gates are 1: their weights and biases are zero, and so is the controller's gate bias.
    UniformGates,
    /// Uses this refinement alone, counted from 1, or the last one if there are fewer.
    Depth(usize),
    /// Weights all refinements equally.
    UniformDepths,
    /// Removes the learned slots from the Hopfield memory.
    NoSlots,
    /// Zeroes outputs of the controller.
    SilentController {
        /// The bias of the gates.
        gates: bool,
        /// The addition to the input of the next pass.
        input: bool,
    },
    /// Shuffles the controller's summary over time, differently in each window and pass.
    ShuffledController,
    /// Replaces the controller's summary by normal noise with the mean and deviation of each of its dimensions in the window.
    RandomController,
}

/// A knock-out of a part, in the whole model or in one layer.
#[derive(Clone, PartialEq, Debug)]
pub struct Knockout {
    /// Its group.
    pub group: Group,
    /// Its name in the results.
    pub name: String,
    /// The layer, from 0 as in tensor names; absent for all layers.
    pub layer: Option<usize>,
    /// Passes over the blocks.
    pub segments: usize,
    /// The change.
    pub change: Change,
}

impl Knockout {
    /// The layers that are changed.
    pub fn layers(&self, c: &Config) -> Range<usize> {
        self.layer.map_or(0..c.layers, |layer| layer..layer + 1)
    }
}

/// Number of passes to try if the model has fewer.
const PASSES: usize = 3;

/// All knock-outs of the parts that a model has, in the whole model and then, if `of_layers`, in each layer alone. Those that
/// change nothing, such as "all paths", are listed too, for a complete table.
pub fn knockouts(c: &Config, segments: usize, of_layers: bool) -> Vec<Knockout> {
    let mut list = List { c, segments, layer: None, all: Vec::new() };
    list.add(Group::Baseline, "baseline", Change::Nothing);
    // Without a controller every pass computes the same.
    if c.controller_width > 0 {
        for segments in 1..=segments.max(PASSES) {
            list.add(Group::Segments, &format!("segments {segments}"), Change::Nothing);
            list.all.last_mut().expect("it was added").segments = segments;
        }
    }
    list.controller();
    list.parts();
    for layer in (0..c.layers).take_while(|_| of_layers) {
        list.layer = Some(layer);
        list.parts();
    }
    list.all
}

struct List<'a> {
    c: &'a Config,
    segments: usize,
    layer: Option<usize>,
    all: Vec<Knockout>,
}

impl List<'_> {
    fn add(&mut self, group: Group, name: &str, change: Change) {
        self.all.push(Knockout { group, name: name.to_owned(), layer: self.layer, segments: self.segments, change });
    }

    fn controlled(&self) -> bool {
        self.c.controller_width > 0 && self.segments > 1
    }

    fn controller(&mut self) {
        if !self.controlled() {
            return;
        }
        for (name, change) in [
            ("controller normal", Change::Nothing),
            ("controller shuffled", Change::ShuffledController),
            ("controller random", Change::RandomController),
            ("controller off", Change::SilentController { gates: true, input: true }),
        ] {
            self.add(Group::Controller, name, change);
        }
        if self.c.controller_inject {
            self.add(Group::Controller, "controller off for the input", Change::SilentController { gates: false, input: true });
        }
    }

    /// Knock-outs that apply to the whole model and to one layer alike.
    fn parts(&mut self) {
        let c = self.c;
        let layers = self.layer.map_or(0..c.layers, |layer| layer..layer + 1);
        let gated = layers.clone().any(|l| c.gates(l) > 0);
        if self.controlled() && gated {
            self.add(Group::Controller, "controller off for the gates", Change::SilentController { gates: true, input: false });
        }
        let on = [0, 1, 2].map(|path| layers.clone().any(|l| c.on(l)[path]));
        self.paths(on);
        for path in (0..3).filter(|&path| on[path]) {
            self.add(Group::Shuffles, &format!("{} shuffled", PATHS[path]), Change::Shuffle(path));
        }
        let deepest = layers.clone().map(|l| c.depth(l)).max().unwrap_or(0);
        if deepest > 1 {
            for depth in 1..=deepest {
                self.add(Group::Depths, &format!("depth {depth}"), Change::Depth(depth));
            }
            self.add(Group::Depths, "depths uniform", Change::UniformDepths);
        }
        if gated {
            self.add(Group::Gates, "gates uniform", Change::UniformGates);
        }
        if c.hopfield_slots > 0 && c.hopfield_kind == HopfieldKind::Modern && on[1] {
            self.add(Group::Slots, "slots removed", Change::NoSlots);
        }
    }

    /// Each single path, each pair, all, and none.
    fn paths(&mut self, on: [bool; 3]) {
        let there = on.iter().filter(|&&on| on).count();
        for left in (1..=there).chain([0]) {
            for keep in (0..8).map(|set| [0, 1, 2].map(|path| set >> path & 1 == 1)) {
                let names: Vec<_> = (0..3).filter(|&path| keep[path]).map(|path| PATHS[path]).collect();
                if names.len() != left || (0..3).any(|path| keep[path] && !on[path]) {
                    continue;
                }
                match &names[..] {
                    [] => self.add(Group::Paths, "no path", Change::Keep(keep)),
                    // Equal to the baseline; a single layer needs no such row.
                    _ if left == there && (there == 1 || self.layer.is_some()) => {}
                    _ if left == there => self.add(Group::Paths, "all paths", Change::Nothing),
                    [one] => self.add(Group::Paths, &format!("only {one}"), Change::Keep(keep)),
                    more => self.add(Group::Paths, &more.join(" + "), Change::Keep(keep)),
                }
            }
        }
    }
}
