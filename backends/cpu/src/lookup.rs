//! Softmax retrieval from a gathered memory, tile by tile, shared by attention and the modern Hopfield memory.
//!
//! The memory of one head is gathered into columns: first the learned slots, then the items, oldest first. Scores are
//! computed one tile of [`QUERIES`] × [`TILE`] at a time; the softmax is online (Milakov and Gimelshein 2018) and the
//! gradient recomputes it from the saved logarithm of its denominator (FlashAttention-2, Dao 2023).

mod in_place;

pub(crate) use in_place::{InPlace, reads_in_place};

use crate::{
    real::Real,
    reduce::dot,
    tile::{LANES, Matrix, MatrixMut, exponentials, maximum, padded, product, product_transposed},
};

/// Queries per tile.
pub(crate) const QUERIES: usize = 32;
/// Columns per tile.
pub(crate) const TILE: usize = 64;

/// The attention mask: a query sees all slots, and the items of its window.
#[derive(Clone, Copy)]
pub(crate) struct View {
    /// Number of slots; their columns precede the items'.
    pub(crate) slots: usize,
    /// Index of the oldest item: 1 where item 0 is empty.
    pub(crate) oldest: usize,
    /// Index of the item in the first column after the slots.
    pub(crate) first: usize,
    /// Number of items that a query sees.
    pub(crate) window: usize,
}

impl View {
    /// The view of the queries from `position` on.
    pub(crate) fn from(position: usize, slots: usize, oldest: usize, window: usize) -> Self {
        Self { slots, oldest, first: (position + 1).saturating_sub(window).max(oldest), window }
    }

    /// Number of columns that the queries up to `last` see.
    pub(crate) fn columns(&self, last: usize) -> usize {
        self.slots + (last + 1).saturating_sub(self.first)
    }

    /// First and end column of the items that the query at `position` sees.
    #[inline(always)]
    fn span(&self, position: usize) -> (usize, usize) {
        let from = (position + 1).saturating_sub(self.window).max(self.oldest);
        (self.slots + from - self.first, self.slots + (position + 1).max(from) - self.first)
    }

    /// Tiles that any query at `position .. position + rows` sees: first column, and the number of columns up to the last
    /// visible one, rounded up to [`LANES`].
    #[inline(always)]
    fn tiles(&self, position: usize, rows: usize) -> impl Iterator<Item = (usize, usize)> {
        let (from, to) = (self.span(position).0, self.span(position + rows - 1).1);
        let slots = self.slots;
        let end = if to > from { to } else { slots };
        (0..end)
            .step_by(TILE)
            .filter(move |&column| column < slots || column + TILE > from)
            .map(move |column| (column, padded(end - column).min(TILE)))
    }

    /// Sets the scores of columns that the query at `position` does not see to −∞.
    #[inline(always)]
    fn mask<F: Real>(&self, position: usize, column: usize, scores: &mut [F]) {
        let (from, to) = self.span(position);
        let inside = |c: usize| c.clamp(column, column + scores.len()) - column;
        let (slots, from, to) = (inside(self.slots), inside(from), inside(to));
        if slots < from {
            scores[slots..from].fill(F::NEG_INFINITY);
        }
        scores[to..].fill(F::NEG_INFINITY);
    }
}

/// The memory of one head, as the columns of a matrix.
pub(crate) trait Columns<F> {
    /// `d`
    fn head_dim(&self) -> usize;
    /// `scores = queries · patternsᵀ` for the `n` columns from `column` on. Those that do not exist may get anything finite.
    fn score<const FMA: bool>(&self, column: usize, n: usize, rows: usize, queries: &[F], scores: &mut [F]);
    /// `out += scores · items`, the first `width` columns of value and pattern, over the same columns.
    fn add<const FMA: bool>(&self, column: usize, n: usize, rows: usize, width: usize, scores: &[F], out: &mut [F]);
}

/// The gathered memory of one head.
pub(crate) struct Items<'a, F> {
    /// `d`
    pub(crate) head_dim: usize,
    /// `[columns, value | pattern]`, each padded to a multiple of [`LANES`].
    rows: &'a mut [F],
    /// For each tile `[pattern | value, TILE]`; values only for gradients.
    transposed: &'a mut [F],
    /// Transposed copies: 0 none, 1 patterns, 2 patterns and values.
    sides: usize,
}

impl<'a, F: Real> Items<'a, F> {
    /// Elements of working memory that the rows and the transposed tiles need.
    pub(crate) fn need(columns: usize, head_dim: usize, sides: usize) -> [usize; 2] {
        [padded(columns) * 2 * padded(head_dim), columns.next_multiple_of(TILE) * sides * padded(head_dim)]
    }

