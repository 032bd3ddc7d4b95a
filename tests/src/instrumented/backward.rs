use super::{
    Instrumented,
    forward::{clear, negate, swap_halves, uncorrected},
    lost, map, map_columns,
};
use crate::fault::Fault;
use hh_core::{backend::Backward, ops::*, shape::Shaped};
use hh_cpu::{Float, Indices, Tensor};

impl<F: Float> Instrumented<F> {
    /// Where a parameter's gradient goes: into `found`, or, with that fault, nowhere.
    fn dropped<'a>(&self, fault: Fault, found: &'a mut Tensor<F>, nowhere: &'a mut Tensor<F>) -> &'a mut Tensor<F> {
        if self.has(fault) { nowhere } else { found }
    }
}

impl<F: Float> Backward for Instrumented<F> {
    fn embed_grad(&mut self, op: Embed<Tensor<F>, Indices>, dy: &Tensor<F>, d_table: &mut Tensor<F>) {
        if self.has(Fault::EmbeddingGradientOverwrites) {
            clear(d_table);
        }
        self.cpu.embed_grad(op, dy, d_table);
    }
    fn positions_grad(&mut self, op: Positions<Tensor<F>, Indices>, dy: &Tensor<F>, d_table: &mut Tensor<F>) {
        if !self.has(Fault::PositionsGradientDropped) {
            self.cpu.positions_grad(op, dy, d_table);
        }
    }
    fn matmul_grad(&mut self, op: Matmul<Tensor<F>>, dy: &Tensor<F>, d: MatmulGrad<Tensor<F>>) {
        let MatmulGrad { mut x, w, bias } = d;
        if let (GradOut::Add(x), true) = (&mut x, self.has(Fault::AddedGradientOverwrites)) {
            clear(x);
        }
        let mut nowhere = op.bias.map(lost);
        let bias = bias.zip(nowhere.as_mut()).map(|(bias, nowhere)| self.dropped(Fault::BiasGradientDropped, bias, nowhere));
        self.cpu.matmul_grad(op, dy, MatmulGrad { x, w, bias });
    }
    fn norm_grad(&mut self, op: Norm<Tensor<F>>, dy: &Tensor<F>, residual: Option<&Tensor<F>>, d: NormGrad<Tensor<F>>) {
        let residual = residual.filter(|_| !self.has(Fault::ResidualGradientDropped));
        let mut nowhere = lost(op.gain);
        let gain = self.dropped(Fault::NormGainGradientDropped, d.gain, &mut nowhere);
        self.cpu.norm_grad(op, dy, residual, NormGrad { x: d.x, gain });
    }
    fn conv_grad(&mut self, op: Conv<Tensor<F>>, dy: &Tensor<F>, d: ConvGrad<Tensor<F>>) {
        let mut nowhere = lost(op.bias);
        let bias = self.dropped(Fault::ConvolutionBiasGradientDropped, d.bias, &mut nowhere);
        self.cpu.conv_grad(op, dy, ConvGrad { x: d.x, weight: d.weight, bias });
    }
    fn scan_grad(&mut self, op: Scan<Tensor<F>>, saved: &Tensor<F>, dy: Columns<Tensor<F>>, d: ScanGrad<Tensor<F>>) {
        let mut nowhere = lost(op.skip);
        let skip = self.dropped(Fault::SkipGradientDropped, d.skip, &mut nowhere);
        let log_decay = &self.without_eight(op.log_decay);
        self.cpu.scan_grad(Scan { log_decay, ..op }, saved, dy, ScanGrad { skip, ..d });
    }
    fn attend_grad(
        &mut self,
        op: Attend<Tensor<F>>,
        y: Columns<Tensor<F>>,
        saved: &Tensor<F>,
        dy: Columns<Tensor<F>>,
        d: ColumnsMut<Tensor<F>>,
    ) {
        let window = self.window(Fault::AttentionWindowOffByOne, op.window);
        let (start, width) = (d.start, d.width);
        self.cpu.attend_grad(Attend { window, ..op }, y, saved, dy, ColumnsMut { of: &mut *d.of, start, width });
        if self.has(Fault::AttentionGradientNegated) {
            negate(d);
        }
    }
    fn recall_grad(&mut self, mut op: Recall<Tensor<F>>, saved: &RecallSaved<Tensor<F>>, dy: Columns<Tensor<F>>, d: RecallGrad<Tensor<F>>) {
        op.window = self.window(Fault::HopfieldWindowOffByOne, op.window);
        op.successor &= !self.has(Fault::SuccessorForgotten);
        let mut nowhere = lost(op.log_beta);
        let log_beta = self.dropped(Fault::TemperatureGradientDropped, d.log_beta, &mut nowhere);
        let mut no_slots = op.slots.as_ref().map(|s| [lost(s.patterns), lost(s.values)]);
        let slots = d.slots.zip(no_slots.as_mut()).map(|(slots, [patterns, values])| SlotsGrad {
            patterns: self.dropped(Fault::SlotGradientsDropped, slots.patterns, patterns),
            values: self.dropped(Fault::SlotGradientsDropped, slots.values, values),
        });
        self.cpu.recall_grad(op, saved, dy, RecallGrad { qpv: d.qpv, depth: &mut *d.depth, log_beta, slots });
        if self.has(Fault::DepthGradientDropped) {
            clear(d.depth);
        }
    }
    fn hebbian_grad(&mut self, mut op: Hebbian<Tensor<F>>, dy: Columns<Tensor<F>>, d: HebbianGrad<Tensor<F>>) {
        op.successor &= !self.has(Fault::SuccessorForgotten);
        let mut nowhere = lost(op.decay);
        let decay = self.dropped(Fault::ForgettingGradientDropped, d.decay, &mut nowhere);
        self.cpu.hebbian_grad(op, dy, HebbianGrad { decay, ..d });
    }
    fn gate_grad(&mut self, op: Gate<Tensor<F>>, gates: &Tensor<F>, dy: &Tensor<F>, mut d: GateGrad<Tensor<F>>) {
        let control = d.control.as_mut().map(|c| ColumnsMut { of: &mut *c.of, start: c.start, width: c.width });
        self.cpu.gate_grad(op, gates, dy, GateGrad { hidden: &mut *d.hidden, weight: &mut *d.weight, bias: &mut *d.bias, control });
        if let (Some(c), true) = (d.control, self.has(Fault::ControlGradientDropped)) {
            map_columns(c.of, c.start, c.width, |_| F::ZERO);
        }
    }
    fn mix_grad(&mut self, op: Mix<Tensor<F>>, dy: &Tensor<F>, mut d: MixGrad<Tensor<F>>) {
        self.cpu.mix_grad(op, dy, MixGrad { paths: &mut *d.paths, gain: &mut *d.gain, gates: d.gates.as_deref_mut() });
        if let (Some(gates), true) = (d.gates, self.has(Fault::GateGradientDropped)) {
            clear(gates);
        }
    }
    fn swiglu_grad(&mut self, op: Swiglu<Tensor<F>>, dy: &Tensor<F>, dx: &mut Tensor<F>) {
        self.cpu.swiglu_grad(op, dy, dx);
        if self.has(Fault::SwigluHalvesSwapped) {
            swap_halves(dx);
        }
    }
    fn pool_grad(&mut self, op: Pool<Tensor<F>>, y: &Tensor<F>, dy: &Tensor<F>, d: PoolGrad<Tensor<F>>) {
        let mut nowhere = lost(op.decay);
        let decay = self.dropped(Fault::SummaryDecayGradientDropped, d.decay, &mut nowhere);
        self.cpu.pool_grad(op, y, dy, PoolGrad { x: d.x, decay });
    }
    fn average_grad(&mut self, op: Average<Tensor<F>>, dy: &Tensor<F>, dx: &mut Tensor<F>) {
        self.cpu.average_grad(op, dy, dx);
    }
    fn episodic_grad(&mut self, op: Episodic<Tensor<F>, Indices>, keys: &Tensor<F>, d_mixture: &Tensor<F>, d: EpisodicGrad<Tensor<F>>) {
        let window = self.window(Fault::EpisodicWindowOffByOne, op.window);
        let match_weight = &self.without_match(op.match_weight);
        let EpisodicGrad { keys: d_keys, gate, log_beta, match_weight: d_match } = d;
        let before = log_beta.clone();
        let d = EpisodicGrad { keys: &mut *d_keys, gate, log_beta: &mut *log_beta, match_weight: d_match };
        self.cpu.episodic_grad(Episodic { window, match_weight, ..op }, keys, d_mixture, d);
        if self.has(Fault::EpisodicKeyGradientDropped) {
            d_keys.data_mut().fill(F::ZERO);
        }
        if self.has(Fault::EpisodicTemperatureGradientDropped) {
            *log_beta = before;
        }
    }
    fn cross_entropy_grad(
        &mut self,
        mut op: CrossEntropy<Tensor<F>, Indices>,
        scratch: &mut Tensor<F>,
        losses: &mut Tensor<F>,
        mut d: CrossEntropyGrad<Tensor<F>>,
    ) {
        if self.has(Fault::ZLossDropped) {
            op.z_weight = 0.0;
        }
        if self.has(Fault::SmoothingDropped) {
            op.smoothing = 0.0;
        }
        let CrossEntropyGrad { x, table, mixture } = &mut d;
        let own = CrossEntropyGrad { x: x.as_deref_mut(), table: table.as_deref_mut(), mixture: mixture.as_deref_mut() };
        self.cpu.cross_entropy_grad(op, scratch, losses, own);
        if let (Some(mixture), true) = (d.mixture, self.has(Fault::MixtureGradientDropped)) {
            mixture.data_mut().fill(F::ZERO);
        }
    }

