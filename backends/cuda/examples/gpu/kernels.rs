//! Kernels at training shapes with their floors: those that are compute-bound or take most of a step.

use crate::{
    peer::{Answer, Peer},
    shapes::Shapes,
    table::{Line, Table},
    timing::time,
};
use hh_core::{
    backend::{Backward, Device, Forward, Precision},
    ops::*,
    rng,
    shape::Shape,
};
use hh_cuda::{Cuda, DeviceError, Indices, Tensor};

/// Measured peak rates of the device.
pub(crate) struct Rates {
    /// Bytes per second of a copy, read and written.
    pub(crate) bytes: f64,
    /// Operations per second of a bf16 matrix product.
    pub(crate) operations: f64,
}

impl Rates {
    pub(crate) fn measure(b: &mut Cuda, shapes: &Shapes) -> Result<Self, DeviceError> {
        let ([side, n], min_seconds) = (shapes.rates, shapes.min_seconds);
        let large = Shape::matrix(2 * side, side);
        let (from, mut to) = (b.alloc(large, Precision::Compute)?, b.alloc(large, Precision::Compute)?);
        let bytes = 4.0 * large.count() as f64 / time(b, min_seconds, |b| b.copy(&from, &mut to))?;
        let square = Shape::matrix(n, n);
        let (x, w, mut y) = (numbers(b, square)?, numbers(b, square)?, b.alloc(square, Precision::Compute)?);
        let operations = 2.0 * (n as f64).powi(3) / time(b, min_seconds, |b| b.matmul(Matmul::new(&x, &w), &mut y))?;
        Ok(Self { bytes, operations })
    }

    fn floor(&self, bytes: f64, operations: f64) -> Option<f64> {
        Some((bytes / self.bytes).max(operations / self.operations))
    }
}

/// A random tensor, uniform on [0, 1), in the compute precision.
pub(crate) fn numbers(b: &mut Cuda, shape: Shape) -> Result<Tensor, DeviceError> {
    random(b, shape, Precision::Compute)
}

/// The same in f32: no operand is zero, which would hide what a kernel does with it.
pub(crate) fn full(b: &mut Cuda, shape: Shape) -> Result<Tensor, DeviceError> {
    random(b, shape, Precision::Full)
}

/// A random weight, with its copy in the compute precision.
pub(crate) fn weight(b: &mut Cuda, shape: Shape) -> Result<Tensor, DeviceError> {
    let (values, mut weight) = (full(b, shape)?, b.alloc(shape, Precision::Master)?);
    b.copy(&values, &mut weight);
    Ok(weight)
}

fn random(b: &mut Cuda, shape: Shape, precision: Precision) -> Result<Tensor, DeviceError> {
    let mut t = b.alloc(shape, precision)?;
    let mut key = b.alloc_indices(Shape::vector(4))?;
    b.upload_indices(&[1, 2, 3, 4], &mut key)?;
    b.uniform(Draw { key: &key, site: 1 }, &mut t);
    Ok(t)
}

pub(crate) fn ids(b: &mut Cuda, batch: usize, time: usize, vocab: u32) -> Result<Indices, DeviceError> {
    let mut ids = b.alloc_indices(Shape::matrix(batch, time))?;
    let numbers: Vec<u32> = (0..(batch * time) as u32).map(|i| rng::block([1, 0, 0, 0], 2, i)[0] % vocab).collect();
    b.upload_indices(&numbers, &mut ids)?;
    Ok(ids)
}

/// Receives a line: name, seconds, bytes, operations, and PyTorch's measurement.
pub(crate) type AddLine<'a> = dyn FnMut(String, f64, f64, f64, Option<Answer>) + 'a;

/// An [`AddLine`] that adds to a table.
pub(crate) fn line_to<'a>(rates: &'a Rates, table: &'a mut Table) -> impl FnMut(String, f64, f64, f64, Option<Answer>) + 'a {
    |name, seconds, bytes, operations, answer| {
        let peers = answer.map(|answer| ("", answer)).into_iter().collect();
        table.add(Line { name, seconds, floor: rates.floor(bytes, operations), peers, note: String::new() });
    }
}

/// A measurement and its name: a fault ends it, and the next one begins.
pub(crate) type Measurement = (&'static str, fn(&mut Cuda, &Shapes, &mut Peer, &mut AddLine<'_>) -> Result<(), DeviceError>);

pub(crate) const ALL: [Measurement; 7] = [
    ("head of the preset", |b, s, peer, line| cross_entropy(b, s, s.preset_head, peer, line)),
    ("scan", scan),
    ("norm", norm),
    ("attention", attend),
    ("Hopfield", recall),
    ("classic Hopfield", hebbian),
    ("large head", |b, s, peer, line| cross_entropy(b, s, s.head, peer, line)),
];

