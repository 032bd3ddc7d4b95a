//! GatedMixer: a small network's softmax gates over the paths' normalised outputs.

use super::{
    ChunkShape, WithGrad,
    tree::{tree, when},
};
use crate::{
    backend::{Backward, Device, Forward},
    config::{Config, MixerKind},
    ops::*,
    pass::Pass,
    shape::Shape,
};
use alloc::format;

tree! {
    /// Weights of the mixer. `name` is the block's prefix.
    pub struct Params(c: &Config, layer: usize, name: &str; leaf) {
        /// `[w]`: gain of each path's norm, packed
        gain: T as leaf = leaf(&format!("{name}mixer.norm.weight"), Shape::vector(c.mixed(layer)))?,
        /// The gates' network; absent with one path, or with another kind of mixer.
        gate: Option<GateParams<T>> as trees = when(c.gates(layer) > 0, || GateParams::new(c, layer, name, leaf))?,
    }
}

tree! {
    /// Weights of the gates' network.
    pub struct GateParams(c: &Config, layer: usize, name: &str; leaf; hidden = c.mixer_hidden; n = c.gates(layer)) {
        /// `[G, D]`
        hidden_weight: T as leaf = leaf(&format!("{name}mixer.hidden.weight"), Shape::matrix(hidden, c.width))?,
        /// `[G]`
        hidden_bias: T as leaf = leaf(&format!("{name}mixer.hidden.bias"), Shape::vector(hidden))?,
        /// `[n, G]`
        weight: T as leaf = leaf(&format!("{name}mixer.gate.weight"), Shape::matrix(n, hidden))?,
        /// `[n]`
        bias: T as leaf = leaf(&format!("{name}mixer.gate.bias"), Shape::vector(n))?,
    }
}

/// Activations of the mixer.
pub struct Acts<T> {
    /// The gates' network.
    pub gate: Option<GateActs<T>>,
    /// `[B, T, w]`: normalised, weighed, side by side
    pub mixed: T,
}

/// Activations of the gates' network.
pub struct GateActs<T> {
    /// `[B, T, G]`, before silu
    pub hidden: T,
    /// `[B, T, n]`
    pub gates: T,
}

impl<T> Params<T> {
    fn mix<'a>(&'a self, c: &Config, layer: usize, paths: &'a T, gates: Option<&'a T>) -> Mix<'a, T> {
        Mix { paths, gain: &self.gain, gates, widths: c.widths(layer), norm: c.mixer_kind != MixerKind::Sum, eps: c.norm_eps }
    }
}

impl<T> GateParams<T> {
    fn hidden<'a>(&'a self, u: &'a T) -> Matmul<'a, T> {
        Matmul { x: u, w: &self.hidden_weight, bias: Some(&self.hidden_bias), add: None }
    }
    fn gate<'a>(&'a self, c: &Config, layer: usize, hidden: &'a T, control: Option<&'a T>) -> Gate<'a, T> {
        let control = control.map(|of| Columns { of, start: 3 * layer, width: 3 });
        Gate { hidden, weight: &self.weight, bias: &self.bias, control, on: c.on(layer) }
    }
}

impl<T> Acts<T> {
    /// Allocates the activations of a chunk.
    pub fn new<B: Device<Tensor = T>>(b: &mut B, c: &Config, layer: usize, x: ChunkShape) -> Result<Self, B::Error> {
        let n = c.gates(layer);
        let gate = if n == 0 { None } else { Some(GateActs { hidden: x.alloc(b, c.mixer_hidden)?, gates: x.full(b, n)? }) };
        Ok(Self { gate, mixed: x.alloc(b, c.mixed(layer))? })
    }
}

/// `u` is the block's normalised input, `paths` the paths' outputs side by side, `control` the controller's biases
/// of all layers `[B, T, 3L]`.
pub fn forward<B: Forward, H>(
    pass: &mut Pass<'_, B, H>,
    p: &Params<B::Tensor>,
    a: &mut Acts<B::Tensor>,
    u: &B::Tensor,
    paths: &B::Tensor,
    control: Option<&B::Tensor>,
) {
    let (b, c, layer) = (&mut *pass.backend, pass.config, pass.block.layer);
    if let (Some(p), Some(a)) = (&p.gate, &mut a.gate) {
        b.matmul(p.hidden(u), &mut a.hidden);
        b.gate(p.gate(c, layer, &a.hidden, control), &mut a.gates);
    }
    b.mix(p.mix(c, layer, paths, a.gate.as_ref().map(|g| &g.gates)), &mut a.mixed);
}

/// [`forward`] read upwards: from the gradient in `a.grad.mixed`; adds to the gradient of `u`, writes that of the paths
/// and this layer's columns of the control.
pub fn backward<B: Backward, H>(
    pass: &mut Pass<'_, B, H>,
    p: WithGrad<Params<B::Tensor>>,
    a: WithGrad<Acts<B::Tensor>>,
    u: WithGrad<B::Tensor>,
    paths: WithGrad<B::Tensor>,
    control: Option<WithGrad<B::Tensor>>,
) {
    let (b, c, layer) = (&mut *pass.backend, pass.config, pass.block.layer);
    let mix = p.value.mix(c, layer, paths.value, a.value.gate.as_ref().map(|g| &g.gates));
    let d = MixGrad { paths: paths.grad, gain: &mut p.grad.gain, gates: a.grad.gate.as_mut().map(|g| &mut g.gates) };
    b.mix_grad(mix, &a.grad.mixed, d);
    if let (Some(p), Some(dp), Some(a), Some(da)) = (&p.value.gate, &mut p.grad.gate, &a.value.gate, &mut a.grad.gate) {
        let (control, d_control) = control.map(|c| (c.value, c.grad)).unzip();
        let d = GateGrad {
            hidden: &mut da.hidden,
            weight: &mut dp.weight,
            bias: &mut dp.bias,
            control: d_control.map(|of| ColumnsMut { of, start: 3 * layer, width: 3 }),
        };
        b.gate_grad(p.gate(c, layer, &a.hidden, control), &a.gates, &da.gates, d);
        let d = MatmulGrad { x: GradOut::Add(u.grad), w: &mut dp.hidden_weight, bias: Some(&mut dp.hidden_bias) };
        b.matmul_grad(p.hidden(u.value), &da.hidden, d);
    }
}
