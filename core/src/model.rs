//! The language model: embed, passes over the blocks with the controller between them, norm, logits.

mod acts;

use crate::{
    backend::{Backward, Device, Forward},
    config::{Config, Positions as PositionKind},
    hooks::{BlockId, Hooks},
    layers::{DropoutKey, Leaf, WithGrad, block, controller, flow},
    ops::*,
    shape::{Shape, Shaped},
};
use alloc::{string::String, vec::Vec};

pub use crate::weights::{Model, params, zeros};
pub use acts::Acts;

/// Weights of a model; or their gradients, moments, average.
pub struct Params<T> {
    /// `[V, E]`, shared by input and output
    pub embed: T,
    /// `[D, E]` and `[E, D]`, if E and D differ
    pub factors: Option<[T; 2]>,
    /// `[max_len, D]`, if positions are learned
    pub positions: Option<T>,
    /// The blocks.
    pub blocks: Vec<block::Params<T>>,
    /// `[D]`
    pub norm: T,
    /// Between segments.
    pub controller: Option<controller::Params<T>>,
    /// Training only.
    pub flow: Option<flow::Params<T>>,
    /// `[pooled_dim, D]`: from pooled hidden states to a text's vector, if the model has one.
    pub pooled: Option<T>,
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

impl<T> Params<T> {
    /// Leaves in file order; see `shapes()` of the reference.
    pub fn new<E>(c: &Config, leaf: Leaf<'_, T, E>) -> Result<Self, E> {
        let (d, e) = (c.width, c.embed_dim);
        Ok(Self {
            embed: leaf("embed.weight", Shape::matrix(c.vocab_size, e))?,
            factors: if c.factorised() {
                Some([leaf("embed.up.weight", Shape::matrix(d, e))?, leaf("embed.down.weight", Shape::matrix(e, d))?])
            } else {
                None
            },
            positions: if c.positions == PositionKind::Learned {
                Some(leaf("positions.weight", Shape::matrix(c.max_len, d))?)
            } else {
                None
            },
            blocks: (0..c.layers).map(|l| block::Params::new(c, l, leaf)).collect::<Result<_, E>>()?,
            norm: leaf("norm_out.weight", Shape::vector(d))?,
            controller: if c.controller_width > 0 { Some(controller::Params::new(c, leaf)?) } else { None },
            flow: if c.flow_hidden > 0 { Some(flow::Params::new(c, leaf)?) } else { None },
            pooled: if c.pooled_dim > 0 { Some(leaf("pooled.weight", Shape::matrix(c.pooled_dim, d))?) } else { None },
        })
    }

    /// All leaves in file order.
    pub fn leaves(&self) -> impl Iterator<Item = &T> {
        let head = [&self.embed].into_iter().chain(self.factors.iter().flatten()).chain(&self.positions);
        let tail = self.controller.iter().flat_map(|p| p.leaves()).chain(self.flow.iter().flat_map(|p| p.leaves())).chain(&self.pooled);
        head.chain(self.blocks.iter().flat_map(|p| p.leaves())).chain([&self.norm]).chain(tail)
    }

    /// All leaves in file order.
    pub fn leaves_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let head = [&mut self.embed].into_iter().chain(self.factors.iter_mut().flatten()).chain(&mut self.positions);
        let tail = self
            .controller
            .iter_mut()
            .flat_map(|p| p.leaves_mut())
            .chain(self.flow.iter_mut().flat_map(|p| p.leaves_mut()))
            .chain(&mut self.pooled);
        head.chain(self.blocks.iter_mut().flat_map(|p| p.leaves_mut())).chain([&mut self.norm]).chain(tail)
    }
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
                    blocks: (0..c.layers).map(|l| block::State::new(b, c, l, batch, context)).collect::<Result<_, _>>()?,
                    controller: if c.controller_width > 0 && s + 1 < segments { Some(controller::state(b, c, batch)?) } else { None },
                })
            })
            .collect::<Result<_, B::Error>>()?;
        Ok(Self { clock: b.alloc_indices(Shape::vector(1))?, segments })
    }

    /// All tensors, in the order of a saved state.
    pub fn leaves(&self) -> impl Iterator<Item = &T> {
        self.segments.iter().flat_map(|s| s.blocks.iter().flat_map(|b| b.leaves()).chain(&s.controller))
    }

    /// All tensors, in the order of a saved state.
    pub fn leaves_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.segments.iter_mut().flat_map(|s| s.blocks.iter_mut().flat_map(|b| b.leaves_mut()).chain(&mut s.controller))
    }
}

