//! Implements [`Forward`]: method `x` calls `x::forward` of the file `x.rs`, or a function of a shared file.

use crate::{
    Cuda, Indices, Recording, Tensor, attend, conv, cross_entropy, embed, episodic, gate, hebbian,
    launch::{LaunchDims, Variant},
    matmul, mix, norm, pool, random, recall, recording, rotate, scan, swiglu,
};
use hh_core::{backend::Forward, ops::*};

impl Forward for Cuda {
    type Recording = Recording;

    fn repeat(&mut self, recording: &mut Recording, work: impl FnOnce(&mut Self)) {
        recording::repeat(self, recording, work);
    }
    fn embed(&mut self, op: Embed<Tensor, Indices>, y: &mut Tensor) {
        embed::forward(self, op, y);
    }
    fn positions(&mut self, op: Positions<Tensor, Indices>, y: &mut Tensor) {
        embed::positions(self, op, y);
    }
    fn matmul(&mut self, op: Matmul<Tensor>, y: &mut Tensor) {
        matmul::forward(self, op, y);
    }
    fn norm(&mut self, op: Norm<Tensor>, y: &mut Tensor) {
        norm::forward(self, op, y);
    }
    fn conv(&mut self, op: Conv<Tensor>, state: Option<&mut Tensor>, y: &mut Tensor) {
        conv::forward(self, op, state, y);
    }
    fn scan(&mut self, op: Scan<Tensor>, state: Option<&mut Tensor>, saved: Option<&mut Tensor>, y: ColumnsMut<Tensor>) {
        scan::forward(self, op, state, saved, y);
    }
    fn rotate(&mut self, op: Rotate<Indices>, x: ColumnsMut<Tensor>) {
        rotate::forward(self, op, x);
    }
    fn attend(&mut self, op: Attend<Tensor>, ring: Option<Ring<Tensor, Indices>>, saved: Option<&mut Tensor>, y: ColumnsMut<Tensor>) {
        attend::forward(self, op, ring, saved, y);
    }
    fn recall(
        &mut self,
        op: Recall<Tensor>,
        state: Option<RecallState<Tensor, Indices>>,
        saved: Option<&mut RecallSaved<Tensor>>,
        y: ColumnsMut<Tensor>,
    ) {
        recall::forward(self, op, state, saved, y);
    }
    fn hebbian(&mut self, op: Hebbian<Tensor>, state: Option<HebbianState<Tensor>>, y: ColumnsMut<Tensor>) {
        hebbian::forward(self, op, state, y);
    }
    fn gate(&mut self, op: Gate<Tensor>, gates: &mut Tensor) {
        gate::forward(self, op, gates);
    }
    fn mix(&mut self, op: Mix<Tensor>, y: &mut Tensor) {
        mix::forward(self, op, y);
    }
    fn dropout(&mut self, op: Dropout<Tensor, Indices>, y: &mut Tensor) {
        random::dropout(self, op, y);
    }
    fn swiglu(&mut self, op: Swiglu<Tensor>, y: &mut Tensor) {
        swiglu::forward(self, op, y);
    }
    fn pool(&mut self, op: Pool<Tensor>, state: Option<&mut Tensor>, y: &mut Tensor) {
        pool::forward(self, op, state, y);
    }
    fn last(&mut self, x: &Tensor, y: &mut Tensor) {
        embed::last(self, x, y);
    }
    fn average(&mut self, op: Average<Tensor>, y: &mut Tensor) {
        embed::average(self, op, y);
    }
    fn episodic_store(&mut self, op: EpisodicStore<Tensor, Indices>, keys: &mut Tensor, tokens: &mut Tensor) {
        episodic::store(self, op, keys, tokens);
    }
    fn episodic(&mut self, op: Episodic<Tensor, Indices>, mixture: &mut Tensor) {
        episodic::forward(self, op, mixture);
    }
    fn episodic_log_probs(&mut self, op: EpisodicLogProbs<Tensor, Indices>, weights: &mut Tensor, logits: &mut Tensor) {
        episodic::log_probs(self, op, weights, logits);
    }
    fn cross_entropy(&mut self, op: CrossEntropy<Tensor, Indices>, scratch: &mut Tensor, losses: &mut Tensor) {
        cross_entropy::forward(self, op, scratch, losses);
    }
    fn advance(&mut self, by: u32, clock: &mut Indices) {
        let one = LaunchDims { grid: [1, 1, 1], threads: 32, shared: 0 };
        self.run("memory", "advance", Variant::Plain, one, &[clock.address().into(), by.into()]);
    }
}
