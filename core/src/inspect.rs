//! What a model did at its newest position: the gates of each layer, and what its Hopfield memories recalled.
//!
//! Read on the host, from the activations and the state that a step leaves: no backend knows of it, and a step that
//! is not inspected ([`Session::step`](crate::session::Session::step)) does nothing for it.

use crate::{
    backend::Device,
    config::{Association, Config},
    layers::hopfield::Memory,
    model::{Acts, Params, SegmentState},
    shape::Shaped,
};
use alloc::{vec, vec::Vec};

/// Where something recalled came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Item {
    /// A learned item: its number among the layer's slots.
    Slot(usize),
    /// The value of this position of the text, counted from 0. With the association "successor" it was stored with the
    /// pattern of the position before: it is what followed.
    Position(u64),
}

/// Something that a Hopfield memory recalled.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Recalled {
    /// What.
    pub item: Item,
    /// Its share of what the path read, `Σ_k softmax(depth)_k softmax_j(β ξᵏ·p_j)`, the mean over the heads. The
    /// shares of all items sum to 1.
    pub weight: f32,
}

/// What one layer did.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Seen {
    /// The gate of each path of [`PATHS`](crate::config::PATHS). They sum to the number of paths; `None` where a path
    /// is off, or the mixer has no gates.
    pub gates: [Option<f32>; 3],
    /// What the modern Hopfield memory recalled, the largest share first. Nothing where the path is off, or classic: its
    /// matrices do not keep items apart.
    pub recalled: Vec<Recalled>,
}

/// Watches steps of a session; see [`Session::watch`](crate::session::Session::watch).
pub struct Inspector {
    most: usize,
    layers: usize,
    seen: Vec<Seen>,
    /// Host copies of what is looked at.
    packed: Vec<f32>,
    depth: Vec<f32>,
    ring: Vec<f32>,
    slots: Vec<f32>,
    log_beta: Vec<f32>,
}

impl Inspector {
    /// One that keeps the `most` largest shares of what a layer recalled.
    pub fn new(most: usize) -> Self {
        let none = Vec::new;
        Self { most, layers: 0, seen: Vec::new(), packed: none(), depth: none(), ring: none(), slots: none(), log_beta: none() }
    }

    /// What the layers of the last segment did to the newest token of a sequence; none before the first step that was
    /// watched.
    pub fn layers(&self, sequence: usize) -> &[Seen] {
        if self.layers == 0 { &[] } else { &self.seen[sequence * self.layers..][..self.layers] }
    }

    /// Looks at a chunk of one position that has just gone through the model; `past` is what it left, `position` its own.
    pub(crate) fn look<B: Device>(
        &mut self,
        b: &mut B,
        c: &Config,
        p: &Params<B::Tensor>,
        past: &SegmentState<B::Tensor>,
        a: &Acts<B::Tensor>,
        position: u64,
    ) -> Result<(), B::Error> {
        let batch = a.start.shape().extents()[0];
        self.layers = c.layers;
        self.seen.resize_with(batch * c.layers, Seen::default);
        for layer in 0..c.layers {
            let block = &a.blocks[a.of[layer]];
            let n = c.gates(layer);
            if let Some(gate) = &block.mixer.gate {
                fetch(b, &gate.gates, &mut self.packed)?;
            }
            for (sequence, seen) in self.seen.iter_mut().skip(layer).step_by(c.layers).enumerate() {
                let mut gates = self.packed.iter().copied().skip(sequence * n).take(n);
                seen.gates = c.on(layer).map(|on| if on { gates.next() } else { None });
                seen.recalled.clear();
            }
            let (Some(hopfield), Some(p), Some(state)) = (&block.hopfield, &p.blocks[layer].hopfield, &past.blocks[layer].hopfield) else {
                continue;
            };
            let Memory::Modern(slots) = &p.memory else { continue };
            fetch(b, &block.packed, &mut self.packed)?;
            fetch(b, &hopfield.depth, &mut self.depth)?;
            fetch(b, &state.memory, &mut self.ring)?;
            fetch(b, &p.log_beta, &mut self.log_beta)?;
            self.slots.clear();
            if let Some([patterns, _]) = slots {
                fetch(b, patterns, &mut self.slots)?;
                self.slots.chunks_exact_mut(c.head_dim).for_each(unit);
            }
            let (rows, width) = (state.memory.shape().extents()[1], c.hopfield_width[layer]);
            let (first, depth) = (u64::from(c.hopfield_association == Association::Successor), c.depth(layer));
            for sequence in 0..batch {
                let past = Past {
                    head_dim: c.head_dim,
                    width,
                    slots: &self.slots,
                    ring: &self.ring[sequence * rows * 2 * width..][..rows * 2 * width],
                    oldest: (position + 1).saturating_sub(rows as u64).max(first),
                    newest: position,
                };
                let queries = &self.packed[sequence * c.in_rows(layer) + 4 * c.ssm_width[layer]..][..width];
                let depths = &mut self.depth[sequence * depth..][..depth];
                softmax(depths);
                past.recall(queries, &self.log_beta, depths, self.most, &mut self.seen[sequence * c.layers + layer].recalled);
            }
        }
        Ok(())
    }
}