/// From token ids `[B, T]` to normalised hidden states in `a.hidden`, in `segments` passes. Trains on a whole
/// sequence, prefills a prompt, or steps one token: only `T` differs. With a state, the chunk continues what the state
/// remembers and leaves it behind in it.
#[expect(clippy::too_many_arguments, reason = "weights, state and activations of the model")]
pub fn forward<B: Forward>(
    b: &mut B,
    c: &Config,
    p: &Params<B::Tensor>,
    s: Option<&mut State<B::Tensor, B::Indices>>,
    a: &mut Acts<B::Tensor>,
    tokens: &B::Indices,
    segments: usize,
    noise: Option<DropoutKey<B::Indices>>,
) {
    let Ok(()) = forward_with(b, c, p, s, a, tokens, segments, noise, &mut ());
}

/// [`forward`] with somebody in the middle of it.
///
/// # Errors
/// Those of the hooks. What lies in the activations and the state is then of no use.
#[expect(clippy::too_many_arguments, reason = "weights, state and activations of the model")]
pub fn forward_with<B: Forward, H: Hooks<B>>(
    b: &mut B,
    c: &Config,
    p: &Params<B::Tensor>,
    mut s: Option<&mut State<B::Tensor, B::Indices>>,
    a: &mut Acts<B::Tensor>,
    tokens: &B::Indices,
    segments: usize,
    noise: Option<DropoutKey<B::Indices>>,
    hooks: &mut H,
) -> Result<(), H::Error> {
    embed(b, p, s.as_deref().map(|s| &s.clock), a, tokens, noise);
    for segment in 0..segments {
        let noise = noise.map(|n| DropoutKey { site: site(c, segment), ..n });
        let (clock, mut past) = s.as_deref_mut().map(|s| (&s.clock, &mut s.segments[segment])).unzip();
        for (layer, p) in p.blocks.iter().enumerate() {
            let (x, y, block, control) = a.around(layer, segment == 0);
            let state = past.as_mut().map(|past| &mut past.blocks[layer]).zip(clock);
            let at = BlockId { segment, layer };
            block::forward(b, c, at, p, state, block, x, control, y, noise, hooks)?;
            hooks.block(b, at, block)?;
        }
        let norm = Norm { x: &a.stream[(c.layers - 1) % a.stream.len()], gain: &p.norm, eps: c.norm_eps };
        if segment + 1 == segments {
            b.norm(norm, &mut a.hidden);
        } else if let (Some(p), Some(control)) = (&p.controller, &mut a.controller) {
            b.norm(norm, &mut control.seen);
            controller::forward(b, p, past.and_then(|past| past.controller.as_mut()), control, &a.start, segment, hooks)?;
        }
    }
    if let Some(s) = s {
        b.advance(tokens_per_sequence(&a.start), &mut s.clock);
    }
    Ok(())
}

fn tokens_per_sequence<T: Shaped>(start: &T) -> u32 {
    start.shape().extents()[1] as u32
}

/// First dropout site of a segment: 0 is the embedding's, and each block takes two.
fn site(c: &Config, segment: usize) -> u32 {
    (1 + 2 * c.layers * segment) as u32
}

fn embed<B: Forward>(
    b: &mut B,
    p: &Params<B::Tensor>,
    clock: Option<&B::Indices>,
    a: &mut Acts<B::Tensor>,
    tokens: &B::Indices,
    noise: Option<DropoutKey<B::Indices>>,
) {
    let op = Embed { tokens, table: &p.embed };
    match (&p.factors, &mut a.embedded) {
        (Some([up, _]), Some(embedded)) => {
            b.embed(op, embedded);
            b.matmul(Matmul::new(embedded, up), &mut a.start);
        }
        _ => b.embed(op, &mut a.start),
    }
    if let Some(table) = &p.positions {
        b.positions(Positions { table, clock }, &mut a.start);
    }
    if let Some(noise) = noise {
        b.dropout(DropoutKey { site: 0, ..noise }.dropout(0, None), &mut a.start);
    }
}

