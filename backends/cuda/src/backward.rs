//! Implements [`Backward`]: method `x_grad` calls `x::backward` of the file `x.rs`, or a function of a shared file.

use crate::{
    Cuda, Indices, Tensor, add, attend, conv, cross_entropy, embed, episodic, flow, gate, hebbian, matmul, mix, muon, norm, optimise, pool,
    random, recall, scan, swiglu,
};
use hh_core::{backend::Backward, ops::*};

impl Backward for Cuda {
    fn embed_grad(&mut self, op: Embed<Tensor, Indices>, dy: &Tensor, d_table: &mut Tensor) {
        embed::backward(self, op, dy, d_table);
    }
    fn positions_grad(&mut self, op: Positions<Tensor, Indices>, dy: &Tensor, d_table: &mut Tensor) {
        embed::positions_grad(self, op, dy, d_table);
    }
    fn matmul_grad(&mut self, op: Matmul<Tensor>, dy: &Tensor, d: MatmulGrad<Tensor>) {
        matmul::backward(self, op, dy, d);
    }
    fn norm_grad(&mut self, op: Norm<Tensor>, dy: &Tensor, residual: Option<&Tensor>, d: NormGrad<Tensor>) {
        norm::backward(self, op, dy, residual, d);
    }
    fn conv_grad(&mut self, op: Conv<Tensor>, dy: &Tensor, d: ConvGrad<Tensor>) {
        conv::backward(self, op, dy, d);
    }
    fn scan_grad(&mut self, op: Scan<Tensor>, saved: &Tensor, dy: Columns<Tensor>, d: ScanGrad<Tensor>) {
        scan::backward(self, op, saved, dy, d);
    }
    fn attend_grad(&mut self, op: Attend<Tensor>, y: Columns<Tensor>, saved: &Tensor, dy: Columns<Tensor>, d: ColumnsMut<Tensor>) {
        attend::backward(self, op, y, saved, dy, d);
    }
    fn recall_grad(&mut self, op: Recall<Tensor>, saved: &RecallSaved<Tensor>, dy: Columns<Tensor>, d: RecallGrad<Tensor>) {
        recall::backward(self, op, saved, dy, d);
    }
    fn hebbian_grad(&mut self, op: Hebbian<Tensor>, dy: Columns<Tensor>, d: HebbianGrad<Tensor>) {
        hebbian::backward(self, op, dy, d);
    }
    fn gate_grad(&mut self, op: Gate<Tensor>, gates: &Tensor, dy: &Tensor, d: GateGrad<Tensor>) {
        gate::backward(self, op, gates, dy, d);
    }
    fn mix_grad(&mut self, op: Mix<Tensor>, dy: &Tensor, d: MixGrad<Tensor>) {
        mix::backward(self, op, dy, d);
    }
    fn swiglu_grad(&mut self, op: Swiglu<Tensor>, dy: &Tensor, dx: &mut Tensor) {
        swiglu::backward(self, op, dy, dx);
    }
    fn pool_grad(&mut self, op: Pool<Tensor>, y: &Tensor, dy: &Tensor, d: PoolGrad<Tensor>) {
        pool::backward(self, op, y, dy, d);
    }
    fn average_grad(&mut self, op: Average<Tensor>, dy: &Tensor, dx: &mut Tensor) {
        embed::average_grad(self, op, dy, dx);
    }
    fn episodic_grad(&mut self, op: Episodic<Tensor, Indices>, keys: &Tensor, d_mixture: &Tensor, d: EpisodicGrad<Tensor>) {
        episodic::backward(self, op, keys, d_mixture, d);
    }
    fn cross_entropy_grad(
        &mut self,
        op: CrossEntropy<Tensor, Indices>,
        scratch: &mut Tensor,
        losses: &mut Tensor,
        d: CrossEntropyGrad<Tensor>,
    ) {
        cross_entropy::backward(self, op, scratch, losses, d);
    }
    fn dropout_grad(&mut self, op: Dropout<Tensor, Indices>, dy: &Tensor, dx: &mut Tensor) {
        random::dropout_grad(self, op, dy, dx);
    }
    fn normal(&mut self, draw: Draw<Indices>, y: &mut Tensor) {
        random::draw(self, "normal", draw, y);
    }
    fn uniform(&mut self, draw: Draw<Indices>, y: &mut Tensor) {
        random::draw(self, "uniform", draw, y);
    }
    fn flow_point(&mut self, op: FlowPoint<Tensor, Indices>, point: &mut Tensor, velocity: &mut Tensor) {
        flow::point(self, op, point, velocity);
    }
    fn flow_hidden(&mut self, op: FlowHidden<Tensor>, y: &mut Tensor) {
        flow::hidden(self, op, y);
    }
    fn flow_hidden_grad(&mut self, op: FlowHidden<Tensor>, dy: &Tensor, d: FlowHiddenGrad<Tensor>) {
        flow::hidden_grad(self, op, dy, d);
    }
    fn squared_error(&mut self, op: SquaredError<Tensor>, losses: &mut Tensor, dx: &mut Tensor) {
        flow::squared_error(self, op, losses, dx);
    }
    fn add(&mut self, x: &Tensor, y: &mut Tensor) {
        add::forward(self, x, y);
    }
    fn sum_squares<'a>(&mut self, of: impl Iterator<Item = &'a Tensor>, total: &mut Tensor) {
        optimise::sum_squares(self, of, total);
    }
    fn adamw<'a>(&mut self, op: AdamW<Tensor>, leaves: impl Iterator<Item = AdamWLeaf<'a, Tensor>>) {
        optimise::adamw(self, op, leaves);
    }
    fn muon<'a>(&mut self, op: Muon<Tensor>, leaves: impl Iterator<Item = MuonLeaf<'a, Tensor>>) {
        muon::muon(self, op, leaves);
    }
}