    /// An empty memory of `columns` in the given working memory, to be filled by [`put`](Self::put).
    pub(crate) fn new(columns: usize, head_dim: usize, sides: usize, rows: &'a mut [F], transposed: &'a mut [F]) -> Self {
        let items = Self { head_dim, rows, transposed, sides };
        // Columns up to the next multiple of LANES enter the products and are masked afterwards: they must be finite.
        let end = padded(columns);
        let pitch = items.pitch();
        items.rows[columns * pitch..end * pitch].fill(F::ZERO);
        let part = columns % TILE;
        if sides > 0 && part > 0 {
            let side = sides * padded(head_dim);
            for row in items.transposed[columns / TILE * side * TILE..][..side * TILE].chunks_exact_mut(TILE) {
                row[part..].fill(F::ZERO);
            }
        }
        items
    }

    /// Stride of the rows: value and pattern.
    #[inline(always)]
    fn pitch(&self) -> usize {
        2 * padded(self.head_dim)
    }

    /// Stores an item; the pattern is multiplied by `scale`.
    #[inline(always)]
    pub(crate) fn put(&mut self, column: usize, value: &[F], pattern: &[F], scale: F) {
        let (d, pad, pitch) = (self.head_dim, padded(self.head_dim), self.pitch());
        let (v, p) = self.rows[column * pitch..][..pitch].split_at_mut(pad);
        v[..d].copy_from_slice(value);
        v[d..].fill(F::ZERO);
        for (p, &x) in p.iter_mut().zip(pattern) {
            *p = x * scale;
        }
        p[d..].fill(F::ZERO);
        let tile = column / TILE * self.sides * pad * TILE;
        for (side, x) in [&*p, &*v].into_iter().take(self.sides).enumerate() {
            let to = &mut self.transposed[tile + side * pad * TILE + column % TILE..];
            for (to, &x) in to.iter_mut().step_by(TILE).zip(&x[..d]) {
                *to = x;
            }
        }
    }

    /// The rows of a tile from `offset` within value and pattern on.
    #[inline(always)]
    fn rows_of(&self, column: usize, offset: usize) -> Matrix<'_, F> {
        Matrix { data: &self.rows[column * self.pitch() + offset..], stride: self.pitch() }
    }

    /// Pattern (0) or value (1) of a tile, transposed.
    #[inline(always)]
    fn side(&self, column: usize, side: usize) -> Matrix<'_, F> {
        let pad = padded(self.head_dim);
        Matrix { data: &self.transposed[(column / TILE * self.sides + side) * pad * TILE..][..pad * TILE], stride: TILE }
    }
}

impl<F: Real> Columns<F> for Items<'_, F> {
    fn head_dim(&self) -> usize {
        self.head_dim
    }

    #[inline(always)]
    fn score<const FMA: bool>(&self, column: usize, n: usize, rows: usize, queries: &[F], scores: &mut [F]) {
        let (d, pad) = (self.head_dim, padded(self.head_dim));
        if self.sides > 0 {
            let (a, c) = (Matrix { data: queries, stride: pad }, MatrixMut { data: scores, stride: TILE });
            return product::<F, FMA, false>(a, self.side(column, 0), c, [rows, n, d]);
        }
        for (query, scores) in queries.chunks_exact(pad).zip(scores.chunks_exact_mut(TILE)).take(rows) {
            for (score, item) in scores[..n].iter_mut().zip(self.rows[column * 2 * pad..].chunks_exact(2 * pad)) {
                *score = dot::<F, FMA>(query, &item[pad..]);
            }
        }
    }

    #[inline(always)]
    fn add<const FMA: bool>(&self, column: usize, n: usize, rows: usize, width: usize, scores: &[F], out: &mut [F]) {
        let (a, c) = (Matrix { data: scores, stride: TILE }, MatrixMut { data: out, stride: width });
        product::<F, FMA, true>(a, self.rows_of(column, 0), c, [rows, width, n]);
    }
}

/// Consecutive queries of one head.
pub(crate) struct Queries<'a, F> {
    /// Position of the first query.
    pub(crate) position: usize,
    /// Number of queries, at most [`QUERIES`].
    pub(crate) rows: usize,
    /// `[rows, padded d]`, multiplied by the scale of the scores; zeros in the padding.
    pub(crate) scaled: &'a [F],
}

