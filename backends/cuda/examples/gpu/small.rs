//! Other memory-bound kernels: rotary embeddings, gates, the rectified-flow head, random numbers.

use crate::{
    bandwidth::{FULL, HALF},
    kernels::{AddLine, Measurement, full, ids, numbers, weight},
    peer::Peer,
    shapes::Shapes,
    timing::time,
};
use hh_core::{
    backend::{Backward, Device, Forward},
    ops::*,
    shape::Shape,
};
use hh_cuda::{Cuda, DeviceError};

pub(crate) const ALL: [Measurement; 6] = [
    ("rotate", rotate),
    ("gate", gate),
    ("flow point", flow_point),
    ("flow hidden", flow_hidden),
    ("squared error", squared_error),
    ("random", random),
];

/// The gradient is the same kernel with inverse angles.
fn rotate(b: &mut Cuda, s: &Shapes, peer: &mut Peer, line: &mut AddLine<'_>) -> Result<(), DeviceError> {
    let [batch, time_, heads, d] = s.lookup;
    let rows = Shape::cube(batch, time_, heads * d);
    let mut x = numbers(b, rows)?;
    let op = || Rotate { clock: None, head_dim: d, base: 10_000.0, inverse: false };
    let seconds = time(b, s.min_seconds, |b| b.rotate(op(), ColumnsMut::all(&mut x)))?;
    let bytes = rows.count() as f64 * 2.0 * HALF;
    line(format!("rotation, {heads} heads of {d}, T {time_}"), seconds, bytes, 0.0, peer.measure("rotate", &s.lookup));
    Ok(())
}

fn gate(b: &mut Cuda, s: &Shapes, peer: &mut Peer, line: &mut AddLine<'_>) -> Result<(), DeviceError> {
    let [batch, time_, hidden] = s.gate;
    let (rows, three) = (Shape::cube(batch, time_, hidden), Shape::cube(batch, time_, 3));
    let (x, mut dx, mut gates, dy) = (numbers(b, rows)?, numbers(b, rows)?, full(b, three)?, full(b, three)?);
    let (weight, bias) = (full(b, Shape::matrix(3, hidden))?, full(b, Shape::vector(3))?);
    let (mut d_weight, mut d_bias) = (full(b, Shape::matrix(3, hidden))?, full(b, Shape::vector(3))?);
    let op = || Gate { hidden: &x, weight: &weight, bias: &bias, control: None, on: [true; 3] };
    let (n, gated) = (rows.count() as f64, three.count() as f64);
    let seconds = time(b, s.min_seconds, |b| b.gate(op(), &mut gates))?;
    let shape = [batch, time_, hidden];
    line(format!("gates of {hidden} ({batch}, {time_})"), seconds, n * HALF + gated * FULL, 0.0, peer.measure("gate", &shape));
    let seconds = time(b, s.min_seconds, |b| {
        b.gate_grad(op(), &gates, &dy, GateGrad { hidden: &mut dx, weight: &mut d_weight, bias: &mut d_bias, control: None });
    })?;
    line("gates, gradient".into(), seconds, n * 2.0 * HALF + gated * 2.0 * FULL, 0.0, peer.measure("gate_grad", &shape));
    Ok(())
}

fn flow_point(b: &mut Cuda, s: &Shapes, peer: &mut Peer, line: &mut AddLine<'_>) -> Result<(), DeviceError> {
    let ([rows, width], [_, _, vocab]) = (s.flow, s.head);
    let shape = Shape::cube(1, rows, width);
    let (noise, mut point, mut velocity) = (numbers(b, shape)?, numbers(b, shape)?, numbers(b, shape)?);
    let (targets, times) = (ids(b, 1, rows, vocab as u32)?, full(b, Shape::cube(1, rows, 1))?);
    let table = weight(b, Shape::matrix(vocab, width))?;
    let op = || FlowPoint { targets: &targets, table: &table, noise: &noise, time: &times };
    let seconds = time(b, s.min_seconds, |b| b.flow_point(op(), &mut point, &mut velocity))?;
    // The row of the table is read from the f32 master weights.
    let bytes = shape.count() as f64 * (3.0 * HALF + FULL);
    let answer = peer.measure("flow_point", &[rows, width, vocab]);
    line(format!("flow: point and velocity ({rows}, {width})"), seconds, bytes, 0.0, answer);
    Ok(())
}

fn flow_hidden(b: &mut Cuda, s: &Shapes, peer: &mut Peer, line: &mut AddLine<'_>) -> Result<(), DeviceError> {
    let [rows, width] = s.flow;
    let shape = Shape::cube(1, rows, width);
    let (x, dy, mut y) = (numbers(b, shape)?, numbers(b, shape)?, numbers(b, shape)?);
    let (times, weight, mut d_weight) = (full(b, Shape::cube(1, rows, 1))?, full(b, Shape::vector(width))?, full(b, Shape::vector(width))?);
    let op = || FlowHidden { x: &x, time: &times, weight: &weight };
    let n = shape.count() as f64;
    let seconds = time(b, s.min_seconds, |b| b.flow_hidden(op(), &mut y))?;
    line(format!("flow: hidden layer ({rows}, {width})"), seconds, n * 2.0 * HALF, 0.0, peer.measure("flow_hidden", &[rows, width]));
    let seconds = time(b, s.min_seconds, |b| b.flow_hidden_grad(op(), &dy, FlowHiddenGrad { x: &mut y, weight: &mut d_weight }))?;
    line("flow: hidden layer, gradient".into(), seconds, n * 3.0 * HALF, 0.0, peer.measure("flow_hidden_grad", &[rows, width]));
    Ok(())
}

fn squared_error(b: &mut Cuda, s: &Shapes, peer: &mut Peer, line: &mut AddLine<'_>) -> Result<(), DeviceError> {
    let [rows, width] = s.flow;
    let shape = Shape::cube(1, rows, width);
    let (x, goal, mut dx, mut losses) = (numbers(b, shape)?, numbers(b, shape)?, numbers(b, shape)?, full(b, Shape::cube(1, rows, 1))?);
    let op = || SquaredError { x: &x, goal: &goal, scale: 1.0 };
    let seconds = time(b, s.min_seconds, |b| b.squared_error(op(), &mut losses, &mut dx))?;
    let bytes = shape.count() as f64 * 3.0 * HALF;
    line(format!("squared error and gradient ({rows}, {width})"), seconds, bytes, 0.0, peer.measure("squared_error", &[rows, width]));
    Ok(())
}

fn random(b: &mut Cuda, s: &Shapes, peer: &mut Peer, line: &mut AddLine<'_>) -> Result<(), DeviceError> {
    let [batch, time_, w] = s.scan;
    let mut y = numbers(b, Shape::cube(batch, time_, w))?;
    let mut key = b.alloc_indices(Shape::vector(4))?;
    b.upload_indices(&[1, 2, 3, 4], &mut key)?;
    let bytes = (batch * time_ * w) as f64 * HALF;
    let draw = || Draw { key: &key, site: 1 };
    let seconds = time(b, s.min_seconds, |b| b.uniform(draw(), &mut y))?;
    line(format!("uniform numbers ({batch}, {time_}, {w})"), seconds, bytes, 0.0, peer.measure("uniform", &s.scan));
    let seconds = time(b, s.min_seconds, |b| b.normal(draw(), &mut y))?;
    line("normal numbers".into(), seconds, bytes, 0.0, peer.measure("normal", &s.scan));
    Ok(())
}
