//! Extents of kernels with heads, and the items that attention and the memories look up.

use super::math::unit;
use hh_core::shape::Shape;

/// Extents of a kernel with heads.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// Sequences.
    pub batch: usize,
    /// Positions.
    pub time: usize,
    /// `H`
    pub heads: usize,
    /// `d`
    pub head_dim: usize,
}

impl Heads {
    /// Two heads of four columns.
    pub fn small([batch, time]: [usize; 2]) -> Self {
        Self { batch, time, heads: 2, head_dim: 4 }
    }

    /// Further extents for the processor: several tiles of queries, tasks and items, heads that fill no vector.
    pub fn large() -> impl Iterator<Item = Self> + Clone {
        let extents = [
            [1, 1, 1, 2],
            [2, 2, 2, 8],
            [2, 20, 2, 16],
            [1, 9, 1, 64],
            [1, 63, 1, 32],
            [2, 65, 2, 8],
            [1, 130, 1, 2],
            [1, 130, 2, 20],
            [1, 300, 1, 2],
        ];
        extents.into_iter().map(|[batch, time, heads, head_dim]| Self { batch, time, heads, head_dim })
    }

    /// Those of `char-4.5m` in training.
    pub fn bench() -> Self {
        Self { batch: 8, time: 256, heads: 2, head_dim: 32 }
    }

    /// `w`
    pub fn width(self) -> usize {
        self.heads * self.head_dim
    }

    /// `[B, T, parts · w]`
    pub fn packed(self, parts: usize) -> Shape {
        Shape::cube(self.batch, self.time, parts * self.width())
    }

    /// A ring of pairs.
    pub fn ring(self, rows: usize) -> Shape {
        Shape::cube(self.batch, rows, 2 * self.width())
    }

    /// Each head of each position: sequence, position in its sequence, first column.
    pub fn queries(self) -> impl Iterator<Item = (usize, usize, usize)> {
        let rows = (0..self.batch).flat_map(move |b| (0..self.time).map(move |t| (b, t)));
        rows.flat_map(move |(b, t)| (0..self.heads).map(move |h| (b, t, h * self.head_dim)))
    }

    /// A part (0, 1, 2) of a head of the packed input.
    pub fn part(self, packed: &[f64], b: usize, t: usize, column: usize, part: usize) -> &[f64] {
        &packed[(b * self.time + t) * 3 * self.width() + part * self.width() + column..][..self.head_dim]
    }
}

/// Items of sequences, by their position since the beginning: those of the chunk, and before them those of a ring.
pub(super) struct Items<'a> {
    of: Heads,
    clock: usize,
    /// The ring's rows, and their number.
    ring: Option<(&'a [f64], usize)>,
    /// Keys or patterns of the chunk, `[B, T, w]`.
    keys: Vec<f64>,
    packed: &'a [f64],
}

impl<'a> Items<'a> {
    /// Items with these keys and the values in the packed input.
    pub(super) fn new(of: Heads, packed: &'a [f64], keys: Vec<f64>, clock: usize, ring: Option<(&'a [f64], usize)>) -> Self {
        Self { of, clock, ring, keys, packed }
    }

    /// Numbers of the items that the query at position `t` of the chunk sees, oldest first.
    pub(super) fn seen(&self, t: usize, window: usize, oldest: usize) -> std::ops::Range<usize> {
        let (now, most) = (self.clock + t, self.ring.map_or(usize::MAX, |(_, rows)| rows));
        let window = if window == 0 { most } else { window.min(most) };
        (now + 1).saturating_sub(window).max(oldest)..now + 1
    }

    /// Key and value of an item.
    pub(super) fn get(&self, b: usize, number: usize, column: usize) -> [&[f64]; 2] {
        let (w, d) = (self.of.width(), self.of.head_dim);
        match number.checked_sub(self.clock) {
            Some(t) => [&self.keys[(b * self.of.time + t) * w + column..][..d], self.of.part(self.packed, b, t, column, 2)],
            None => {
                let (ring, rows) = self.ring.expect("items before the chunk lie in the ring");
                let row = &ring[(b * rows + number % rows) * 2 * w..][..2 * w];
                [&row[column..][..d], &row[w + column..][..d]]
            }
        }
    }

    /// The ring after the chunk.
    pub(super) fn remembered(&self) -> Vec<f64> {
        let (ring, rows) = self.ring.expect("a ring");
        let (w, time, mut ring) = (self.of.width(), self.of.time, ring.to_vec());
        for (b, t) in (0..self.of.batch).flat_map(|b| (0..time).map(move |t| (b, t))) {
            let row = &mut ring[(b * rows + (self.clock + t) % rows) * 2 * w..][..2 * w];
            row[..w].copy_from_slice(&self.keys[(b * time + t) * w..][..w]);
            row[w..].copy_from_slice(&self.packed[(b * time + t) * 3 * w + 2 * w..][..w]);
        }
        ring
    }
}

/// Unit patterns of the items of a chunk, `[B, T, w]`: those of the positions themselves, or of the ones before them; and the
/// unit pattern of the last position, `[B, w]`. `last` is the one before the chunk, zero if absent.
pub(super) fn patterns(of: Heads, qpv: &[f64], successor: bool, last: Option<&[f64]>) -> [Vec<f64>; 2] {
    let w = of.width();
    let zero = vec![0.0; of.batch * w];
    let last = last.unwrap_or(&zero);
    let unit_row = |b: usize, t: usize| -> Vec<f64> { (0..of.heads).flat_map(|h| unit(of.part(qpv, b, t, h * of.head_dim, 1))).collect() };
    let item = |b: usize, t: usize| match t.checked_sub(usize::from(successor)) {
        Some(t) => unit_row(b, t),
        None => last[b * w..][..w].to_vec(),
    };
    let all = (0..of.batch).flat_map(|b| (0..of.time).map(move |t| (b, t)));
    [all.flat_map(|(b, t)| item(b, t)).collect(), (0..of.batch).flat_map(|b| unit_row(b, of.time - 1)).collect()]
}
