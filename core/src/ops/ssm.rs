//! Kernels of the state-space path: causal convolution and gated scan.

use super::{Columns, ColumnsMut};
use crate::shape::{Shape, Shaped};

/// Causal depthwise convolution: `y_t = silu(bias + Σ_i weight[:, i] ∘ x_{t − k + 1 + i})`, `y` `[B, T, w]`.
///
/// State `[B, k−1, w]`: the last `k − 1` inputs, oldest first; zeros at the start.
pub struct Conv<'a, T> {
    /// `w` columns
    pub x: Columns<'a, T>,
    /// `[w, k]`; the last tap meets the newest input.
    pub weight: &'a T,
    /// `[w]`
    pub bias: &'a T,
}

/// Gradients of [`Conv`] for a chunk that began with an empty state.
pub struct ConvGrad<'a, T> {
    /// Written.
    pub x: ColumnsMut<'a, T>,
    /// Added up.
    pub weight: &'a mut T,
    /// Added up.
    pub bias: &'a mut T,
}

/// Extents of [`Conv`].
#[derive(Clone, Copy, Debug)]
pub struct ConvDims {
    /// Sequences.
    pub batch: usize,
    /// Positions.
    pub time: usize,
    /// Channels.
    pub width: usize,
    /// `k`, at least 1.
    pub taps: usize,
    /// Distance between two rows of the packed input.
    pub stride: usize,
}

impl<T: Shaped> Conv<'_, T> {
    /// Checks the shapes of parameters, output and (if present) state.
    pub fn dims(&self, state: Option<Shape>, y: Shape) -> ConvDims {
        let (batch, time, stride) = self.x.layout();
        let [_, width, taps] = self.weight.shape().extents();
        assert!(
            width == self.x.width && self.bias.shape().count() == width,
            "conv: {} columns, weight {}",
            self.x.width,
            self.weight.shape()
        );
        assert_eq!(y.extents(), [batch, time, width], "conv: output");
        if let Some(s) = state {
            assert_eq!(s.extents(), [batch, taps - 1, width], "conv: state");
        }
        ConvDims { batch, time, width, taps, stride }
    }
}

/// The gated diagonal recurrence (RG-LRU of Griffin, De et al. 2024, with skip and output gate):
///
/// ```text
/// gᵢ = σ(g_in + b₀)    g_f = σ(g_forget + b₁)    log a = −8 · softplus(log_decay) ∘ g_f
/// h_t = a_t ∘ h_{t−1} + sqrt(−expm1(2 log a_t) + 1e-6) ∘ gᵢ ∘ x_t
/// y_t = (h_t + skip ∘ x_t) ∘ silu(gate_t)
/// ```
///
/// State `[B, w]`: `h`. Saved for backward `[B, T, w]`: every `h_t`. All of it is computed in full precision.
pub struct Scan<'a, T> {
    /// `[B, T, w]`: what [`Conv`] left.
    pub x: &'a T,
    /// `3w` columns `gate | g_in | g_forget`
    pub gates: Columns<'a, T>,
    /// `[2, w]`
    pub gate_bias: &'a T,
    /// `[w]`: Λ
    pub log_decay: &'a T,
    /// `[w]`
    pub skip: &'a T,
}

/// Gradients of [`Scan`] for a chunk that began with an empty state.
pub struct ScanGrad<'a, T> {
    /// Written.
    pub x: &'a mut T,
    /// Written.
    pub gates: ColumnsMut<'a, T>,
    /// Added up.
    pub gate_bias: &'a mut T,
    /// Added up.
    pub log_decay: &'a mut T,
    /// Added up.
    pub skip: &'a mut T,
}

/// Extents of [`Scan`].
#[derive(Clone, Copy, Debug)]
pub struct ScanDims {
    /// Sequences.
    pub batch: usize,
    /// Positions.
    pub time: usize,
    /// Channels.
    pub width: usize,
    /// Distance between two rows of the packed gates.
    pub stride: usize,
}

impl<T: Shaped> Scan<'_, T> {
    /// Checks the shapes of parameters, state and saved states.
    pub fn dims(&self, state: Option<Shape>, saved: Option<Shape>) -> ScanDims {
        let (batch, time, stride) = self.gates.layout();
        let width = self.x.shape().width();
        assert_eq!(self.x.shape().extents(), [batch, time, width], "scan: x");
        assert_eq!(self.gates.width, 3 * width, "scan: packed gates");
        for (name, p, n) in [("gate_bias", self.gate_bias, 2 * width), ("log_decay", self.log_decay, width), ("skip", self.skip, width)] {
            assert_eq!(p.shape().count(), n, "scan: {name}");
        }
        if let Some(s) = state {
            assert_eq!((s.rows(), s.width()), (batch, width), "scan: state");
        }
        if let Some(s) = saved {
            assert_eq!(s.extents(), [batch, time, width], "scan: saved states");
        }
        ScanDims { batch, time, width, stride }
    }
}
