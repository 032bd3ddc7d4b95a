//! Which tensors Muon updates, and which matrices are packed into them.

use crate::{config::Config, ops::Rectangle, shape::Shape};
use alloc::{vec, vec::Vec};

/// The matrices that are packed into a tensor, each of which Muon orthogonalises on its own; `None` for a tensor that AdamW updates:
/// embeddings, vectors, convolutions, gates, and all that is not in a block.
pub(super) fn parts(c: &Config, name: &str, shape: Shape) -> Option<Vec<Rectangle>> {
    let (layer, matrix) = name.strip_prefix("blocks.")?.split_once('.')?;
    let layer: usize = layer.parse().ok()?;
    let [rows, columns] = [shape.rows(), shape.width()];
    match matrix {
        "in_proj.weight" => Some(stacked(&in_proj(c, layer), columns)),
        "ffn.in.weight" => Some(stacked(&[c.ffn, c.ffn], columns)),
        "out_proj.weight" | "ffn.out.weight" => Some(vec![Rectangle { row: 0, rows, column: 0, columns }]),
        _ => None,
    }
}

/// Rows of the projections that `in_proj` packs.
fn in_proj(c: &Config, layer: usize) -> Vec<usize> {
    let [ssm, hopfield, attention] = c.widths(layer);
    let of = [(ssm, 4), (hopfield, 3), (attention, 3)];
    of.iter().filter(|(width, _)| *width > 0).flat_map(|&(width, n)| vec![width; n]).collect()
}

/// Matrices of these rows, one below the other.
fn stacked(rows: &[usize], columns: usize) -> Vec<Rectangle> {
    let mut row = 0;
    let each = rows.iter().map(|&rows| {
        row += rows;
        Rectangle { row: row - rows, rows, column: 0, columns }
    });
    each.collect()
}
