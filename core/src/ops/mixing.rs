//! Kernels that weigh the paths: gates, mixer, the controller's running summary.

use super::{Columns, ColumnsMut};
use crate::shape::{Shape, Shaped};

/// `gates = n · softmax(weight · silu(hidden) + bias + control)` over the `n` paths that are on, `[B, T, n]`.
pub struct Gate<'a, T> {
    /// `[B, T, G]`, before `silu`
    pub hidden: &'a T,
    /// `[n, G]`
    pub weight: &'a T,
    /// `[n]`
    pub bias: &'a T,
    /// Three columns, one for each of ssm, hopfield, attention; those of paths that are off are ignored.
    pub control: Option<Columns<'a, T>>,
    /// Which paths are on: ssm, hopfield, attention.
    pub on: [bool; 3],
}

/// Gradients of [`Gate`].
pub struct GateGrad<'a, T> {
    /// Written.
    pub hidden: &'a mut T,
    /// Added up.
    pub weight: &'a mut T,
    /// Added up.
    pub bias: &'a mut T,
    /// Written, all three columns (zero for paths that are off); present exactly when the input is.
    pub control: Option<ColumnsMut<'a, T>>,
}

/// Extents of [`Gate`].
#[derive(Clone, Copy, Debug)]
pub struct GateDims {
    /// `B · T`
    pub rows: usize,
    /// `G`
    pub hidden: usize,
    /// `n`
    pub paths: usize,
}

impl<T: Shaped> Gate<'_, T> {
    /// Checks all shapes.
    pub fn dims(&self, gates: Shape) -> GateDims {
        let [_, paths, hidden] = self.weight.shape().extents();
        let h = self.hidden.shape();
        assert_eq!(self.on.iter().filter(|&&on| on).count(), paths, "gate: paths that are on");
        assert!(h.width() == hidden && self.bias.shape().count() == paths, "gate: hidden {h}, weight {}", self.weight.shape());
        assert!(gates.rows() == h.rows() && gates.width() == paths, "gate: {h} into {gates}");
        if let Some(c) = &self.control {
            let (b, t, _) = c.layout();
            assert!(c.width == 3 && b * t == h.rows(), "gate: control of {} columns", c.width);
        }
        GateDims { rows: h.rows(), hidden, paths }
    }
}

/// `[ g_i · rms_norm_i(y_i) ]_i`: each path's columns normalised, scaled by the gain, weighed by the gate. `[B, T, w]`.
pub struct Mix<'a, T> {
    /// `[B, T, w]`, the paths that are on side by side
    pub paths: &'a T,
    /// `[w]`
    pub gain: &'a T,
    /// `[B, T, n]`, a column for each path that is on; all ones if absent.
    pub gates: Option<&'a T>,
    /// Widths of ssm, hopfield, attention; 0 is off.
    pub widths: [usize; 3],
    /// Normalise each path; otherwise only the gain is applied (Falcon-H1's fusion).
    pub norm: bool,
    /// As in [`Norm`](super::Norm).
    pub eps: f32,
}

/// Gradients of [`Mix`].
pub struct MixGrad<'a, T> {
    /// Written.
    pub paths: &'a mut T,
    /// Added up.
    pub gain: &'a mut T,
    /// Written; present exactly when the gates are.
    pub gates: Option<&'a mut T>,
}

impl<T: Shaped> Mix<'_, T> {
    /// `(rows, width)`
    pub fn dims(&self, y: Shape) -> (usize, usize) {
        let x = self.paths.shape();
        let (width, n) = (self.widths.iter().sum::<usize>(), self.widths.iter().filter(|&&w| w > 0).count());
        assert!(
            x.extents() == y.extents() && x.width() == width && self.gain.shape().count() == width,
            "mix: {x} of widths {:?} into {y}",
            self.widths
        );
        if let Some(g) = self.gates {
            assert!(g.shape().rows() == x.rows() && g.shape().width() == n, "mix: gates {}", g.shape());
        }
        (x.rows(), width)
    }
}

/// `m_t = a ∘ m_{t−1} + (1 − a) ∘ silu(x_t)`, `a = σ(decay)`: the controller's causal running summary, `[B, T, C]`.
///
/// State `[B, C]`: `m`; zeros at the start.
pub struct Pool<'a, T> {
    /// `[B, T, C]`, before `silu`
    pub x: &'a T,
    /// `[C]`
    pub decay: &'a T,
}

/// Gradients of [`Pool`] for a chunk that began with an empty state.
pub struct PoolGrad<'a, T> {
    /// Written.
    pub x: &'a mut T,
    /// Added up.
    pub decay: &'a mut T,
}

impl<T: Shaped> Pool<'_, T> {
    /// `[B, T, C]`
    pub fn dims(&self, state: Option<Shape>, y: Shape) -> [usize; 3] {
        let x = self.x.shape();
        let [batch, _, width] = x.extents();
        assert!(x.extents() == y.extents() && self.decay.shape().count() == width, "pool: {x} into {y}");
        if let Some(s) = state {
            assert_eq!((s.rows(), s.width()), (batch, width), "pool: state");
        }
        x.extents()
    }
}
