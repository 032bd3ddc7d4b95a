//! The language model: embed, passes over the blocks with the controller between them, norm, logits.

mod acts;
pub mod output;

use crate::{
    backend::{Backward, Device, Forward},
    config::Config,
    hooks::Hooks,
    layers::{
        WithGrad, block, controller, embedding, episodic, flow,
        tree::{each, tree, when},
    },
    ops::*,
    pass::{BlockId, Pass},
    shape::{Shape, Shaped},
};
use alloc::{string::String, vec::Vec};

pub use crate::weights::{Model, params, zeros};
pub use acts::Acts;

tree! {
    /// Weights of a model; or their gradients, moments, average. In file order; see `shapes()` of the reference.
    pub struct Params(c: &Config; leaf) {
        /// Of tokens and positions, shared by input and output.
        embedding: embedding::Params<T> as tree = embedding::Params::new(c, leaf)?,
        /// The blocks.
        blocks: Vec<block::Params<T>> as trees = each(c.layers, |l| block::Params::new(c, l, leaf))?,
        /// `[D]`
        norm: T as leaf = leaf("norm_out.weight", Shape::vector(c.width))?,
        /// Of the output distribution.
        episodic: Option<episodic::Params<T>> as trees = when(c.episodic_width > 0, || episodic::Params::new(c, leaf))?,
        /// Between segments.
        controller: Option<controller::Params<T>> as trees = when(c.controller_width > 0, || controller::Params::new(c, leaf))?,
        /// Training only.
        flow: Option<flow::Params<T>> as trees = when(c.flow_hidden > 0, || flow::Params::new(c, leaf))?,
        /// `[pooled_dim, D]`: from pooled hidden states to a text's vector, if the model has one.
        pooled: Option<T> as option = when(c.pooled_dim > 0, || leaf("pooled.weight", Shape::matrix(c.pooled_dim, c.width)))?,
    }
}

/// Everything that a model remembers of the past, as plain tensors.
pub struct State<T, I> {
    /// `[1]`: how many positions came before
    pub clock: I,
    /// A past for each segment.
    pub segments: Vec<SegmentState<T>>,
}

/// What one segment remembers.
pub struct SegmentState<T> {
    /// Of each block.
    pub blocks: Vec<block::State<T>>,
    /// `[B, C]`: the running summary that this segment hands to the next; none in the last.
    pub controller: Option<T>,
}

/// Name and shape of every tensor of a checkpoint, in file order.
pub fn shapes(c: &Config) -> Vec<(String, Shape)> {
    let mut all = Vec::new();
    let Ok(_) = Params::new(c, &mut |name, shape| -> Result<(), core::convert::Infallible> {
        all.push((name.into(), shape));
        Ok(())
    });
    all
}

impl<T, I> State<T, I> {
    /// An empty past for `segments` passes; attention and modern Hopfield memories hold at most `context` positions.
    pub fn new<B: Device<Tensor = T, Indices = I>>(
        b: &mut B,
        c: &Config,
        batch: usize,
        context: usize,
        segments: usize,
    ) -> Result<Self, B::Error> {
        let segments = (0..segments)
            .map(|s| {
                Ok(SegmentState {
                    blocks: each(c.layers, |l| block::State::new(b, c, l, batch, context))?,
                    controller: if c.controller_width > 0 && s + 1 < segments { Some(controller::state(b, c, batch)?) } else { None },
                })
            })
            .collect::<Result<_, B::Error>>()?;
        Ok(Self { clock: b.alloc_indices(Shape::vector(1))?, segments })
    }

    tree!(leaves(segments as trees,));
}

impl<T> SegmentState<T> {
    tree!(leaves(blocks as trees, controller as option,));
}

/// From token ids `[B, T]` to normalised hidden states in `a.hidden`, in as many segments as the pass has. Trains on a whole
/// sequence, prefills a prompt, or steps one token: only `T` differs. With a state, the chunk continues what the state
/// remembers and leaves it behind in it; without one it starts from nothing.
///
/// # Errors
/// Those of the hooks. What lies in the activations and the state is then of no use.
pub fn forward<B: Forward, H: Hooks<B>>(
    pass: Pass<'_, B, H>,
    p: &Params<B::Tensor>,
    s: Option<&mut State<B::Tensor, B::Indices>>,
    a: &mut Acts<B::Tensor>,
    tokens: &B::Indices,
) -> Result<(), H::Error> {
    let (mut clock, mut past) = s.map(|s| (&mut s.clock, &mut s.segments)).unzip();
    let Pass { backend, config: c, segments, block, dropout, hooks, .. } = pass;
    let mut pass = Pass { backend: &mut *backend, config: c, segments, block, clock: clock.as_deref(), dropout, hooks };
    embedding::forward(&mut pass, &p.embedding, &mut a.embedding, tokens, &mut a.start);
    for segment in 0..segments {
        let mut past = past.as_mut().map(|past| &mut past[segment]);
        for (layer, p) in p.blocks.iter().enumerate() {
            pass.block = BlockId { segment, layer };
            let (x, y, block, control) = a.around(layer, segment == 0);
            let state = past.as_mut().map(|past| &mut past.blocks[layer]);
            block::forward(&mut pass, p, state, block, x, control, y)?;
        }
        let norm = Norm { x: &a.stream[(c.layers - 1) % a.stream.len()], gain: &p.norm, eps: c.norm_eps };
        if segment + 1 == segments {
            pass.backend.norm(norm, &mut a.hidden);
        } else if let (Some(p), Some(control)) = (&p.controller, &mut a.controller) {
            pass.backend.norm(norm, &mut control.seen);
            controller::forward(&mut pass, p, past.and_then(|past| past.controller.as_mut()), control, &a.start)?;
        }
    }
    if let Some(clock) = &mut clock {
        backend.advance(a.start.shape().extents()[1] as u32, clock);
    }
    Ok(())
}