fn scan(b: &mut Cuda, s: &Shapes, peer: &mut Peer, line: &mut AddLine<'_>) -> Result<(), DeviceError> {
    let [batch, time_, w] = s.scan;
    let rows = |width| Shape::cube(batch, time_, width);
    let (x, gates, dy) = (numbers(b, rows(w))?, numbers(b, rows(3 * w))?, numbers(b, rows(w))?);
    let (bias, decay, skip) = (full(b, Shape::matrix(2, w))?, full(b, Shape::vector(w))?, full(b, Shape::vector(w))?);
    let (mut y, mut dx, mut d_gates) = (numbers(b, rows(w))?, numbers(b, rows(w))?, numbers(b, rows(3 * w))?);
    let mut saved = b.alloc(rows(w), Precision::Saved)?;
    let (mut d_bias, mut d_decay, mut d_skip) = (full(b, Shape::matrix(2, w))?, full(b, Shape::vector(w))?, full(b, Shape::vector(w))?);
    let op = || Scan { x: &x, gates: Columns::all(&gates), gate_bias: &bias, log_decay: &decay, skip: &skip };
    let n = rows(w).count() as f64;
    let seconds = time(b, s.min_seconds, |b| b.scan(op(), None, Some(&mut saved), ColumnsMut::all(&mut y)))?;
    line(format!("scan ({batch}, {time_}, {w})"), seconds, n * (2.0 * 5.0 + 4.0), 0.0, peer.measure("scan", &s.scan));
    let seconds = time(b, s.min_seconds, |b| {
        let d = ScanGrad {
            x: &mut dx,
            gates: ColumnsMut::all(&mut d_gates),
            gate_bias: &mut d_bias,
            log_decay: &mut d_decay,
            skip: &mut d_skip,
        };
        b.scan_grad(op(), &saved, Columns::all(&dy), d);
    })?;
    line("scan, gradient".into(), seconds, n * (2.0 * 9.0 + 4.0), 0.0, peer.measure("scan_grad", &s.scan));
    Ok(())
}

fn norm(b: &mut Cuda, s: &Shapes, peer: &mut Peer, line: &mut AddLine<'_>) -> Result<(), DeviceError> {
    let [rows, width] = s.norm;
    let shape = Shape::cube(1, rows, width);
    let (x, gain, dy, past) = (numbers(b, shape)?, full(b, Shape::vector(width))?, numbers(b, shape)?, numbers(b, shape)?);
    let (mut y, mut d_gain) = (numbers(b, shape)?, full(b, Shape::vector(width))?);
    let n = shape.count() as f64;
    let op = || Norm { x: &x, gain: &gain, eps: 1e-5 };
    let seconds = time(b, s.min_seconds, |b| b.norm(op(), &mut y))?;
    line(format!("norm ({rows}, {width})"), seconds, n * 4.0, 0.0, peer.measure("norm", &s.norm));
    let seconds = time(b, s.min_seconds, |b| b.norm_grad(op(), &dy, Some(&past), NormGrad { x: &mut y, gain: &mut d_gain }))?;
    line("norm, gradient".into(), seconds, n * 8.0, 0.0, peer.measure("norm_grad", &s.norm));
    Ok(())
}

fn attend(b: &mut Cuda, s: &Shapes, peer: &mut Peer, line: &mut AddLine<'_>) -> Result<(), DeviceError> {
    let [batch, time_, heads, d] = s.lookup;
    let w = heads * d;
    let rows = |width| Shape::cube(batch, time_, width);
    let (qkv, dy) = (numbers(b, rows(3 * w))?, numbers(b, rows(w))?);
    let (mut y, mut d_qkv, mut saved) = (numbers(b, rows(w))?, numbers(b, rows(3 * w))?, b.alloc(rows(heads), Precision::Saved)?);
    let op = || Attend { qkv: Columns::all(&qkv), head_dim: d, window: 0 };
    let (n, pairs) = (rows(w).count() as f64, (batch * heads * time_ * time_ / 2 * d) as f64);
    let seconds = time(b, s.min_seconds, |b| b.attend(op(), None, Some(&mut saved), ColumnsMut::all(&mut y)))?;
    line(format!("attention, head {d}, T {time_}, causal"), seconds, n * 8.0, 4.0 * pairs, peer.measure("attend", &s.lookup));
    let seconds =
        time(b, s.min_seconds, |b| b.attend_grad(op(), Columns::all(&y), &saved, Columns::all(&dy), ColumnsMut::all(&mut d_qkv)))?;
    line("attention, gradient".into(), seconds, n * 16.0, 10.0 * pairs, peer.measure("attend_grad", &s.lookup));
    Ok(())
}

