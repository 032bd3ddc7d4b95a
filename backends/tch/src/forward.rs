//! Implements [`Forward`]: method `x` calls `x::forward` of the file `x.rs`.

use crate::{
    Indices, Tch, Tensor, attend, average, conv, cross_entropy, dropout, embed, episodic, gate, hebbian, matmul, mix, norm, pool,
    positions, recall, rotate, scan, swiglu,
};
use hh_core::{backend::Forward, ops::*};

impl Forward for Tch {
    type Recording = ();

    fn embed(&mut self, op: Embed<Tensor, Indices>, y: &mut Tensor) {
        embed::forward(self, op, y);
    }
    fn positions(&mut self, op: Positions<Tensor, Indices>, y: &mut Tensor) {
        positions::forward(self, op, y);
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
        _: Option<&mut RecallSaved<Tensor>>,
        y: ColumnsMut<Tensor>,
    ) {
        recall::forward(self, op, state, y);
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
        dropout::forward(self, op, y);
    }
    fn swiglu(&mut self, op: Swiglu<Tensor>, y: &mut Tensor) {
        swiglu::forward(self, op, y);
    }
    fn pool(&mut self, op: Pool<Tensor>, state: Option<&mut Tensor>, y: &mut Tensor) {
        pool::forward(self, op, state, y);
    }
    fn last(&mut self, x: &Tensor, y: &mut Tensor) {
        let [batch, time, width] = x.shape.extents();
        assert!(time > 0 && y.shape.extents() == [batch, 1, width], "last: {} into {}", x.shape, y.shape);
        self.copy_to(&x.value().part(1, time - 1, 1), &y.value());
    }
    fn average(&mut self, op: Average<Tensor>, y: &mut Tensor) {
        average::forward(self, op, y);
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
        self.change(|| clock.inner.f_add_scalar_(i64::from(by))?.f_bitwise_and_(i64::from(u32::MAX)).map(drop));
    }
}