/// Hidden states as the output table wants them: through `embed.down` into `room` if E and D differ.
pub fn project<'a, B: Forward>(b: &mut B, p: &Params<B::Tensor>, hidden: &'a B::Tensor, room: Option<&'a mut B::Tensor>) -> &'a B::Tensor {
    match (&p.factors, room) {
        (Some([_, down]), Some(room)) => {
            b.matmul(Matmul::new(hidden, down), room);
            room
        }
        _ => hidden,
    }
}

/// [`forward`] read upwards, for a chunk that began with an empty state: from the gradient in `da.hidden` to the
/// gradients of all weights. Only the last segment carries gradient. Activations of blocks that share them are computed anew.
#[expect(clippy::too_many_arguments, reason = "weights, activations and their gradients of the model")]
pub fn backward<B: Backward>(
    b: &mut B,
    c: &Config,
    p: WithGrad<Params<B::Tensor>>,
    a: &mut Acts<B::Tensor>,
    da: &mut Acts<B::Tensor>,
    tokens: &B::Indices,
    segments: usize,
    noise: Option<DropoutKey<B::Indices>>,
) {
    let (WithGrad { value: p, grad: dp }, last, n) = (p, c.layers - 1, da.stream.len());
    let in_last = noise.map(|noise| DropoutKey { site: site(c, segments - 1), ..noise });
    let norm = Norm { x: &a.stream[last], gain: &p.norm, eps: c.norm_eps };
    b.norm_grad(norm, &da.hidden, None, NormGrad { x: &mut da.stream[last % n], gain: &mut dp.norm });

    let first = segments == 1;
    if let Some(d) = &mut da.controller {
        b.fill(0.0, &mut d.control);
    }
    for layer in (0..=last).rev() {
        if a.overwritten(layer) {
            let (x, y, block, control) = a.around(layer, first);
            let at = BlockId { segment: segments - 1, layer };
            let Ok(()) = block::forward(b, c, at, &p.blocks[layer], None, block, x, control, y, in_last, &mut ());
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
        block::backward(b, c, layer, weights, acts, x, control, dy, dx, in_last);
    }
    if let (Some(p), Some(dp), Some(at), Some(d), false) = (&p.controller, &mut dp.controller, &a.controller, &mut da.controller, first) {
        controller::backward(b, WithGrad { value: p, grad: dp }, WithGrad { value: at, grad: d }, &da.start);
    }
    embed_backward(b, WithGrad { value: p, grad: dp }, a, da, tokens, noise);
}

/// From the gradient in `da.start`; `da.hidden` has done its work and serves as room for the mask.
fn embed_backward<B: Backward>(
    b: &mut B,
    p: WithGrad<Params<B::Tensor>>,
    a: &Acts<B::Tensor>,
    da: &mut Acts<B::Tensor>,
    tokens: &B::Indices,
    noise: Option<DropoutKey<B::Indices>>,
) {
    let d_start = match noise {
        None => &da.start,
        Some(noise) => {
            b.dropout_grad(DropoutKey { site: 0, ..noise }.dropout(0, None), &da.start, &mut da.hidden);
            &da.hidden
        }
    };
    if let (Some(table), Some(d_table)) = (&p.value.positions, &mut p.grad.positions) {
        b.positions_grad(Positions { table, clock: None }, d_start, d_table);
    }
    let op = Embed { tokens, table: &p.value.embed };
    match (&p.value.factors, &mut p.grad.factors, &a.embedded, &mut da.embedded) {
        (Some([up, _]), Some([d_up, _]), Some(embedded), Some(d_embedded)) => {
            let d = MatmulGrad { x: GradOut::Write(&mut *d_embedded), w: d_up, bias: None };
            b.matmul_grad(Matmul::new(embedded, up), d_start, d);
            b.embed_grad(op, d_embedded, &mut p.grad.embed);
        }
        _ => b.embed_grad(op, d_start, &mut p.grad.embed),
    }
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
