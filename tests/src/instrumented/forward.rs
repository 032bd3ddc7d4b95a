use super::{Instrumented, map, map_columns};
use crate::fault::Fault;
use hh_core::{
    backend::Forward,
    ops::*,
    shape::{Shape, Shaped},
};
use hh_cpu::{Float, Indices, Tensor};

impl<F: Float> Instrumented<F> {
    /// A window that sees one position more than it should.
    pub(super) fn window(&self, fault: Fault, window: usize) -> usize {
        if self.has(fault) && window > 0 { window + 1 } else { window }
    }

    /// A gate that does not see the best match.
    pub(super) fn without_match(&self, weight: &Tensor<F>) -> Tensor<F> {
        if self.has(Fault::EpisodicMatchIgnored) { map(weight, |_| 0.0) } else { weight.clone() }
    }

    /// Λ' with `softplus(Λ') = softplus(Λ) / 8`.
    pub(super) fn without_eight(&self, log_decay: &Tensor<F>) -> Tensor<F> {
        let eighth = |x: f64| (x.exp().ln_1p() / 8.0).exp_m1().ln();
        if self.has(Fault::DecayWithoutItsEight) { map(log_decay, eighth) } else { log_decay.clone() }
    }
}

fn reversed<F: Float>(weight: &Tensor<F>) -> Tensor<F> {
    let mut weight = weight.clone();
    let taps = weight.shape().width();
    weight.data_mut().chunks_mut(taps).for_each(<[F]>::reverse);
    weight
}

impl<F: Float> Forward for Instrumented<F> {
    type Recording = ();

