//! The episodic memory: matrix products of a sequence's keys with its ring, in f32, and a softmax over the items that each position
//! sees.

use crate::{
    Cuda, Indices, Tensor,
    launch::{Arg, LaunchDims, Product, Variant},
    sums::Partials,
    tensor::{Mat, aligned},
};
use hh_core::{
    ops::{Episodic, EpisodicDims, EpisodicGrad, EpisodicLogProbs, EpisodicStore},
    shape::Shaped,
};

/// Threads per block, as in episodic.cu.
const THREADS: usize = 128;

fn run(b: &mut Cuda, name: &'static str, launch_dims: LaunchDims, args: &[Arg]) {
    b.run("episodic", name, Variant::Plain, launch_dims, args);
}

fn clock_of(clock: Option<&Indices>) -> Arg {
    clock.map_or(0, Indices::address).into()
}

/// A window as kernels take it: 0 means all.
fn window_of(d: &EpisodicDims) -> Arg {
    if d.window == usize::MAX { 0usize } else { d.window }.into()
}

pub(crate) fn store(b: &mut Cuda, op: EpisodicStore<Tensor, Indices>, keys: &mut Tensor, tokens: &mut Tensor) {
    let d = op.dims(keys.shape(), tokens.shape());
    let [batch, time, width, rows] = [d.batch, d.time, d.width, d.rows].map(Arg::from);
    let (from, ids, clock) = (op.keys.mat().into(), op.tokens.address().into(), clock_of(op.clock));
    let args = [from, ids, clock, batch, time, width, rows, keys.mat().into(), tokens.flat().into()];
    run(b, "episodic_store", LaunchDims::warps(d.batch * d.time), &args);
}

/// One sequence: its keys, and their products with all rows of its ring.
struct Products {
    /// `[time, m]`
    queries: Mat,
    /// `[R, m]`
    ring: Mat,
    /// `[time, R]`
    products: Mat,
}

impl Products {
    fn new(b: &mut Cuda, ring: Mat, clock: &Arg, shift: usize, d: &EpisodicDims, products: Mat) -> Self {
        let queries = b.take_full(d.time, d.width);
        let [shift, time, width, rows] = [shift, d.time, d.width, d.rows].map(Arg::from);
        let args = [ring.into(), *clock, shift, time, width, rows, queries.into()];
        run(b, "episodic_gather", LaunchDims::threads(d.time * d.width, 256), &args);
        b.product(&Product { transpose_b: true, ..Self::product([d.time, d.rows, d.width], queries, ring, products) });
        Self { queries, ring, products }
    }

    fn product([rows, columns, inner]: [usize; 3], a: Mat, b: Mat, to: Mat) -> Product {
        Product { rows, columns, inner, a, transpose_a: false, b, transpose_b: false, bias: None, add: None, to }
    }

    /// Of sequence `sequence` of a chunk.
    fn of(b: &mut Cuda, op: &Episodic<Tensor, Indices>, d: &EpisodicDims, sequence: usize) -> Self {
        let stride = aligned(d.rows);
        let products = b.take_full(d.time, stride);
        let ring = op.items.keys.mat().rows_from(sequence * d.rows);
        Self::new(b, ring, &clock_of(op.clock), 0, d, products)
    }

    /// What the kernels over rows of a sequence have in common.
    fn args(&self, op: &Episodic<Tensor, Indices>, d: &EpisodicDims, sequence: usize) -> Vec<Arg> {
        let first = sequence * d.time;
        let tokens = op.items.tokens.mat().rows_from(sequence);
        let gate = op.gate.mat().rows_from(first);
        let targets = op.targets.address() + 4 * first as u64;
        let parameters = [op.log_beta.flat(), op.match_weight.flat()].map(Arg::from);
        let [log_beta, match_weight] = parameters;
        let (time, rows) = (d.time.into(), d.rows.into());
        vec![
            self.products.into(),
            tokens.into(),
            gate.into(),
            log_beta,
            match_weight,
            targets.into(),
            clock_of(op.clock),
            time,
            rows,
            window_of(d),
        ]
    }
}