/// [`forward`] read upwards, for a chunk that began with an empty state: from the gradient in `da.hidden` to the
/// gradients of all weights. Only the last segment carries gradient. Activations of blocks that share them are computed again.
pub fn backward<B: Backward>(
    mut pass: Pass<'_, B>,
    p: WithGrad<Params<B::Tensor>>,
    a: &mut Acts<B::Tensor>,
    da: &mut Acts<B::Tensor>,
    tokens: &B::Indices,
) {
    let (WithGrad { value: p, grad: dp }, c) = (p, pass.config);
    let (last, n, first) = (c.layers - 1, da.stream.len(), pass.segments == 1);
    let norm = Norm { x: &a.stream[last], gain: &p.norm, eps: c.norm_eps };
    pass.backend.norm_grad(norm, &da.hidden, None, NormGrad { x: &mut da.stream[last % n], gain: &mut dp.norm });

    if let Some(d) = &mut da.controller {
        pass.backend.fill(0.0, &mut d.control);
    }
    for layer in (0..=last).rev() {
        pass.block = BlockId { segment: pass.segments - 1, layer };
        if a.overwritten(layer) {
            let (x, y, block, control) = a.around(layer, first);
            let Ok(()) = block::forward(&mut pass, &p.blocks[layer], None, block, x, control, y);
        }
        let entry = match &a.controller {
            Some(controller) if !first => controller.entry.as_ref().unwrap_or(&a.start),
            _ => &a.start,
        };
        let x = if layer == 0 { entry } else { &a.stream[layer - 1] };
        let (dx, dy) = if layer == 0 {
            (&mut da.start, &da.stream[0])
        } else {
            let [dx, dy] = da.stream.get_disjoint_mut([(layer - 1) % n, layer % n]).expect("two streams");
            (dx, &*dy)
        };
        let control = match (&a.controller, &mut da.controller) {
            (Some(at), Some(d)) if !first => Some(WithGrad { value: &at.control, grad: &mut d.control }),
            _ => None,
        };
        let weights = WithGrad { value: &p.blocks[layer], grad: &mut dp.blocks[layer] };
        let acts = WithGrad { value: &a.blocks[a.of[layer]], grad: &mut da.blocks[da.of[layer]] };
        block::backward(&mut pass, weights, acts, x, control, dy, dx);
    }
    if let (Some(p), Some(dp), Some(at), Some(d), false) = (&p.controller, &mut dp.controller, &a.controller, &mut da.controller, first) {
        controller::backward(&mut pass, WithGrad { value: p, grad: dp }, WithGrad { value: at, grad: d }, &da.start);
    }
    let weights = WithGrad { value: &p.embedding, grad: &mut dp.embedding };
    let acts = WithGrad { value: &a.embedding, grad: &mut da.embedding };
    // The gradient of the hidden states has done its work, and lends its memory to the mask.
    embedding::backward(&mut pass, weights, acts, tokens, &da.start, &mut da.hidden);
}

/// Mean gate of each path in each layer, over all positions of the chunk in `a`; none of a block that shares its activations.
/// Waits for the device.
///
/// # Errors
/// The device's.
pub fn mean_gates<B: Device>(b: &mut B, c: &Config, a: &Acts<B::Tensor>) -> Result<Vec<[Option<f32>; 3]>, B::Error> {
    let mut host = Vec::new();
    (0..c.layers)
        .map(|layer| {
            let mut mean = [None; 3];
            let alone = a.of.iter().filter(|&&of| of == a.of[layer]).count() == 1;
            if let (Some(gate), true) = (&a.blocks[a.of[layer]].mixer.gate, alone) {
                let (rows, n) = (gate.gates.shape().rows(), gate.gates.shape().width());
                host.resize(rows * n, 0.0);
                b.download(&gate.gates, &mut host)?;
                let on = mean.iter_mut().zip(c.on(layer)).filter_map(|(m, on)| on.then_some(m));
                for (i, m) in on.enumerate() {
                    *m = Some(host.iter().skip(i).step_by(n).sum::<f32>() / rows as f32);
                }
            }
            Ok(mean)
        })
        .collect()
}
