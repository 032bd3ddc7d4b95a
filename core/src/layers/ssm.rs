//! ModernSSM: causal convolution, then a selective diagonal recurrence.

use super::{ChunkShape, WithGrad, tree::tree};
use crate::{
    backend::{Backward, Device, Forward, Precision},
    config::Config,
    ops::*,
    pass::Pass,
    shape::Shape,
};
use alloc::format;

tree! {
    /// Weights of the path. `name` is the block's prefix.
    pub struct Params(c: &Config, layer: usize, name: &str; leaf; w = c.ssm_width[layer]) {
        /// `[w, k]`
        conv_weight: T as leaf = leaf(&format!("{name}ssm.conv.weight"), Shape::matrix(w, c.ssm_conv))?,
        /// `[w]`
        conv_bias: T as leaf = leaf(&format!("{name}ssm.conv.bias"), Shape::vector(w))?,
        /// `[2, w]`: of g_in, of g_forget
        gate_bias: T as leaf = leaf(&format!("{name}ssm.gate_bias"), Shape::matrix(2, w))?,
        /// `[w]`: Λ
        log_decay: T as leaf = leaf(&format!("{name}ssm.log_decay"), Shape::vector(w))?,
        /// `[w]`
        skip: T as leaf = leaf(&format!("{name}ssm.skip"), Shape::vector(w))?,
    }
}

/// Activations of the path.
pub struct Acts<T> {
    /// `[B, T, w]`: what the convolution left
    pub conv: T,
    /// `[B, T, w]`: every state of the recurrence
    pub states: Option<T>,
}

/// What the path remembers.
pub struct State<T> {
    /// `[B, k−1, w]`: the last inputs of the convolution
    pub conv: T,
    /// `[B, w]`: the recurrence
    pub h: T,
}

impl<T> Params<T> {
    fn conv<'a>(&'a self, z: Columns<'a, T>) -> Conv<'a, T>
    where
        T: crate::shape::Shaped,
    {
        Conv { x: z.part(0, z.width / 4), weight: &self.conv_weight, bias: &self.conv_bias }
    }
    fn scan<'a>(&'a self, x: &'a T, z: Columns<'a, T>) -> Scan<'a, T>
    where
        T: crate::shape::Shaped,
    {
        let w = z.width / 4;
        Scan { x, gates: z.part(w, 3 * w), gate_bias: &self.gate_bias, log_decay: &self.log_decay, skip: &self.skip }
    }
}

impl<T> Acts<T> {
    /// Allocates the activations of a chunk.
    pub fn new<B: Device<Tensor = T>>(b: &mut B, c: &Config, layer: usize, x: ChunkShape) -> Result<Self, B::Error> {
        let w = c.ssm_width[layer];
        Ok(Self { conv: x.alloc(b, w)?, states: x.saved(b, w)? })
    }
}

impl<T> State<T> {
    tree!(leaves(conv as leaf, h as leaf,));

    /// An empty past.
    pub fn new<B: Device<Tensor = T>>(b: &mut B, c: &Config, layer: usize, batch: usize) -> Result<Self, B::Error> {
        let w = c.ssm_width[layer];
        Ok(Self {
            conv: b.alloc(Shape::cube(batch, c.ssm_conv - 1, w), Precision::Full)?,
            h: b.alloc(Shape::matrix(batch, w), Precision::Full)?,
        })
    }
}

/// `z` holds the packed columns `x | gate | g_in | g_forget`, `y` takes `w` columns.
pub fn forward<B: Forward, H>(
    pass: &mut Pass<'_, B, H>,
    p: &Params<B::Tensor>,
    s: Option<&mut State<B::Tensor>>,
    a: &mut Acts<B::Tensor>,
    z: Columns<B::Tensor>,
    y: ColumnsMut<B::Tensor>,
) {
    let (conv, h) = s.map(|s| (&mut s.conv, &mut s.h)).unzip();
    let b = &mut *pass.backend;
    b.conv(p.conv(z), conv, &mut a.conv);
    b.scan(p.scan(&a.conv, z), h, a.states.as_mut(), y);
}

/// [`forward`] read upwards; `dz` takes the gradient of all packed columns.
pub fn backward<B: Backward, H>(
    pass: &mut Pass<'_, B, H>,
    p: WithGrad<Params<B::Tensor>>,
    a: WithGrad<Acts<B::Tensor>>,
    z: Columns<B::Tensor>,
    dy: Columns<B::Tensor>,
    dz: ColumnsMut<B::Tensor>,
) {
    let (b, w) = (&mut *pass.backend, z.width / 4);
    let states = a.value.states.as_ref().expect("activations of a training step");
    let d = ScanGrad {
        x: &mut a.grad.conv,
        gates: ColumnsMut { of: &mut *dz.of, start: dz.start + w, width: 3 * w },
        gate_bias: &mut p.grad.gate_bias,
        log_decay: &mut p.grad.log_decay,
        skip: &mut p.grad.skip,
    };
    b.scan_grad(p.value.scan(&a.value.conv, z), states, dy, d);
    let d =
        ConvGrad { x: ColumnsMut { of: dz.of, start: dz.start, width: w }, weight: &mut p.grad.conv_weight, bias: &mut p.grad.conv_bias };
    b.conv_grad(p.value.conv(z), &a.grad.conv, d);
}
