//! Implements [`Backward`]: method `x_grad` calls `x::backward` of the file `x.rs`.

use crate::{
    Cpu, Indices, Tensor, adamw, add, attend, average, conv, cross_entropy, dropout, embed, episodic, flow_hidden, flow_point, gate,
    hebbian, matmul, mix, muon, norm, pool, positions, random, recall, scan, squared_error, sum_squares, swiglu,
};
use hh_core::{backend::Backward, ops::*};

/// Implemented for each type by name, not for every `F: Float`: the kernels are compiled once in this crate, not in each
/// crate that calls them.
macro_rules! rung {
    ($($F:ty)*) => {$(
        impl Backward for Cpu<$F> {
            fn embed_grad(&mut self, op: Embed<Tensor<$F>, Indices>, dy: &Tensor<$F>, d_table: &mut Tensor<$F>) {
                embed::backward(self, op, dy, d_table);
            }
            fn positions_grad(&mut self, op: Positions<Tensor<$F>, Indices>, dy: &Tensor<$F>, d_table: &mut Tensor<$F>) {
                positions::backward(self, op, dy, d_table);
            }
            fn matmul_grad(&mut self, op: Matmul<Tensor<$F>>, dy: &Tensor<$F>, d: MatmulGrad<Tensor<$F>>) {
                matmul::backward(self, op, dy, d);
            }
            fn norm_grad(&mut self, op: Norm<Tensor<$F>>, dy: &Tensor<$F>, residual: Option<&Tensor<$F>>, d: NormGrad<Tensor<$F>>) {
                norm::backward(self, op, dy, residual, d);
            }
            fn conv_grad(&mut self, op: Conv<Tensor<$F>>, dy: &Tensor<$F>, d: ConvGrad<Tensor<$F>>) {
                conv::backward(self, op, dy, d);
            }
            fn scan_grad(&mut self, op: Scan<Tensor<$F>>, saved: &Tensor<$F>, dy: Columns<Tensor<$F>>, d: ScanGrad<Tensor<$F>>) {
                scan::backward(self, op, saved, dy, d);
            }
            fn attend_grad(
                &mut self,
                op: Attend<Tensor<$F>>,
                y: Columns<Tensor<$F>>,
                saved: &Tensor<$F>,
                dy: Columns<Tensor<$F>>,
                d: ColumnsMut<Tensor<$F>>,
            ) {
                attend::backward(self, op, y, saved, dy, d);
            }
            fn recall_grad(&mut self, op: Recall<Tensor<$F>>, saved: &RecallSaved<Tensor<$F>>, dy: Columns<Tensor<$F>>, d: RecallGrad<Tensor<$F>>) {
                recall::backward(self, op, saved, dy, d);
            }
            fn hebbian_grad(&mut self, op: Hebbian<Tensor<$F>>, dy: Columns<Tensor<$F>>, d: HebbianGrad<Tensor<$F>>) {
                hebbian::backward(self, op, dy, d);
            }
            fn gate_grad(&mut self, op: Gate<Tensor<$F>>, gates: &Tensor<$F>, dy: &Tensor<$F>, d: GateGrad<Tensor<$F>>) {
                gate::backward(self, op, gates, dy, d);
            }
            fn mix_grad(&mut self, op: Mix<Tensor<$F>>, dy: &Tensor<$F>, d: MixGrad<Tensor<$F>>) {
                mix::backward(self, op, dy, d);
            }
            fn swiglu_grad(&mut self, op: Swiglu<Tensor<$F>>, dy: &Tensor<$F>, dx: &mut Tensor<$F>) {
                swiglu::backward(self, op, dy, dx);
            }
            fn pool_grad(&mut self, op: Pool<Tensor<$F>>, y: &Tensor<$F>, dy: &Tensor<$F>, d: PoolGrad<Tensor<$F>>) {
                pool::backward(self, op, y, dy, d);
            }
            fn average_grad(&mut self, op: Average<Tensor<$F>>, dy: &Tensor<$F>, dx: &mut Tensor<$F>) {
                average::backward(self, op, dy, dx);
            }
            fn episodic_grad(
                &mut self,
                op: Episodic<Tensor<$F>, Indices>,
                keys: &Tensor<$F>,
                d_mixture: &Tensor<$F>,
                d: EpisodicGrad<Tensor<$F>>,
            ) {
                episodic::backward(self, op, keys, d_mixture, d);
            }
            fn cross_entropy_grad(
                &mut self,
                op: CrossEntropy<Tensor<$F>, Indices>,
                scratch: &mut Tensor<$F>,
                losses: &mut Tensor<$F>,
                d: CrossEntropyGrad<Tensor<$F>>,
            ) {
                cross_entropy::backward(self, op, scratch, losses, d);
            }
            fn dropout_grad(&mut self, op: Dropout<Tensor<$F>, Indices>, dy: &Tensor<$F>, dx: &mut Tensor<$F>) {
                dropout::backward(self, op, dy, dx);
            }
            fn normal(&mut self, draw: Draw<Indices>, y: &mut Tensor<$F>) {
                random::normal(self, draw, y);
            }
            fn uniform(&mut self, draw: Draw<Indices>, y: &mut Tensor<$F>) {
                random::uniform(self, draw, y);
            }
            fn flow_point(&mut self, op: FlowPoint<Tensor<$F>, Indices>, point: &mut Tensor<$F>, velocity: &mut Tensor<$F>) {
                flow_point::forward(self, op, point, velocity);
            }
            fn flow_hidden(&mut self, op: FlowHidden<Tensor<$F>>, y: &mut Tensor<$F>) {
                flow_hidden::forward(self, op, y);
            }
            fn flow_hidden_grad(&mut self, op: FlowHidden<Tensor<$F>>, dy: &Tensor<$F>, d: FlowHiddenGrad<Tensor<$F>>) {
                flow_hidden::backward(self, op, dy, d);
            }
            fn squared_error(&mut self, op: SquaredError<Tensor<$F>>, losses: &mut Tensor<$F>, dx: &mut Tensor<$F>) {
                squared_error::forward(self, op, losses, dx);
            }
            fn add(&mut self, x: &Tensor<$F>, y: &mut Tensor<$F>) {
                add::forward(self, x, y);
            }
            fn sum_squares<'a>(&mut self, of: impl Iterator<Item = &'a Tensor<$F>>, total: &mut Tensor<$F>) {
                sum_squares::forward(self, of, total);
            }
            fn adamw<'a>(&mut self, op: AdamW<Tensor<$F>>, leaves: impl Iterator<Item = AdamWLeaf<'a, Tensor<$F>>>) {
                leaves.for_each(|leaf| adamw::forward(self, &op, leaf));
            }
            fn muon<'a>(&mut self, op: Muon<Tensor<$F>>, leaves: impl Iterator<Item = MuonLeaf<'a, Tensor<$F>>>) {
                muon::forward(self, &op, leaves);
            }
        }
    )*};
}

rung!(f32);
#[cfg(any(test, feature = "f64"))]
rung!(f64);
