//! Implements [`Backward`]: method `x_grad` calls `x::backward` of the file `x.rs`. Saved activations are unused, since
//! [`replay`](crate::replay::replay) recomputes them.

use crate::{
    Indices, Tch, Tensor, adamw, attend, average, conv, cross_entropy, draw, dropout, embed, episodic, flow, gate, hebbian, matmul, mix,
    muon, norm, pool, positions, recall, scan, squared_error, swiglu,
};
use hh_core::{backend::Backward, ops::*, shape::Shaped};

impl Backward for Tch {
    fn embed_grad(&mut self, op: Embed<Tensor, Indices>, dy: &Tensor, d_table: &mut Tensor) {
        embed::backward(self, op, dy, d_table);
    }
    fn positions_grad(&mut self, op: Positions<Tensor, Indices>, dy: &Tensor, d_table: &mut Tensor) {
        positions::backward(self, op, dy, d_table);
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
    fn scan_grad(&mut self, op: Scan<Tensor>, _: &Tensor, dy: Columns<Tensor>, d: ScanGrad<Tensor>) {
        scan::backward(self, op, dy, d);
    }
    fn attend_grad(&mut self, op: Attend<Tensor>, _: Columns<Tensor>, _: &Tensor, dy: Columns<Tensor>, d: ColumnsMut<Tensor>) {
        attend::backward(self, op, dy, d);
    }
    fn recall_grad(&mut self, op: Recall<Tensor>, _: &RecallSaved<Tensor>, dy: Columns<Tensor>, d: RecallGrad<Tensor>) {
        recall::backward(self, op, dy, d);
    }
    fn hebbian_grad(&mut self, op: Hebbian<Tensor>, dy: Columns<Tensor>, d: HebbianGrad<Tensor>) {
        hebbian::backward(self, op, dy, d);
    }
    fn gate_grad(&mut self, op: Gate<Tensor>, _: &Tensor, dy: &Tensor, d: GateGrad<Tensor>) {
        gate::backward(self, op, dy, d);
    }
    fn mix_grad(&mut self, op: Mix<Tensor>, dy: &Tensor, d: MixGrad<Tensor>) {
        mix::backward(self, op, dy, d);
    }
    fn swiglu_grad(&mut self, op: Swiglu<Tensor>, dy: &Tensor, dx: &mut Tensor) {
        swiglu::backward(self, op, dy, dx);
    }
    fn pool_grad(&mut self, op: Pool<Tensor>, _: &Tensor, dy: &Tensor, d: PoolGrad<Tensor>) {
        pool::backward(self, op, dy, d);
    }
    fn average_grad(&mut self, op: Average<Tensor>, dy: &Tensor, dx: &mut Tensor) {
        average::backward(self, op, dy, dx);
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
        dropout::backward(self, op, dy, dx);
    }
    fn normal(&mut self, draw: Draw<Indices>, y: &mut Tensor) {
        let numbers = draw::normal(self, draw, y.shape().count());
        self.put(&numbers, y);
    }
    fn uniform(&mut self, draw: Draw<Indices>, y: &mut Tensor) {
        let numbers = draw::uniform(self, draw, y.shape().count());
        self.put(&numbers, y);
    }
    fn flow_point(&mut self, op: FlowPoint<Tensor, Indices>, point: &mut Tensor, velocity: &mut Tensor) {
        flow::point(self, op, point, velocity);
    }
    fn flow_hidden(&mut self, op: FlowHidden<Tensor>, y: &mut Tensor) {
        flow::hidden(self, op, y);
    }
    fn flow_hidden_grad(&mut self, op: FlowHidden<Tensor>, dy: &Tensor, d: FlowHiddenGrad<Tensor>) {
        flow::hidden_backward(self, op, dy, d);
    }
    fn squared_error(&mut self, op: SquaredError<Tensor>, losses: &mut Tensor, dx: &mut Tensor) {
        squared_error::forward(self, op, losses, dx);
    }
    fn add(&mut self, x: &Tensor, y: &mut Tensor) {
        assert_eq!(x.shape, y.shape, "add: tensors of different shapes");
        self.change(|| y.inner.f_add_(&x.inner).map(drop));
    }
    fn sum_squares<'a>(&mut self, of: impl Iterator<Item = &'a Tensor>, total: &mut Tensor) {
        adamw::sum_squares(self, of, total);
    }
    fn adamw<'a>(&mut self, op: AdamW<Tensor>, leaves: impl Iterator<Item = AdamWLeaf<'a, Tensor>>) {
        leaves.for_each(|leaf| adamw::apply(self, &op, leaf));
    }
    fn muon<'a>(&mut self, op: Muon<Tensor>, leaves: impl Iterator<Item = MuonLeaf<'a, Tensor>>) {
        leaves.for_each(|leaf| muon::apply(self, &op, leaf));
    }
}
