//! Kernels of the episodic memory: which token followed the last time that the model was in a state like this one.

use crate::shape::{Shape, Shaped};

/// What a place for a token holds while the token that followed is not known yet.
pub const UNKNOWN: f32 = -1.0;

/// Items of an episodic memory, a ring of `R` rows: in row `j mod R` the unit key of position `j`, and the token that came at
/// `j + 1`.
pub struct EpisodicItems<'a, T> {
    /// `[B, R, m]`, in full precision
    pub keys: &'a T,
    /// `[B, R]`, in full precision: ids, which are below 2²⁴; [`UNKNOWN`] for the newest item.
    pub tokens: &'a T,
}

/// Writes a chunk of `T` positions into the ring, in which `clock` positions came before:
///
/// ```text
/// keys[(clock + t) mod R] = k_t / sqrt(|k_t|² + 1e-6)     tokens[(clock + t − 1) mod R] = token_t
/// ```
///
/// The token of the last position's item is [`UNKNOWN`], and that of the last position before the chunk is changed only if it is
/// [`UNKNOWN`]: a document that ended has no item that reaches into the next one. Of a chunk that is longer than the ring only the last `R` positions stay.
pub struct EpisodicStore<'a, T, I> {
    /// `[B, T, m]`: k
    pub keys: &'a T,
    /// Ids `[B, T]`
    pub tokens: &'a I,
    /// `[1]`: how many positions the ring has seen before; none if absent.
    pub clock: Option<&'a I>,
}

/// What an episodic memory says of given targets, after [`EpisodicStore`] has written the chunk (memory as a mixture component:
/// pointer sentinel of Merity et al. 2017, continuous cache of Grave et al. 2017; here with learned keys, scale and gate):
///
/// ```text
/// items of position t: c + t − window ≤ j < c + t, c = clock, and no older than the ring
/// s_j = k_t·k_j    a = softmax_j(exp(log_beta) s_j)    M = Σ_j a_j [token_j = target_t]
/// z = gate_t + match · max_j s_j                g = σ(z), 0 for an empty memory
/// mixture_t = ( log(1 − g), log g + log max(M, 1e-30) )
/// ```
///
/// [`CrossEntropy`](super::CrossEntropy) adds the two to the model's own distribution. Logarithms of zero are −1e30.
pub struct Episodic<'a, T, I> {
    /// With the chunk's own.
    pub items: EpisodicItems<'a, T>,
    /// `[B, T, 1]`: the part of the gate that the hidden state gives
    pub gate: &'a T,
    /// `[1]`
    pub log_beta: &'a T,
    /// `[1]`: weight of the best match in the gate
    pub match_weight: &'a T,
    /// Ids `[B, T]`; a row whose target is [`IGNORE`](super::IGNORE) counts as one without matches.
    pub targets: &'a I,
    /// `[1]`: how many positions the ring had seen before this chunk; none if absent.
    pub clock: Option<&'a I>,
    /// How many items a position sees; 0 means all.
    pub window: usize,
}

/// Gradients of [`Episodic`]; nothing flows into items from before the chunk.
pub struct EpisodicGrad<'a, T> {
    /// Of the chunk's keys before they were made unit vectors; written.
    pub keys: &'a mut T,
    /// Written.
    pub gate: &'a mut T,
    /// Added up.
    pub log_beta: &'a mut T,
    /// Added up.
    pub match_weight: &'a mut T,
}

/// The distribution over all tokens after the newest position, which [`EpisodicStore`] has written:
///
/// ```text
/// log_probs = log( (1 − g) softmax(logits) + g Σ_j a_j [token_j = ·] )
/// ```
///
/// with `a`, `g` and items as in [`Episodic`].
pub struct EpisodicLogProbs<'a, T, I> {
    /// With the newest position's own key.
    pub items: EpisodicItems<'a, T>,
    /// `[B, 1, 1]`
    pub gate: &'a T,
    /// `[1]`
    pub log_beta: &'a T,
    /// `[1]`
    pub match_weight: &'a T,
    /// `[1]`: how many positions the ring has seen, the newest included; at least 1.
    pub clock: &'a I,
    /// How many items are seen; 0 means all.
    pub window: usize,
}