/// What one memory held when its query came.
struct Past<'a> {
    head_dim: usize,
    width: usize,
    /// Unit patterns `[H, M, d]`
    slots: &'a [f32],
    /// `[N, 2w]`: unit pattern and value of each item
    ring: &'a [f32],
    oldest: u64,
    newest: u64,
}

impl Past<'_> {
    /// Slots, then positions.
    fn items(&self) -> impl Iterator<Item = Item> {
        (0..self.slots.len() / self.width).map(Item::Slot).chain((self.oldest..=self.newest).map(Item::Position))
    }

    fn pattern(&self, head: usize, item: Item) -> &[f32] {
        let d = self.head_dim;
        match item {
            Item::Slot(slot) => &self.slots[(head * (self.slots.len() / self.width) + slot) * d..][..d],
            Item::Position(position) => {
                let row = position % (self.ring.len() / (2 * self.width)) as u64;
                &self.ring[row as usize * 2 * self.width + head * d..][..d]
            }
        }
    }

    /// The formula of [`Recall`](crate::ops::Recall), for what it reads rather than what it yields.
    fn recall(&self, queries: &[f32], log_beta: &[f32], depths: &[f32], most: usize, recalled: &mut Vec<Recalled>) {
        recalled.clear();
        recalled.extend(self.items().map(|item| Recalled { item, weight: 0.0 }));
        let (mut scores, heads) = (vec![0.0; recalled.len()], log_beta.len() as f32);
        for (head, query) in queries.chunks_exact(self.head_dim).enumerate() {
            let (beta, mut query) = (libm::expf(log_beta[head]), query.to_vec());
            for &depth in depths {
                unit(&mut query);
                for (score, item) in scores.iter_mut().zip(self.items()) {
                    *score = beta * query.iter().zip(self.pattern(head, item)).map(|(q, p)| q * p).sum::<f32>();
                }
                softmax(&mut scores);
                for (recalled, &score) in recalled.iter_mut().zip(&scores) {
                    recalled.weight += depth * score / heads;
                    query.iter_mut().zip(self.pattern(head, recalled.item)).for_each(|(q, p)| *q += score * p);
                }
            }
        }
        // A few of many: to look for each of them is short, in code as well.
        for i in 0..most.min(recalled.len()) {
            let largest = (i..recalled.len()).max_by(|&a, &b| recalled[a].weight.total_cmp(&recalled[b].weight));
            recalled.swap(i, largest.unwrap_or(i));
        }
        recalled.truncate(most);
    }
}

fn fetch<B: Device>(b: &mut B, tensor: &B::Tensor, host: &mut Vec<f32>) -> Result<(), B::Error> {
    host.resize(tensor.shape().count(), 0.0);
    b.download(tensor, host)
}

/// `v / sqrt(|v|² + 1e-6)`
fn unit(v: &mut [f32]) {
    let length = libm::sqrtf(v.iter().map(|x| x * x).sum::<f32>() + 1e-6);
    v.iter_mut().for_each(|x| *x /= length);
}

fn softmax(x: &mut [f32]) {
    let top = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    x.iter_mut().for_each(|x| *x = libm::expf(*x - top));
    let sum: f32 = x.iter().sum();
    x.iter_mut().for_each(|x| *x /= sum);
}