    fn embed(&mut self, op: Embed<Tensor<F>, Indices>, y: &mut Tensor<F>) {
        self.cpu.embed(op, y);
    }
    fn positions(&mut self, op: Positions<Tensor<F>, Indices>, y: &mut Tensor<F>) {
        if self.has(Fault::PositionsShifted) {
            let mut table = op.table.clone();
            table.data_mut().rotate_left(op.table.shape().width());
            return self.cpu.positions(Positions { table: &table, ..op }, y);
        }
        self.cpu.positions(op, y);
    }
    fn matmul(&mut self, op: Matmul<Tensor<F>>, y: &mut Tensor<F>) {
        self.cpu.matmul(op, y);
    }
    fn norm(&mut self, op: Norm<Tensor<F>>, y: &mut Tensor<F>) {
        let eps = if self.has(Fault::NormWithoutEpsilon) { 0.0 } else { op.eps };
        self.cpu.norm(Norm { eps, ..op }, y);
    }
    fn conv(&mut self, op: Conv<Tensor<F>>, state: Option<&mut Tensor<F>>, y: &mut Tensor<F>) {
        let state = state.filter(|_| !self.has(Fault::ConvolutionForgets));
        if self.has(Fault::ConvolutionReversed) {
            return self.cpu.conv(Conv { weight: &reversed(op.weight), ..op }, state, y);
        }
        self.cpu.conv(op, state, y);
    }
    fn scan(&mut self, op: Scan<Tensor<F>>, state: Option<&mut Tensor<F>>, saved: Option<&mut Tensor<F>>, y: ColumnsMut<Tensor<F>>) {
        let state = state.filter(|_| !self.has(Fault::ScanForgets));
        let log_decay = &self.without_eight(op.log_decay);
        self.cpu.scan(Scan { log_decay, ..op }, state, saved, y);
    }
    fn rotate(&mut self, op: Rotate<Indices>, x: ColumnsMut<Tensor<F>>) {
        let missing = if op.inverse { Fault::RotationNotUndone } else { Fault::RotationMissing };
        if !self.has(missing) {
            self.cpu.rotate(op, x);
        }
    }
    fn attend(
        &mut self,
        op: Attend<Tensor<F>>,
        ring: Option<Ring<Tensor<F>, Indices>>,
        saved: Option<&mut Tensor<F>>,
        y: ColumnsMut<Tensor<F>>,
    ) {
        let window = self.window(Fault::AttentionWindowOffByOne, op.window);
        self.cpu.attend(Attend { window, ..op }, ring, saved, y);
    }
    fn recall(
        &mut self,
        mut op: Recall<Tensor<F>>,
        mut state: Option<RecallState<Tensor<F>, Indices>>,
        saved: Option<&mut RecallSaved<Tensor<F>>>,
        y: ColumnsMut<Tensor<F>>,
    ) {
        op.window = self.window(Fault::HopfieldWindowOffByOne, op.window);
        op.successor &= !self.has(Fault::SuccessorForgotten);
        op.slots = op.slots.filter(|_| !self.has(Fault::SlotsForgotten));
        if let (Some(state), true) = (&mut state, self.has(Fault::LastPatternForgotten)) {
            state.last.data_mut().fill(F::ZERO);
        }
        self.cpu.recall(op, state, saved, y);
    }
    fn hebbian(&mut self, mut op: Hebbian<Tensor<F>>, mut state: Option<HebbianState<Tensor<F>>>, y: ColumnsMut<Tensor<F>>) {
        op.successor &= !self.has(Fault::SuccessorForgotten);
        if let (Some(state), true) = (&mut state, self.has(Fault::LastPatternForgotten)) {
            state.last.data_mut().fill(F::ZERO);
        }
        self.cpu.hebbian(op, state, y);
    }
    fn gate(&mut self, mut op: Gate<Tensor<F>>, gates: &mut Tensor<F>) {
        let n = op.weight.shape().rows() as f64;
        op.control = op.control.filter(|_| !self.has(Fault::ControlIgnored));
        self.cpu.gate(op, gates);
        if self.has(Fault::GatesNotScaled) {
            *gates = map(gates, |g| g / n);
        }
    }
    fn mix(&mut self, op: Mix<Tensor<F>>, y: &mut Tensor<F>) {
        let norm = op.norm && !self.has(Fault::PathsNotNormalised);
        self.cpu.mix(Mix { norm, ..op }, y);
    }
    fn dropout(&mut self, op: Dropout<Tensor<F>, Indices>, y: &mut Tensor<F>) {
        self.cpu.dropout(op, y);
    }
    fn swiglu(&mut self, op: Swiglu<Tensor<F>>, y: &mut Tensor<F>) {
        self.cpu.swiglu(op, y);
    }
    fn pool(&mut self, op: Pool<Tensor<F>>, state: Option<&mut Tensor<F>>, y: &mut Tensor<F>) {
        if self.has(Fault::SummaryDecayNegated) {
            return self.cpu.pool(Pool { decay: &map(op.decay, |x| -x), ..op }, state, y);
        }
        self.cpu.pool(op, state, y);
    }
    fn last(&mut self, x: &Tensor<F>, y: &mut Tensor<F>) {
        self.cpu.last(x, y);
    }
    fn average(&mut self, op: Average<Tensor<F>>, y: &mut Tensor<F>) {
        if self.has(Fault::FillingAveraged) {
            let even = 1.0 / op.x.shape().extents()[1] as f64;
            return self.cpu.average(Average { weights: &map(op.weights, |_| even), ..op }, y);
        }
        self.cpu.average(op, y);
    }
    fn episodic_store(&mut self, mut op: EpisodicStore<Tensor<F>, Indices>, keys: &mut Tensor<F>, tokens: &mut Tensor<F>) {
        op.clock = op.clock.filter(|_| !self.has(Fault::EpisodesForgotten));
        self.cpu.episodic_store(op, keys, tokens);
        if self.has(Fault::EpisodeOfItsOwnToken) {
            let rows = tokens.shape().width();
            tokens.data_mut().chunks_mut(rows).for_each(|ring| ring.rotate_right(1));
        }
    }
    fn episodic(&mut self, op: Episodic<Tensor<F>, Indices>, mixture: &mut Tensor<F>) {
        let window = self.window(Fault::EpisodicWindowOffByOne, op.window);
        let match_weight = &self.without_match(op.match_weight);
        self.cpu.episodic(Episodic { window, match_weight, ..op }, mixture);
    }
    fn episodic_log_probs(&mut self, op: EpisodicLogProbs<Tensor<F>, Indices>, weights: &mut Tensor<F>, logits: &mut Tensor<F>) {
        let window = self.window(Fault::EpisodicWindowOffByOne, op.window);
        let match_weight = &self.without_match(op.match_weight);
        self.cpu.episodic_log_probs(EpisodicLogProbs { window, match_weight, ..op }, weights, logits);
    }
    fn cross_entropy(&mut self, op: CrossEntropy<Tensor<F>, Indices>, scratch: &mut Tensor<F>, losses: &mut Tensor<F>) {
        self.cpu.cross_entropy(op, scratch, losses);
    }
    fn advance(&mut self, by: u32, clock: &mut Indices) {
        if !self.has(Fault::ClockStands) {
            self.cpu.advance(by, clock);
        }
    }
}

/// The two halves of a packed tensor, each in the other's place.
pub(super) fn swap_halves<F: Float>(t: &mut Tensor<F>) {
    let half = t.shape().width() / 2;
    t.data_mut().chunks_mut(2 * half).for_each(|row| row.rotate_left(half));
}

/// Columns times −1.
pub(super) fn negate<F: Float>(d: ColumnsMut<Tensor<F>>) {
    map_columns(d.of, d.start, d.width, |x| -x);
}

/// Zeros of a shape.
pub(super) fn clear<F: Float>(t: &mut Tensor<F>) {
    t.data_mut().fill(F::ZERO);
}

/// `[4]`: the schedule of a step without correction of the moments.
pub(super) fn uncorrected<F: Float>(schedule: &Tensor<F>) -> Tensor<F> {
    assert_eq!(schedule.shape(), Shape::vector(4));
    let mut schedule = schedule.clone();
    schedule.data_mut()[1..3].fill(F::ONE);
    schedule
}