pub(crate) fn forward(b: &mut Cuda, op: Episodic<Tensor, Indices>, mixture: &mut Tensor) {
    let d = op.dims(mixture.shape());
    for sequence in 0..d.batch {
        b.reset_scratch();
        let mut args = Products::of(b, &op, &d, sequence).args(&op, &d, sequence);
        args.push(mixture.mat().rows_from(sequence * d.time).into());
        run(b, "episodic_rows", LaunchDims { grid: [d.time, 1, 1], threads: THREADS, shared: 0 }, &args);
    }
}

pub(crate) fn backward(b: &mut Cuda, op: Episodic<Tensor, Indices>, keys: &Tensor, d_mixture: &Tensor, to: EpisodicGrad<Tensor>) {
    let d = op.dims(d_mixture.shape());
    assert!(to.keys.shape() == keys.shape() && keys.shape().extents() == [d.batch, d.time, d.width], "episodic: keys {}", keys.shape());
    for sequence in 0..d.batch {
        b.reset_scratch();
        let (first, of) = (sequence * d.time, Products::of(b, &op, &d, sequence));
        let partial = b.take_full(d.time, 2);
        let [mixture, gate] = [d_mixture.mat(), to.gate.mat()].map(|mat| mat.rows_from(first));
        let mut args = of.args(&op, &d, sequence);
        args.extend([mixture, gate, partial].map(Arg::from));
        run(b, "episodic_rows_backward", LaunchDims { grid: [d.time, 1, 1], threads: THREADS, shared: 0 }, &args);
        let partials = Partials::at(partial.address, d.time, 2);
        partials.add_to(b, 0, 1, to.log_beta.flat());
        partials.add_to(b, 1, 1, to.match_weight.flat());

        let (as_queries, as_items) = (b.take_full(d.time, d.width), b.take_full(d.rows, d.width));
        b.product(&Products::product([d.time, d.width, d.rows], of.products, of.ring, as_queries));
        b.product(&Product { transpose_a: true, ..Products::product([d.rows, d.width, d.time], of.products, of.queries, as_items) });
        let [keys, d_keys] = [keys.mat(), to.keys.mat()].map(|mat| mat.rows_from(first));
        let [time, width, rows] = [d.time, d.width, d.rows].map(Arg::from);
        let args = [keys.into(), as_queries.into(), as_items.into(), clock_of(op.clock), time, width, rows, d_keys.into()];
        run(b, "episodic_keys_backward", LaunchDims::warps(d.time), &args);
    }
}

pub(crate) fn log_probs(b: &mut Cuda, op: EpisodicLogProbs<Tensor, Indices>, weights: &mut Tensor, logits: &mut Tensor) {
    let (d, vocab) = op.dims(weights.shape(), logits.shape());
    b.reset_scratch();
    let clock = clock_of(Some(op.clock));
    for sequence in 0..d.batch {
        let ring = op.items.keys.mat().rows_from(sequence * d.rows);
        // The newest position came just before the clock; the ring is as long as whole rounds of it.
        Products::new(b, ring, &clock, d.rows - 1, &d, weights.mat().rows_from(sequence));
    }
    let used = b.take(4 * d.batch);
    let (gate, log_beta, match_weight) = (op.gate.flat(), op.log_beta.flat(), op.match_weight.flat());
    let [rows, vocab] = [d.rows, vocab].map(Arg::from);
    let args = [
        gate.into(),
        log_beta.into(),
        match_weight.into(),
        clock,
        rows,
        window_of(&d),
        vocab,
        weights.mat().into(),
        logits.mat().into(),
        used.into(),
    ];
    run(b, "episodic_weights", LaunchDims { grid: [d.batch, 1, 1], threads: THREADS, shared: 0 }, &args);
    let args = [op.items.tokens.mat().into(), weights.mat().into(), used.into(), rows, logits.mat().into()];
    run(b, "episodic_scatter", LaunchDims { grid: [d.rows, d.batch, 1], threads: THREADS, shared: 0 }, &args);
}
