//! The memory-bound kernels of every training step, with the bytes that they must read and write.

use crate::{
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

/// Bytes of an element in bf16, and in f32.
pub(crate) const HALF: f64 = 2.0;
pub(crate) const FULL: f64 = 4.0;
/// Taps of the convolution.
const TAPS: usize = 4;

pub(crate) const ALL: [Measurement; 7] =
    [("embed", embed), ("conv", conv), ("mix", mix), ("swiglu", swiglu), ("pool", pool), ("dropout", dropout), ("adamw", adamw)];

fn embed(b: &mut Cuda, s: &Shapes, peer: &mut Peer, line: &mut AddLine<'_>) -> Result<(), DeviceError> {
    let ([batch, time_, w], [_, _, vocab]) = (s.scan, s.head);
    let tokens = ids(b, batch, time_, vocab as u32)?;
    let (table, mut d_table) = (weight(b, Shape::matrix(vocab, w))?, full(b, Shape::matrix(vocab, w))?);
    let mut y = numbers(b, Shape::cube(batch, time_, w))?;
    let n = (batch * time_ * w) as f64;
    let op = || Embed { tokens: &tokens, table: &table };
    let seconds = time(b, s.min_seconds, |b| b.embed(op(), &mut y))?;
    line(
        format!("embedding of {vocab} into ({batch}, {time_}, {w})"),
        seconds,
        n * 2.0 * HALF,
        0.0,
        peer.measure("embed", &[batch, time_, w, vocab]),
    );
    let seconds = time(b, s.min_seconds, |b| b.embed_grad(op(), &y, &mut d_table))?;
    line("embedding, gradient".into(), seconds, n * (HALF + 2.0 * FULL), 0.0, None);
    Ok(())
}

fn conv(b: &mut Cuda, s: &Shapes, peer: &mut Peer, line: &mut AddLine<'_>) -> Result<(), DeviceError> {
    let [batch, time_, w] = s.scan;
    let rows = Shape::cube(batch, time_, w);
    let (x, dy, mut y, mut dx) = (numbers(b, rows)?, numbers(b, rows)?, numbers(b, rows)?, numbers(b, rows)?);
    let (weight, bias) = (full(b, Shape::matrix(w, TAPS))?, full(b, Shape::vector(w))?);
    let (mut d_weight, mut d_bias) = (full(b, Shape::matrix(w, TAPS))?, full(b, Shape::vector(w))?);
    let op = || Conv { x: Columns::all(&x), weight: &weight, bias: &bias };
    let n = rows.count() as f64;
    let seconds = time(b, s.min_seconds, |b| b.conv(op(), None, &mut y))?;
    line(
        format!("convolution of {TAPS} ({batch}, {time_}, {w})"),
        seconds,
        n * 2.0 * HALF,
        0.0,
        peer.measure("conv", &[batch, time_, w, TAPS]),
    );
    let seconds = time(b, s.min_seconds, |b| {
        b.conv_grad(op(), &dy, ConvGrad { x: ColumnsMut::all(&mut dx), weight: &mut d_weight, bias: &mut d_bias });
    })?;
    line("convolution, gradient".into(), seconds, n * 3.0 * HALF, 0.0, peer.measure("conv_grad", &[batch, time_, w, TAPS]));
    Ok(())
}

fn mix(b: &mut Cuda, s: &Shapes, peer: &mut Peer, line: &mut AddLine<'_>) -> Result<(), DeviceError> {
    let [batch, time_, w] = s.scan;
    let (rows, three) = (Shape::cube(batch, time_, 3 * w), Shape::cube(batch, time_, 3));
    let (paths, dy, mut y, mut d_paths) = (numbers(b, rows)?, numbers(b, rows)?, numbers(b, rows)?, numbers(b, rows)?);
    let (gain, gates) = (full(b, Shape::vector(3 * w))?, full(b, three)?);
    let (mut d_gain, mut d_gates) = (full(b, Shape::vector(3 * w))?, full(b, three)?);
    let op = || Mix { paths: &paths, gain: &gain, gates: Some(&gates), widths: [w; 3], norm: true, eps: 1e-5 };
    let n = rows.count() as f64;
    let seconds = time(b, s.min_seconds, |b| b.mix(op(), &mut y))?;
    line(format!("mixer of three ({batch}, {time_}, {w})"), seconds, n * 2.0 * HALF, 0.0, peer.measure("mix", &s.scan));
    let seconds =
        time(b, s.min_seconds, |b| b.mix_grad(op(), &dy, MixGrad { paths: &mut d_paths, gain: &mut d_gain, gates: Some(&mut d_gates) }))?;
    line("mixer, gradient".into(), seconds, n * 3.0 * HALF, 0.0, peer.measure("mix_grad", &s.scan));
    Ok(())
}

fn swiglu(b: &mut Cuda, s: &Shapes, peer: &mut Peer, line: &mut AddLine<'_>) -> Result<(), DeviceError> {
    let [batch, time_, w] = s.scan;
    let (wide, narrow) = (Shape::cube(batch, time_, 2 * w), Shape::cube(batch, time_, w));
    let (packed, dy, mut y, mut dx) = (numbers(b, wide)?, numbers(b, narrow)?, numbers(b, narrow)?, numbers(b, wide)?);
    let n = narrow.count() as f64;
    let seconds = time(b, s.min_seconds, |b| b.swiglu(Swiglu { packed: &packed }, &mut y))?;
    line(format!("SwiGLU ({batch}, {time_}, {w})"), seconds, n * 3.0 * HALF, 0.0, peer.measure("swiglu", &s.scan));
    let seconds = time(b, s.min_seconds, |b| b.swiglu_grad(Swiglu { packed: &packed }, &dy, &mut dx))?;
    line("SwiGLU, gradient".into(), seconds, n * 5.0 * HALF, 0.0, peer.measure("swiglu_grad", &s.scan));
    Ok(())
}

fn pool(b: &mut Cuda, s: &Shapes, peer: &mut Peer, line: &mut AddLine<'_>) -> Result<(), DeviceError> {
    let [batch, time_, w] = s.scan;
    let rows = Shape::cube(batch, time_, w);
    let (x, dy, mut y, mut dx) = (numbers(b, rows)?, numbers(b, rows)?, numbers(b, rows)?, numbers(b, rows)?);
    let (decay, mut d_decay) = (full(b, Shape::vector(w))?, full(b, Shape::vector(w))?);
    let op = || Pool { x: &x, decay: &decay };
    let n = rows.count() as f64;
    let seconds = time(b, s.min_seconds, |b| b.pool(op(), None, &mut y))?;
    line(format!("controller's pooling ({batch}, {time_}, {w})"), seconds, n * 2.0 * HALF, 0.0, peer.measure("pool", &s.scan));
    let seconds = time(b, s.min_seconds, |b| b.pool_grad(op(), &y, &dy, PoolGrad { x: &mut dx, decay: &mut d_decay }))?;
    line("controller's pooling, gradient".into(), seconds, n * 4.0 * HALF, 0.0, peer.measure("pool_grad", &s.scan));
    Ok(())
}

fn dropout(b: &mut Cuda, s: &Shapes, peer: &mut Peer, line: &mut AddLine<'_>) -> Result<(), DeviceError> {
    let [batch, time_, w] = s.scan;
    let rows = Shape::cube(batch, time_, w);
    let (residual, mut y, mut key) = (numbers(b, rows)?, numbers(b, rows)?, b.alloc_indices(Shape::vector(4))?);
    b.upload_indices(&[1, 2, 3, 4], &mut key)?;
    let op = || Dropout { residual: Some(&residual), rate: 0.1, draw: Draw { key: &key, site: 1 } };
    let seconds = time(b, s.min_seconds, |b| b.dropout(op(), &mut y))?;
    let bytes = rows.count() as f64 * 3.0 * HALF;
    line(format!("dropout and residual ({batch}, {time_}, {w})"), seconds, bytes, 0.0, peer.measure("dropout", &s.scan));
    Ok(())
}

/// One step over as many weights as the table of `cross_entropy` has, in two leaves.
fn adamw(b: &mut Cuda, s: &Shapes, peer: &mut Peer, line: &mut AddLine<'_>) -> Result<(), DeviceError> {
    let [_, width, vocab] = s.head;
    let (leaves_shape, shape) = ([2, vocab / 2, width], Shape::matrix(vocab / 2, width));
    let mut leaves = Vec::new();
    for _ in 0..2 {
        let weight = weight(b, shape)?;
        leaves.push([weight, full(b, shape)?, full(b, shape)?, full(b, shape)?, full(b, shape)?]);
    }
    let (mut schedule, mut total) = (full(b, Shape::vector(4))?, full(b, Shape::vector(1))?);
    b.upload(&[1e-3, 1.0, 1.0, 0.01], &mut schedule)?;
    let n = 2.0 * shape.count() as f64;
    let seconds = time(b, s.min_seconds, |b| b.sum_squares(leaves.iter().map(|[_, grad, ..]| grad), &mut total))?;
    line(format!("norm of {:.0}M gradients", n / 1e6), seconds, n * FULL, 0.0, peer.measure("sum_squares", &leaves_shape));
    let seconds = time(b, s.min_seconds, |b| {
        let op = AdamW { schedule: &schedule, total: &total, clip: 1.0, beta1: 0.9, beta2: 0.99, eps: 1e-8 };
        b.adamw(
            op,
            leaves.iter_mut().map(|[weight, grad, first, second, ema]| AdamWLeaf {
                weight,
                grad,
                first,
                second,
                ema,
                decay: 0.1,
                rate: 1.0,
            }),
        );
    })?;
    // Reads weight, gradient, both moments, average; writes them, with a zero gradient, and the bf16 copy of the weight.
    line(
        format!("AdamW and average, {:.0}M weights", n / 1e6),
        seconds,
        n * (10.0 * FULL + HALF),
        0.0,
        peer.measure("adamw", &leaves_shape),
    );
    Ok(())
}
