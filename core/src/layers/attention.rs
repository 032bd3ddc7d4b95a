//! Causal multi-head attention with rotary positions. It has no weights of its own: q, k, v come packed.

use super::{ChunkShape, tree::tree};
use crate::{
    backend::{Backward, Device, Forward, Precision},
    config::{Config, Positions},
    ops::*,
    pass::Pass,
    shape::Shape,
};

/// Activations of the path.
pub struct Acts<T> {
    /// `[B, T, H]`: logarithm of each softmax's denominator
    pub log_sum: Option<T>,
}

/// What the path remembers.
pub struct State<T> {
    /// `[B, N, 2w]`: keys and values of the newest N positions
    pub ring: T,
}

impl<T> Acts<T> {
    /// Allocates the activations of a chunk.
    pub fn new<B: Device<Tensor = T>>(b: &mut B, c: &Config, layer: usize, x: ChunkShape) -> Result<Self, B::Error> {
        Ok(Self { log_sum: x.saved(b, c.attention_width[layer] / c.head_dim)? })
    }
}

impl<T> State<T> {
    tree!(leaves(ring as leaf,));

    /// An empty past of at most `context` positions.
    pub fn new<B: Device<Tensor = T>>(b: &mut B, c: &Config, layer: usize, batch: usize, context: usize) -> Result<Self, B::Error> {
        let rows = ring_rows(c.attention_window, context);
        Ok(Self { ring: b.alloc(Shape::cube(batch, rows, 2 * c.attention_width[layer]), Precision::Full)? })
    }
}

/// Rows of a memory: the window if there is one, but never more than the session's context.
pub(crate) fn ring_rows(window: usize, context: usize) -> usize {
    if window == 0 { context } else { window.min(context) }
}

fn rotate<B: Forward, H>(pass: &mut Pass<'_, B, H>, inverse: bool, qkv: ColumnsMut<B::Tensor>) {
    let (c, clock) = (pass.config, pass.clock);
    if c.positions == Positions::Rope {
        let op = Rotate { clock, head_dim: c.head_dim, base: 10_000.0, inverse };
        pass.backend.rotate(op, ColumnsMut { width: qkv.width / 3 * 2, ..qkv });
    }
}

fn attend<'a, T>(c: &Config, qkv: Columns<'a, T>) -> Attend<'a, T> {
    Attend { qkv, head_dim: c.head_dim, window: c.attention_window }
}

/// `qkv` holds the packed columns `q | k | v` and is rotated in place; `y` takes `w` columns.
pub fn forward<B: Forward, H>(
    pass: &mut Pass<'_, B, H>,
    s: Option<&mut State<B::Tensor>>,
    a: &mut Acts<B::Tensor>,
    qkv: ColumnsMut<B::Tensor>,
    y: ColumnsMut<B::Tensor>,
) {
    let (start, width) = (qkv.start, qkv.width);
    rotate(pass, false, ColumnsMut { of: &mut *qkv.of, start, width });
    let ring = s.zip(pass.clock).map(|(s, clock)| Ring { items: &mut s.ring, clock });
    pass.backend.attend(attend(pass.config, Columns { of: qkv.of, start, width }), ring, a.log_sum.as_mut(), y);
}

/// [`forward`] read upwards; `qkv` is as forward left it, `y` what it wrote.
pub fn backward<B: Backward, H>(
    pass: &mut Pass<'_, B, H>,
    a: &Acts<B::Tensor>,
    qkv: Columns<B::Tensor>,
    y: Columns<B::Tensor>,
    dy: Columns<B::Tensor>,
    d: ColumnsMut<B::Tensor>,
) {
    let log_sum = a.log_sum.as_ref().expect("activations of a training step");
    let (start, width) = (d.start, d.width);
    pass.backend.attend_grad(attend(pass.config, qkv), y, log_sum, dy, ColumnsMut { of: &mut *d.of, start, width });
    rotate(pass, true, d);
}