/// Extents of the episodic memory's kernels.
#[derive(Clone, Copy, Debug)]
pub struct EpisodicDims {
    /// Sequences.
    pub batch: usize,
    /// Positions of this chunk.
    pub time: usize,
    /// `m`
    pub width: usize,
    /// `R`
    pub rows: usize,
    /// How many items a position sees; `usize::MAX` means all.
    pub window: usize,
}

impl EpisodicDims {
    /// Items that position `t` of the chunk sees, where `clock` positions came before it.
    pub fn visible(&self, clock: usize, t: usize) -> core::ops::Range<usize> {
        let oldest = (clock + self.time).saturating_sub(self.rows);
        let end = clock + t;
        end.saturating_sub(self.window).max(oldest).min(end)..end
    }
}

impl<T: Shaped> EpisodicItems<'_, T> {
    fn dims(&self, time: usize, window: usize) -> EpisodicDims {
        let [batch, rows, width] = self.keys.shape().extents();
        assert!(rows > 0 && self.tokens.shape() == Shape::matrix(batch, rows), "episodic: tokens {}", self.tokens.shape());
        EpisodicDims { batch, time, width, rows, window: if window == 0 { usize::MAX } else { window } }
    }
}

impl<T: Shaped, I: Shaped> EpisodicStore<'_, T, I> {
    /// Checks the shapes of inputs and ring.
    pub fn dims(&self, keys: Shape, tokens: Shape) -> EpisodicDims {
        let ([batch, time, width], [b, rows, w]) = (self.keys.shape().extents(), keys.extents());
        assert!((batch, width) == (b, w) && rows > 0, "episodic_store: keys {} into {keys}", self.keys.shape());
        assert!(tokens == Shape::matrix(batch, rows), "episodic_store: tokens {tokens}");
        assert_eq!(self.tokens.shape().count(), batch * time, "episodic_store: tokens {}", self.tokens.shape());
        EpisodicDims { batch, time, width, rows, window: usize::MAX }
    }
}

impl<T: Shaped, I: Shaped> Episodic<'_, T, I> {
    /// Checks the shapes of inputs and output.
    pub fn dims(&self, mixture: Shape) -> EpisodicDims {
        let [batch, time, one] = self.gate.shape().extents();
        let d = self.items.dims(time, self.window);
        assert!(d.batch == batch && one == 1 && self.targets.shape().count() == batch * time, "episodic: gate {}", self.gate.shape());
        assert!(self.log_beta.shape().count() == 1 && self.match_weight.shape().count() == 1, "episodic: log_beta, match_weight");
        assert!(mixture.extents() == [batch, time, 2], "episodic: mixture {mixture}");
        assert!(time <= d.rows, "episodic: a chunk of {time} in a ring of {}", d.rows);
        d
    }
}

impl<T: Shaped, I: Shaped> EpisodicLogProbs<'_, T, I> {
    /// Checks the shapes; `weights` is `[B, R]`, `logits` `[B, 1, V]`. Gives `V` as well.
    pub fn dims(&self, weights: Shape, logits: Shape) -> (EpisodicDims, usize) {
        let (d, [batch, one, vocab]) = (self.items.dims(1, self.window), logits.extents());
        assert!(d.batch == batch && one == 1 && self.gate.shape().count() == batch, "episodic_log_probs: logits {logits}");
        assert!(weights == Shape::matrix(batch, d.rows), "episodic_log_probs: weights {weights}");
        assert!(self.log_beta.shape().count() == 1 && self.match_weight.shape().count() == 1, "episodic_log_probs: parameters");
        (d, vocab)
    }
}
