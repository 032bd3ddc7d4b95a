//! Token embedding: rows of a table, through `embed.up` if it is narrower than the model, and learned positions if there are
//! any. The [LM head](super::lm_head) reads the same weights.

use super::{ChunkShape, WithGrad, tree::tree};
use crate::{
    backend::{Backward, Device, Forward},
    config::{Config, Positions as PositionKind},
    layers::tree::when,
    ops::*,
    pass::Pass,
    shape::Shape,
};

/// Name of the table in a checkpoint.
pub const TABLE: &str = "embed.weight";

/// Dropout site of the embedding; those of the blocks come after it.
const SITE: u32 = 0;

tree! {
    /// Weights of the token embedding and of the LM head.
    pub struct Params(c: &Config; leaf) {
        /// `[V, E]`: a row for each token, of the input and of the logits
        table: T as leaf = leaf(TABLE, Shape::matrix(c.vocab_size, c.embed_dim))?,
        /// `[D, E]` up and `[E, D]` down, if E and D differ
        factors: Option<[T; 2]> as pair = when(c.factorised(), || {
            Ok([
                leaf("embed.up.weight", Shape::matrix(c.width, c.embed_dim))?,
                leaf("embed.down.weight", Shape::matrix(c.embed_dim, c.width))?,
            ])
        })?,
        /// `[max_len, D]`, if positions are learned
        positions: Option<T> as option = when(c.positions == PositionKind::Learned, || {
            leaf("positions.weight", Shape::matrix(c.max_len, c.width))
        })?,
    }
}

/// Activations of the token embedding.
pub struct Acts<T> {
    /// `[B, T, E]`: rows of the table, if E and D differ
    pub rows: Option<T>,
}

impl<T> Acts<T> {
    /// Allocates the activations of a chunk.
    ///
    /// # Errors
    /// Those of the device, where it is out of memory.
    pub fn new<B: Device<Tensor = T>>(b: &mut B, c: &Config, x: ChunkShape) -> Result<Self, B::Error> {
        Ok(Self { rows: when(c.factorised(), || x.alloc(b, c.embed_dim))? })
    }
}

/// From token ids `[B, T]` to `y`, `[B, T, D]`.
pub fn forward<B: Forward, H>(
    pass: &mut Pass<'_, B, H>,
    p: &Params<B::Tensor>,
    a: &mut Acts<B::Tensor>,
    tokens: &B::Indices,
    y: &mut B::Tensor,
) {
    let b = &mut *pass.backend;
    let op = Embed { tokens, table: &p.table };
    match (&p.factors, &mut a.rows) {
        (Some([up, _]), Some(rows)) => {
            b.embed(op, rows);
            b.matmul(Matmul::new(rows, up), y);
        }
        _ => b.embed(op, y),
    }
    if let Some(table) = &p.positions {
        b.positions(Positions { table, clock: pass.clock }, y);
    }
    if let Some(noise) = pass.dropout {
        b.dropout(noise.dropout(SITE, None), y);
    }
}

/// [`forward`] read upwards, from `dy` to the gradients of the weights. `room` is `[B, T, D]` and takes `dy` through the mask of
/// the dropout.
pub fn backward<B: Backward, H>(
    pass: &mut Pass<'_, B, H>,
    p: WithGrad<Params<B::Tensor>>,
    a: WithGrad<Acts<B::Tensor>>,
    tokens: &B::Indices,
    dy: &B::Tensor,
    room: &mut B::Tensor,
) {
    let b = &mut *pass.backend;
    let dy = match pass.dropout {
        None => dy,
        Some(noise) => {
            b.dropout_grad(noise.dropout(SITE, None), dy, room);
            &*room
        }
    };
    if let (Some(table), Some(d_table)) = (&p.value.positions, &mut p.grad.positions) {
        b.positions_grad(Positions { table, clock: None }, dy, d_table);
    }
    let op = Embed { tokens, table: &p.value.table };
    match (&p.value.factors, &mut p.grad.factors, &a.value.rows, &mut a.grad.rows) {
        (Some([up, _]), Some([d_up, _]), Some(rows), Some(d_rows)) => {
            let d = MatmulGrad { x: GradOut::Write(&mut *d_rows), w: d_up, bias: None };
            b.matmul_grad(Matmul::new(rows, up), dy, d);
            b.embed_grad(op, d_rows, &mut p.grad.table);
        }
        _ => b.embed_grad(op, dy, &mut p.grad.table),
    }
}