/// `out = softmax(queries · patternsᵀ) · items`, `[rows, width]`: the first `width` columns of value and pattern.
/// `log_sum`: the logarithm of each softmax's denominator. A query without visible columns gets zeros and a `log_sum` of 0.
///
/// `scores`: working memory of [`TILE`] for each query.
#[inline(always)]
pub(crate) fn look_up<F: Real, const FMA: bool>(
    view: &View,
    queries: &Queries<'_, F>,
    items: &impl Columns<F>,
    width: usize,
    scores: &mut [F],
    out: &mut [F],
    log_sum: &mut [F],
) {
    let rows = queries.rows;
    let (mut top, mut sum) = ([F::NEG_INFINITY; QUERIES], [F::ZERO; QUERIES]);
    out[..rows * width].fill(F::ZERO);
    for (column, n) in view.tiles(queries.position, rows) {
        items.score::<FMA>(column, n, rows, queries.scaled, scores);
        let mut new = top;
        for i in 0..rows {
            let scores = &mut scores[i * TILE..][..n];
            view.mask(queries.position + i, column, scores);
            new[i] = maximum(scores).max(top[i]);
        }
        // Without a visible column so far, exp(−∞ − shift) is 0 for any finite shift.
        let shift = new.map(|m| if m == F::NEG_INFINITY { F::ZERO } else { m });
        let mut shrink = [F::ZERO; QUERIES];
        for i in 0..rows {
            shrink[i] = (top[i] - shift[i]).exp();
        }
        top = new;
        for i in 0..rows {
            sum[i] = sum[i] * shrink[i] + exponentials(&mut scores[i * TILE..][..n], shift[i]);
            if shrink[i] != F::ONE {
                out[i * width..][..width].iter_mut().for_each(|y| *y *= shrink[i]);
            }
        }
        items.add::<FMA>(column, n, rows, width, scores, out);
    }
    for (i, out) in out.chunks_exact_mut(width).take(rows).enumerate() {
        let seen = sum[i] > F::ZERO;
        log_sum[i] = if seen { top[i] + sum[i].ln() } else { F::ZERO };
        if seen {
            let scale = F::ONE / sum[i];
            out.iter_mut().for_each(|y| *y *= scale);
        }
    }
}

/// Inputs of [`look_up_grad`] from the output of [`look_up`].
pub(crate) struct OutGrad<'a, F> {
    /// Gradient of the output, `[rows, width]`; zeros in the padding.
    pub(crate) d_out: &'a [F],
    /// Columns of the output: one or two times the padded `d`.
    pub(crate) width: usize,
    /// `d_out · out` of each row (`D` of FlashAttention-2).
    pub(crate) delta: &'a [F],
    /// As written by [`look_up`].
    pub(crate) log_sum: &'a [F],
}

/// The gradient of [`look_up`]. `d_queries` `[rows, padded d]`, of the scaled queries, is written. `d_items`
/// `[columns, value | pattern]` is added to. `working`: 2 · [`QUERIES`] · [`TILE`] elements.
#[inline(always)]
pub(crate) fn look_up_grad<F: Real, const FMA: bool>(
    view: &View,
    queries: &Queries<'_, F>,
    items: &Items<'_, F>,
    out_grad: &OutGrad<'_, F>,
    working: &mut [F],
    d_queries: &mut [F],
    d_items: &mut [F],
) {
    let (rows, d, pad) = (queries.rows, items.head_dim, padded(items.head_dim));
    let (scores, slopes) = working.split_at_mut(QUERIES * TILE);
    let d_out = |offset: usize| Matrix { data: &out_grad.d_out[offset..], stride: out_grad.width };
    d_queries[..rows * pad].fill(F::ZERO);
    for (column, n) in view.tiles(queries.position, rows) {
        items.score::<FMA>(column, n, rows, queries.scaled, scores);
        product::<F, FMA, false>(d_out(0), items.side(column, 1), MatrixMut { data: slopes, stride: TILE }, [rows, n, d]);
        if out_grad.width > pad {
            product::<F, FMA, true>(d_out(pad), items.side(column, 0), MatrixMut { data: slopes, stride: TILE }, [rows, n, d]);
        }
        for i in 0..rows {
            let (scores, slopes) = (&mut scores[i * TILE..][..n], &mut slopes[i * TILE..][..n]);
            view.mask(queries.position + i, column, scores);
            let (log_sum, delta) = (out_grad.log_sum[i], out_grad.delta[i]);
            for (s, slope) in scores.iter_mut().zip(slopes) {
                *s = (*s - log_sum).exp();
                *slope = *s * (*slope - delta);
            }
        }
        let (weights, slopes) = (Matrix { data: scores, stride: TILE }, Matrix { data: slopes, stride: TILE });
        product::<F, FMA, true>(slopes, items.rows_of(column, pad), MatrixMut { data: d_queries, stride: pad }, [rows, pad, n]);
        let d_items = &mut d_items[column * 2 * pad..];
        product_transposed::<F, FMA>(weights, d_out(0), MatrixMut { data: d_items, stride: 2 * pad }, [n, out_grad.width, rows]);
        let d_patterns = MatrixMut { data: &mut d_items[pad..], stride: 2 * pad };
        product_transposed::<F, FMA>(slopes, Matrix { data: queries.scaled, stride: pad }, d_patterns, [n, pad, rows]);
    }
}

const _: () = assert!(TILE.is_multiple_of(LANES));