fn recall(b: &mut Cuda, s: &Shapes, peer: &mut Peer, line: &mut AddLine<'_>) -> Result<(), DeviceError> {
    let [batch, time_, heads, d] = s.lookup;
    let (w, k) = (heads * d, s.depth);
    let rows = |width| Shape::cube(batch, time_, width);
    let (qpv, dy, depth, beta) = (numbers(b, rows(3 * w))?, numbers(b, rows(w))?, full(b, rows(k))?, full(b, Shape::vector(heads))?);
    let [reads, moved, log_sum] = [k * w, k * w, k * heads].map(|width| full(b, rows(width)));
    let mut saved = RecallSaved { reads: reads?, moved: moved?, log_sum: log_sum? };
    let (mut y, mut d_qpv, mut d_depth, mut d_beta) =
        (numbers(b, rows(w))?, numbers(b, rows(3 * w))?, full(b, rows(k))?, full(b, Shape::vector(heads))?);
    let op = || Recall { qpv: Columns::all(&qpv), depth: &depth, log_beta: &beta, slots: None, head_dim: d, window: 0, successor: true };
    let (n, pairs) = (rows(w).count() as f64, (batch * heads * time_ * time_ / 2 * d) as f64);
    let seconds = time(b, s.min_seconds, |b| b.recall(op(), None, Some(&mut saved), ColumnsMut::all(&mut y)))?;
    let shape = [batch, time_, heads, d, k];
    let answer = peer.measure("recall", &shape);
    line(format!("Hopfield, K = {k}, head {d}, T {time_}"), seconds, n * 32.0, (6.0 * k as f64 - 2.0) * pairs, answer);
    let seconds = time(b, s.min_seconds, |b| {
        let d = RecallGrad { qpv: ColumnsMut::all(&mut d_qpv), depth: &mut d_depth, log_beta: &mut d_beta, slots: None };
        b.recall_grad(op(), &saved, Columns::all(&dy), d);
    })?;
    line("Hopfield, gradient".into(), seconds, n * 40.0, 2.5 * (6.0 * k as f64 - 2.0) * pairs, peer.measure("recall_grad", &shape));
    Ok(())
}

fn hebbian(b: &mut Cuda, s: &Shapes, peer: &mut Peer, line: &mut AddLine<'_>) -> Result<(), DeviceError> {
    let [batch, time_, heads, d] = s.lookup;
    let (w, k) = (heads * d, s.depth);
    let rows = |width| Shape::cube(batch, time_, width);
    let (qpv, dy, depth) = (numbers(b, rows(3 * w))?, numbers(b, rows(w))?, full(b, rows(k))?);
    let (beta, decay) = (full(b, Shape::vector(heads))?, full(b, Shape::vector(heads))?);
    let (mut y, mut d_qpv, mut d_depth) = (numbers(b, rows(w))?, numbers(b, rows(3 * w))?, full(b, rows(k))?);
    let (mut d_beta, mut d_decay) = (full(b, Shape::vector(heads))?, full(b, Shape::vector(heads))?);
    let op = || Hebbian { qpv: Columns::all(&qpv), depth: &depth, log_beta: &beta, decay: &decay, head_dim: d, successor: true };
    // As counted in carry.cuh: half a chunk of 64 and two matrices per refinement, and the matrices themselves.
    let n = rows(w).count() as f64;
    let operations = n * ((6.0 * k as f64 - 2.0) * 32.0 + (4.0 * k as f64 + 2.0) * d as f64);
    let seconds = time(b, s.min_seconds, |b| b.hebbian(op(), None, ColumnsMut::all(&mut y)))?;
    let shape = [batch, time_, heads, d, k];
    line(format!("classic Hopfield, K = {k}, head {d}, T {time_}"), seconds, n * 8.0, operations, peer.measure("hebbian", &shape));
    let seconds = time(b, s.min_seconds, |b| {
        let d = HebbianGrad { qpv: ColumnsMut::all(&mut d_qpv), depth: &mut d_depth, log_beta: &mut d_beta, decay: &mut d_decay };
        b.hebbian_grad(op(), Columns::all(&dy), d);
    })?;
    line("classic Hopfield, gradient".into(), seconds, n * 16.0, 3.5 * operations, peer.measure("hebbian_grad", &shape));
    Ok(())
}

/// With training's own scratch, so as many rows at a time.
fn cross_entropy(
    b: &mut Cuda,
    s: &Shapes,
    [rows, width, vocab]: [usize; 3],
    peer: &mut Peer,
    line: &mut AddLine<'_>,
) -> Result<(), DeviceError> {
    let (x, table) = (numbers(b, Shape::cube(1, rows, width))?, weight(b, Shape::matrix(vocab, width))?);
    let targets = ids(b, 1, rows, vocab as u32)?;
    let mut scratch = b.alloc(Shape::matrix(b.logit_rows(rows, vocab), vocab), Precision::Scratch)?;
    let (mut losses, mut dx, mut d_table) =
        (full(b, Shape::cube(1, rows, 3))?, numbers(b, Shape::cube(1, rows, width))?, full(b, Shape::matrix(vocab, width))?);
    let op = || CrossEntropy { x: &x, table: &table, targets: &targets, mixture: None, smoothing: 0.0, z_weight: 0.0, scale: 1.0 };
    let seconds = time(b, s.min_seconds, |b| {
        b.cross_entropy_grad(
            op(),
            &mut scratch,
            &mut losses,
            CrossEntropyGrad { x: Some(&mut dx), table: Some(&mut d_table), mixture: None },
        );
    })?;
    let product = 2.0 * rows as f64 * width as f64 * vocab as f64;
    let answer = peer.measure("cross_entropy", &[rows, width, vocab]);
    line(format!("linear + cross-entropy, {rows} rows, V {vocab}"), seconds, 0.0, 3.0 * product, answer);
    Ok(())
}
