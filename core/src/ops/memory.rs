//! Kernels that look things up in the past: rotary positions, attention, modern and classic Hopfield memory.

use super::{Columns, ColumnsMut};
use crate::shape::{Shape, Shaped};

/// Rotary positions in place (Su et al. 2021, halves layout): in each head the pair `(i, i + d/2)` at absolute
/// position `p = clock + t` turns by the angle `p · base^(−2i/d)`.
pub struct Rotate<'a, I> {
    /// How many positions came before, `[1]` or, on the CPU, `[B]`; none if absent.
    pub clock: Option<&'a I>,
    /// `d`, even; the columns hold a whole number of heads.
    pub head_dim: usize,
    /// 10 000 in this model.
    pub base: f32,
    /// Turn the other way: the gradient of the rotation.
    pub inverse: bool,
}

/// A memory of the newest `N` positions: position `p` lies in row `p mod N`.
pub struct Ring<'a, T, I> {
    /// `[B, N, 2w]`: key and value, or pattern and value, of each position.
    pub items: &'a mut T,
    /// `[1]`: how many positions came before this chunk; on the CPU also `[B]`, one for each sequence. The kernel reads it and leaves it
    /// ([`advance`](crate::backend::Forward::advance) moves it).
    pub clock: &'a I,
}

/// Causal multi-head attention, scale `1/√d`; query `t` sees the positions `j ≤ t` with `t − j < window`.
/// With a ring of `N` rows nothing older than `N` positions is seen either, also inside the chunk.
///
/// Saved for backward `[B, T, H]`: the logarithm of each softmax's denominator.
pub struct Attend<'a, T> {
    /// `3w` columns `q | k | v`, heads of `d` side by side
    pub qkv: Columns<'a, T>,
    /// `d`
    pub head_dim: usize,
    /// How many positions a query sees, its own included; 0 means all.
    pub window: usize,
}

/// Extents of [`Attend`], [`Recall`] and [`Hebbian`].
#[derive(Clone, Copy, Debug)]
pub struct MemoryDims {
    /// Sequences.
    pub batch: usize,
    /// Positions of this chunk.
    pub time: usize,
    /// `w`
    pub width: usize,
    /// `H`
    pub heads: usize,
    /// `d`
    pub head_dim: usize,
    /// Distance between two rows of the packed input.
    pub stride: usize,
    /// How many positions a query sees, its own included: the narrower of window and ring; `usize::MAX` means all.
    pub window: usize,
    /// `K`; 1 for attention.
    pub depth: usize,
    /// Learned items before the first position; 0 for attention.
    pub slots: usize,
}

fn dims<T: Shaped>(packed: &Columns<'_, T>, head_dim: usize, window: usize, ring: Option<Shape>) -> MemoryDims {
    let (batch, time, stride) = packed.layout();
    let width = packed.width / 3;
    assert!(packed.width.is_multiple_of(3) && width.is_multiple_of(head_dim), "memory: {} columns, heads of {head_dim}", packed.width);
    let mut seen = if window == 0 { usize::MAX } else { window };
    if let Some(r) = ring {
        let [b, n, w] = r.extents();
        assert!(b == batch && w == 2 * width && n > 0, "memory: ring {r} for {batch} sequences of width {width}");
        seen = seen.min(n);
    }
    MemoryDims { batch, time, width, heads: width / head_dim, head_dim, stride, window: seen, depth: 1, slots: 0 }
}

impl<T: Shaped> Attend<'_, T> {
    /// Checks the shapes of input and (if present) ring and saved statistics.
    pub fn dims(&self, ring: Option<Shape>, saved: Option<Shape>) -> MemoryDims {
        let d = dims(&self.qkv, self.head_dim, self.window, ring);
        if let Some(s) = saved {
            assert_eq!(s.extents(), [d.batch, d.time, d.heads], "attend: saved");
        }
        d
    }
}

/// K refinements of a query in a modern Hopfield memory (Ramsauer et al. 2020 on the unit sphere):
///
/// ```text
/// unit(v) = v / sqrt(|v|² + 1e-6)    ξ⁰ = unit(q)    p_j = unit(pattern_j)    β = exp(log_beta)
/// items of position t: the M slots, then the items j ≤ t with t − j < window
///   same:       item j is p_j → value_j
///   successor:  item j is p_{j−1} → value_j, for j ≥ 1
/// s = softmax_j(β ξᵏ·p_j)    r^{k+1} = Σ s_j value_j    ξ^{k+1} = unit(ξᵏ + Σ s_j p_j)
/// y = Σ_k softmax(depth)_k r^k,  k = 1..K            an empty memory reads as zero
/// ```
///
/// The ring holds *items*: in row `j mod N` the unit pattern and the value of item `j`.
pub struct Recall<'a, T> {
    /// `3w` columns `q | pattern | value`, heads of `d` side by side
    pub qpv: Columns<'a, T>,
    /// `[B, T, K]`: logits of the mixture over refinements
    pub depth: &'a T,
    /// `[H]`
    pub log_beta: &'a T,
    /// Learned items, in front of all others.
    pub slots: Option<Slots<'a, T>>,
    /// `d`
    pub head_dim: usize,
    /// How many items a query sees, slots not counted; 0 means all.
    pub window: usize,
    /// Association "successor" rather than "same".
    pub successor: bool,
}

