//! Which parts of a model can be knocked out, and under which names.

use hh_core::config::{Config, HopfieldKind, PATHS};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Kinds of knock-outs.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// The model as it is.
    Baseline,
    /// How many passes over the blocks.
    Segments,
    /// What one pass tells the next.
    Controller,
    /// Which paths have an output.
    Paths,
    /// What a path reads, in another order.
    Shuffles,
    /// The mixture over the refinements of the Hopfield memory.
    Depths,
    /// The weights of the paths.
    Gates,
    /// Learned items of the Hopfield memory.
    Slots,
}

impl Group {
    /// What stands above its rows.
    pub fn title(self) -> &'static str {
        match self {
            Self::Baseline => "As it is",
            Self::Segments => "Passes over the blocks",
            Self::Controller => "Controller",
            Self::Paths => "Paths that are left",
            Self::Shuffles => "Input of a path shuffled over time",
            Self::Depths => "Recursion depth of the Hopfield memory",
            Self::Gates => "Gates",
            Self::Slots => "Learned items of the Hopfield memory",
        }
    }
}

/// What is changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// Only these of [`PATHS`] keep an output; the others' is zero, and the gates stay as they are. (The gain that a path's
    /// output is multiplied by is zero; no norm reads more than one path.)
    Keep([bool; 3]),
    /// What this one of [`PATHS`] reads is in another order in each window, layer and pass.
    Shuffle(usize),
    /// All gates are 1: their weights and biases are zero, and the controller says nothing to them.
    UniformGates,
    /// The mixture over depths is this refinement alone, from 1 on; the last one where there are fewer.
    Depth(usize),
    /// All refinements weigh the same.
    UniformDepths,
    /// The memory holds what it has read, and nothing that it has learned.
    NoSlots,
    /// The controller says nothing: to the gates, to the next pass's input, or to both.
    SilentController {
        /// To the gates.
        gates: bool,
        /// To the next pass's input.
        input: bool,
    },
    /// The controller's summary is in another order in each window and pass.
    ShuffledController,
    /// The controller's summary is noise: normal, with the mean and the deviation that each of its numbers has in the window.
    RandomController,
}

/// A part, and where it is knocked out.
#[derive(Clone, PartialEq, Debug)]
pub struct Knockout {
    /// Its kind.
    pub group: Group,
    /// Its name in the results.
    pub name: String,
    /// The layer in which it is knocked out, from 0 on as in the names of tensors; all of them if absent.
    pub layer: Option<usize>,
    /// Passes over the blocks.
    pub segments: usize,
    /// What is changed.
    pub change: Change,
}

impl Knockout {
    /// The layers that are changed.
    pub fn layers(&self, c: &Config) -> Range<usize> {
        self.layer.map_or(0..c.layers, |layer| layer..layer + 1)
    }
}

/// Most passes that are tried, if the model itself has fewer.
const PASSES: usize = 3;

/// All knock-outs that a model has parts for, of the whole model and then of each layer alone. Those that change nothing, such
/// as "all paths", have a row all the same: so a table is complete.
pub fn knockouts(c: &Config, segments: usize, of_layers: bool) -> Vec<Knockout> {
    let mut list = List { c, segments, layer: None, all: Vec::new() };
    list.add(Group::Baseline, "baseline", Change::Nothing);
    // Without a controller each pass computes what the first one did.
    if c.controller_width > 0 {
        for segments in 1..=segments.max(PASSES) {
            list.add(Group::Segments, &format!("segments {segments}"), Change::Nothing);
            list.all.last_mut().expect("it was added").segments = segments;
        }
    }
    list.controller();
    list.within();
    for layer in (0..c.layers).take_while(|_| of_layers) {
        list.layer = Some(layer);
        list.within();
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

    /// What can be knocked out in the whole model as in one layer.
    fn within(&mut self) {
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
                    // That is the model as it is; a layer of it needs no row to say so.
                    _ if left == there && (there == 1 || self.layer.is_some()) => {}
                    _ if left == there => self.add(Group::Paths, "all paths", Change::Nothing),
                    [one] => self.add(Group::Paths, &format!("only {one}"), Change::Keep(keep)),
                    more => self.add(Group::Paths, &more.join(" + "), Change::Keep(keep)),
                }
            }
        }
    }
}
