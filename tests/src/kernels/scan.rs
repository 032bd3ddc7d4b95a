//! The gated scan.

use super::prelude::*;
use hh_core::ops::ScanGrad;

/// See [`ops::Scan`].
#[derive(Debug)]
pub struct Scan {
    /// `[B, T]`
    pub size: [usize; 2],
    /// `w`
    pub width: usize,
    /// Decays from channels that forget within a hundred positions to those that forget at once; otherwise the harness's.
    pub decays: bool,
}

/// Where channels forget within a hundred positions, 1 − a² has lost its digits.
const LOG_DECAYS: [f32; 8] = [-6.0, 1.0, -4.0, -3.0, -2.0, 0.0, -5.0, -1.0];

fn op<T: Shaped>(x: &[Held<T>]) -> ops::Scan<'_, T> {
    ops::Scan { x: x[0].whole(), gates: x[1].columns(), gate_bias: x[2].whole(), log_decay: x[3].whole(), skip: x[4].whole() }
}

impl Case for Scan {
    /// Channels that fill no vector, and that a device takes four at a time.
    fn cases() -> Vec<Self> {
        SIZES.into_iter().flat_map(|size| [6, 8].map(|width| Self { size, width, decays: true })).collect()
    }
    fn large() -> Vec<Self> {
        let extents = RECURRENT.into_iter().chain([[2, 5, 3], [2, 9, 33], [1, 65, 5], [1, 1, 2]]);
        extents.map(|[batch, time, width]| Self { size: [batch, time], width, decays: false }).collect()
    }
    fn bench() -> Vec<Self> {
        vec![Self { size: [8, 256], width: 160, decays: false }]
    }
    fn tolerance(&self) -> f64 {
        if self.decays { 1e-5 } else { 2e-6 }
    }
    fn inputs(&self) -> Vec<Input> {
        let ([batch, time], w) = (self.size, self.width);
        let log_decay = Input::parameter("log_decay", Shape::vector(w));
        vec![
            Input::activation("x", Shape::cube(batch, time, w)),
            Input::columns("gates", Shape::cube(batch, time, 3 * w)),
            Input::parameter("gate_bias", Shape::matrix(2, w)),
            if self.decays { log_decay.with(LOG_DECAYS[..w].to_vec()) } else { log_decay },
            Input::parameter("skip", Shape::vector(w)),
        ]
    }
    fn outputs(&self) -> Vec<Output> {
        vec![Output::columns("y", Shape::cube(self.size[0], self.size[1], self.width))]
    }
    fn state(&self) -> Vec<Shape> {
        vec![Shape::matrix(self.size[0], self.width)]
    }
    fn saved(&self) -> Vec<Shape> {
        vec![self.outputs()[0].shape]
    }
    fn formula(&self, x: &[Vec<f64>], mut state: Option<&mut State>) -> Vec<Vec<f64>> {
        let ([batch, time], w) = (self.size, self.width);
        let mut y = vec![0.0; batch * time * w];
        for (b, c) in (0..batch * w).map(|i| (i / w, i % w)) {
            let mut h = state.as_ref().map_or(0.0, |state| state.tensors[0][b * w + c]);
            for row in b * time..(b + 1) * time {
                let gate = |i: usize| x[1][row * 3 * w + i * w + c];
                let (g_in, g_forget) = (sigmoid(gate(1) + x[2][c]), sigmoid(gate(2) + x[2][w + c]));
                let log_a = -8.0 * x[3][c].exp().ln_1p() * g_forget;
                let input = x[0][row * w + c];
                h = log_a.exp() * h + (1e-6 - (2.0 * log_a).exp_m1()).sqrt() * g_in * input;
                y[row * w + c] = (h + x[4][c] * input) * silu(gate(0));
            }
            if let Some(state) = &mut state {
                state.tensors[0][b * w + c] = h;
            }
        }
        vec![y]
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], mode: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        let (state, saved) = mode.split();
        d.b.scan(op(x), state.map(|(state, _)| &mut state[0]), saved.map(|saved| &mut saved[0]), y[0].columns_mut());
    }
    fn backward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], done: Done<'_, B::Tensor>, grads: &mut [Held<B::Tensor>]) {
        let [dx, gates, gate_bias, log_decay, skip] = all_mut(grads);
        let grad = ScanGrad {
            x: dx.whole_mut(),
            gates: gates.columns_mut(),
            gate_bias: gate_bias.whole_mut(),
            log_decay: log_decay.whole_mut(),
            skip: skip.whole_mut(),
        };
        d.b.scan_grad(op(x), &done.saved[0], done.dy.columns(), grad);
    }
}
