//! Implements [`Forward`]: method `x` calls `x::forward` of the file `x.rs`.

use crate::{
    Cpu, Indices, Tensor, attend, average, conv, cross_entropy, dropout, embed, episodic, gate, hebbian, last, matmul, mix, norm, pool,
    positions, recall, rotate, scan, swiglu,
};
use hh_core::{backend::Forward, ops::*};

/// Implemented for each type by name, not for every `F: Float`: the kernels are compiled once in this crate, not in each
/// crate that calls them.
macro_rules! rung {
    ($($F:ty)*) => {$(
        impl Forward for Cpu<$F> {
            type Recording = ();

            fn embed(&mut self, op: Embed<Tensor<$F>, Indices>, y: &mut Tensor<$F>) {
                embed::forward(self, op, y);
            }
            fn positions(&mut self, op: Positions<Tensor<$F>, Indices>, y: &mut Tensor<$F>) {
                positions::forward(self, op, y);
            }
            fn matmul(&mut self, op: Matmul<Tensor<$F>>, y: &mut Tensor<$F>) {
                matmul::forward(self, op, y);
            }
            fn norm(&mut self, op: Norm<Tensor<$F>>, y: &mut Tensor<$F>) {
                norm::forward(self, op, y);
            }
            fn conv(&mut self, op: Conv<Tensor<$F>>, state: Option<&mut Tensor<$F>>, y: &mut Tensor<$F>) {
                conv::forward(self, op, state, y);
            }
            fn scan(&mut self, op: Scan<Tensor<$F>>, state: Option<&mut Tensor<$F>>, saved: Option<&mut Tensor<$F>>, y: ColumnsMut<Tensor<$F>>) {
                scan::forward(self, op, state, saved, y);
            }
            fn rotate(&mut self, op: Rotate<Indices>, x: ColumnsMut<Tensor<$F>>) {
                rotate::forward(self, op, x);
            }
            fn attend(
                &mut self,
                op: Attend<Tensor<$F>>,
                ring: Option<Ring<Tensor<$F>, Indices>>,
                saved: Option<&mut Tensor<$F>>,
                y: ColumnsMut<Tensor<$F>>,
            ) {
                attend::forward(self, op, ring, saved, y);
            }
            fn recall(
                &mut self,
                op: Recall<Tensor<$F>>,
                state: Option<RecallState<Tensor<$F>, Indices>>,
                saved: Option<&mut RecallSaved<Tensor<$F>>>,
                y: ColumnsMut<Tensor<$F>>,
            ) {
                recall::forward(self, op, state, saved, y);
            }
            fn hebbian(&mut self, op: Hebbian<Tensor<$F>>, state: Option<HebbianState<Tensor<$F>>>, y: ColumnsMut<Tensor<$F>>) {
                hebbian::forward(self, op, state, y);
            }
            fn gate(&mut self, op: Gate<Tensor<$F>>, gates: &mut Tensor<$F>) {
                gate::forward(self, op, gates);
            }
            fn mix(&mut self, op: Mix<Tensor<$F>>, y: &mut Tensor<$F>) {
                mix::forward(self, op, y);
            }
            fn dropout(&mut self, op: Dropout<Tensor<$F>, Indices>, y: &mut Tensor<$F>) {
                dropout::forward(self, op, y);
            }
            fn swiglu(&mut self, op: Swiglu<Tensor<$F>>, y: &mut Tensor<$F>) {
                swiglu::forward(self, op, y);
            }
            fn pool(&mut self, op: Pool<Tensor<$F>>, state: Option<&mut Tensor<$F>>, y: &mut Tensor<$F>) {
                pool::forward(self, op, state, y);
            }
            fn last(&mut self, x: &Tensor<$F>, y: &mut Tensor<$F>) {
                last::forward(self, x, y);
            }
            fn average(&mut self, op: Average<Tensor<$F>>, y: &mut Tensor<$F>) {
                average::forward(self, op, y);
            }
            fn episodic_store(&mut self, op: EpisodicStore<Tensor<$F>, Indices>, keys: &mut Tensor<$F>, tokens: &mut Tensor<$F>) {
                episodic::store(self, op, keys, tokens);
            }
            fn episodic(&mut self, op: Episodic<Tensor<$F>, Indices>, mixture: &mut Tensor<$F>) {
                episodic::forward(self, op, mixture);
            }
            fn episodic_log_probs(
                &mut self,
                op: EpisodicLogProbs<Tensor<$F>, Indices>,
                weights: &mut Tensor<$F>,
                logits: &mut Tensor<$F>,
            ) {
                episodic::log_probs(self, op, weights, logits);
            }
            fn cross_entropy(&mut self, op: CrossEntropy<Tensor<$F>, Indices>, scratch: &mut Tensor<$F>, losses: &mut Tensor<$F>) {
                cross_entropy::forward(self, op, scratch, losses);
            }
            fn advance(&mut self, by: u32, clock: &mut Indices) {
                clock.data_mut().iter_mut().for_each(|c| *c = c.wrapping_add(by));
            }
        }
    )*};
}

rung!(f32);
#[cfg(any(test, feature = "f64"))]
rung!(f64);