    fn dropout_grad(&mut self, mut op: Dropout<Tensor<F>, Indices>, dy: &Tensor<F>, dx: &mut Tensor<F>) {
        op.draw.site += u32::from(self.has(Fault::DropoutMaskOfAnotherSite));
        self.cpu.dropout_grad(op, dy, dx);
    }
    fn normal(&mut self, draw: Draw<Indices>, y: &mut Tensor<F>) {
        self.cpu.normal(draw, y);
    }
    fn uniform(&mut self, draw: Draw<Indices>, y: &mut Tensor<F>) {
        self.cpu.uniform(draw, y);
    }
    fn flow_point(&mut self, op: FlowPoint<Tensor<F>, Indices>, point: &mut Tensor<F>, velocity: &mut Tensor<F>) {
        self.cpu.flow_point(op, point, velocity);
        if self.has(Fault::FlowGoalNegated) {
            *velocity = map(velocity, |v| -v);
        }
    }
    fn flow_hidden(&mut self, op: FlowHidden<Tensor<F>>, y: &mut Tensor<F>) {
        self.cpu.flow_hidden(op, y);
    }
    fn flow_hidden_grad(&mut self, op: FlowHidden<Tensor<F>>, dy: &Tensor<F>, d: FlowHiddenGrad<Tensor<F>>) {
        let mut nowhere = lost(op.weight);
        let weight = self.dropped(Fault::FlowTimeGradientDropped, d.weight, &mut nowhere);
        self.cpu.flow_hidden_grad(op, dy, FlowHiddenGrad { x: d.x, weight });
    }
    fn squared_error(&mut self, op: SquaredError<Tensor<F>>, losses: &mut Tensor<F>, dx: &mut Tensor<F>) {
        let elements = op.x.shape().count() as f64;
        self.cpu.squared_error(op, losses, dx);
        if self.has(Fault::FlowNotAveraged) {
            *dx = map(dx, |d| d * elements);
        }
    }
    fn add(&mut self, x: &Tensor<F>, y: &mut Tensor<F>) {
        if self.has(Fault::SumOverwrites) {
            clear(y);
        }
        self.cpu.add(x, y);
    }
    fn sum_squares<'a>(&mut self, of: impl Iterator<Item = &'a Tensor<F>>, total: &mut Tensor<F>) {
        self.cpu.sum_squares(of, total);
    }
    fn adamw<'a>(&mut self, mut op: AdamW<Tensor<F>>, leaves: impl Iterator<Item = AdamWLeaf<'a, Tensor<F>>>) {
        if self.has(Fault::ClippingForgotten) {
            op.clip = 0.0;
        }
        let schedule = if self.has(Fault::MomentsNotCorrected) { uncorrected(op.schedule) } else { op.schedule.clone() };
        for leaf in leaves {
            let decay = if self.has(Fault::WeightDecayForgotten) { 0.0 } else { leaf.decay };
            let mut nowhere = lost(leaf.ema);
            let ema = self.dropped(Fault::AverageStands, leaf.ema, &mut nowhere);
            self.cpu.adamw(AdamW { schedule: &schedule, ..op }, [AdamWLeaf { ema, decay, ..leaf }].into_iter());
        }
    }
    fn muon<'a>(&mut self, mut op: Muon<Tensor<F>>, leaves: impl Iterator<Item = MuonLeaf<'a, Tensor<F>>>) {
        if self.has(Fault::ClippingForgotten) {
            op.clip = 0.0;
        }
        if self.has(Fault::NewtonSchulzStepDropped) {
            op.steps -= 1;
        }
        for leaf in leaves {
            let decay = if self.has(Fault::WeightDecayForgotten) { 0.0 } else { leaf.decay };
            let (rows, columns) = (leaf.weight.shape().rows(), leaf.weight.shape().width());
            let whole = [Rectangle { row: 0, rows, column: 0, columns }];
            let parts = if self.has(Fault::PackedMatricesOrthogonalisedAsOne) { &whole } else { leaf.parts };
            let mut nowhere = lost(leaf.momentum);
            let momentum = self.dropped(Fault::MomentumForgotten, leaf.momentum, &mut nowhere);
            self.cpu.muon(Muon { ..op }, [MuonLeaf { momentum, decay, parts, ..leaf }].into_iter());
        }
    }
}