/// Learned items of a [`Recall`], `[H, M, d]` each; the patterns are normalised by the kernel.
pub struct Slots<'a, T> {
    /// Patterns before `unit`.
    pub patterns: &'a T,
    /// Values.
    pub values: &'a T,
}

/// State of a [`Recall`].
pub struct RecallState<'a, T, I> {
    /// The items.
    pub ring: Ring<'a, T, I>,
    /// `[B, w]`: the unit pattern of the position before this chunk ("successor" pairs it with the next value).
    pub last: &'a mut T,
}

/// What [`Recall`] keeps for its gradient.
pub struct RecallSaved<T> {
    /// `[B, T, K·w]`: r¹ | r² | …
    pub reads: T,
    /// `[B, T, K·w]`: ξᵏ + Σ s_j p_j before it is made a unit vector, k = 0 .. K−2; the last `w` columns are not used.
    pub moved: T,
    /// `[B, T, K·H]`: logarithm of each softmax's denominator
    pub log_sum: T,
}

/// Gradients of [`Recall`] for a chunk that began with an empty memory.
pub struct RecallGrad<'a, T> {
    /// Written.
    pub qpv: ColumnsMut<'a, T>,
    /// Written.
    pub depth: &'a mut T,
    /// Added up.
    pub log_beta: &'a mut T,
    /// Added up; present exactly when the slots are.
    pub slots: Option<SlotsGrad<'a, T>>,
}

/// Gradients of [`Slots`].
pub struct SlotsGrad<'a, T> {
    /// Added up.
    pub patterns: &'a mut T,
    /// Added up.
    pub values: &'a mut T,
}

impl<T: Shaped> Recall<'_, T> {
    /// Checks the shapes of inputs, parameters and (if present) the ring.
    pub fn dims(&self, ring: Option<Shape>) -> MemoryDims {
        let mut d = dims(&self.qpv, self.head_dim, self.window, ring);
        let [b, t, k] = self.depth.shape().extents();
        assert!((b, t) == (d.batch, d.time) && k > 0, "recall: depth {}", self.depth.shape());
        assert_eq!(self.log_beta.shape().count(), d.heads, "recall: log_beta");
        d.depth = k;
        if let Some(s) = &self.slots {
            let [h, m, e] = s.patterns.shape().extents();
            assert!((h, e) == (d.heads, d.head_dim) && s.values.shape() == s.patterns.shape(), "recall: slots {}", s.patterns.shape());
            d.slots = m;
        }
        d
    }
}

/// K refinements of a query in a classic (1982) Hopfield memory with exponential forgetting:
///
/// ```text
/// γ = σ(decay)    s_j = γ^{t−j} ξᵏ·p_j    r^{k+1} = Σ s_j value_j    ξ^{k+1} = unit(ξᵏ + tanh(β Σ s_j p_j))
/// y = Σ_k softmax(depth)_k r^k
/// ```
///
/// Its items are [`Recall`]'s, without slots or window. Two matrices a head are its whole state:
/// `Σ γ^{t−j} p_j p_jᵀ` and `Σ γ^{t−j} p_j value_jᵀ`.
pub struct Hebbian<'a, T> {
    /// `3w` columns `q | pattern | value`, heads of `d` side by side
    pub qpv: Columns<'a, T>,
    /// `[B, T, K]`
    pub depth: &'a T,
    /// `[H]`
    pub log_beta: &'a T,
    /// `[H]`
    pub decay: &'a T,
    /// `d`
    pub head_dim: usize,
    /// Association "successor" rather than "same".
    pub successor: bool,
}

/// State of a [`Hebbian`] memory.
pub struct HebbianState<'a, T> {
    /// `[B, 2w, d]`: for each head the `d × d` matrix of patterns with patterns, then, in the second half of the
    /// rows, for each head the one of patterns (rows) with values (columns).
    pub matrices: &'a mut T,
    /// `[B, w]`: the unit pattern of the position before this chunk; zeros at the start.
    pub last: &'a mut T,
}

/// Gradients of [`Hebbian`] for a chunk that began with an empty memory.
pub struct HebbianGrad<'a, T> {
    /// Written.
    pub qpv: ColumnsMut<'a, T>,
    /// Written.
    pub depth: &'a mut T,
    /// Added up.
    pub log_beta: &'a mut T,
    /// Added up.
    pub decay: &'a mut T,
}

impl<T: Shaped> Hebbian<'_, T> {
    /// Checks the shapes of inputs, parameters and (if present) the state's matrices.
    pub fn dims(&self, matrices: Option<Shape>) -> MemoryDims {
        let mut d = dims(&self.qpv, self.head_dim, 0, None);
        let [b, t, k] = self.depth.shape().extents();
        assert!((b, t) == (d.batch, d.time) && k > 0, "hebbian: depth {}", self.depth.shape());
        assert!(self.log_beta.shape().count() == d.heads && self.decay.shape().count() == d.heads, "hebbian: log_beta, decay");
        if let Some(m) = matrices {
            assert_eq!(m.extents(), [d.batch, 2 * d.width, d.head_dim], "hebbian: matrices");
        }
        d.depth = k;
        d
    }
}
