//! The mixer: paths are normalised, multiplied by gains and weighted by gates.

use crate::{Tch, Tensor, replay::replay, value::Value};
use hh_core::ops::{Mix, MixGrad};

/// Inputs that are not differentiated.
struct Context {
    /// First column and width of each path that is on.
    paths: Vec<(usize, usize)>,
    norm: bool,
    eps: f64,
}

impl Context {
    fn new(op: &Mix<Tensor>) -> Self {
        let mut start = 0;
        let spans = op.widths.map(|width| {
            start += width;
            (start - width, width)
        });
        Self { paths: spans.into_iter().filter(|&(_, width)| width > 0).collect(), norm: op.norm, eps: op.eps.into() }
    }
}

fn formula(ctx: &Context, paths: &Value, gain: &Value, gates: Option<&Value>) -> Value {
    let path = |(i, &(start, width)): (usize, &(usize, usize))| {
        let y = paths.columns(start, width);
        let y = if ctx.norm { y.rms_normed(ctx.eps) } else { y }.times(&gain.columns(start, width));
        gates.map_or(y.clone(), |gates| y.times(&gates.columns(i, 1)))
    };
    Value::cat(&ctx.paths.iter().enumerate().map(path).collect::<Vec<_>>(), -1)
}

pub(crate) fn forward(b: &mut Tch, op: Mix<Tensor>, y: &mut Tensor) {
    op.dims(y.shape);
    let gates = op.gates.map(|gates| b.whole(gates));
    b.put(&formula(&Context::new(&op), &b.whole(op.paths), &b.vector(op.gain), gates.as_ref()), y);
}

pub(crate) fn backward(b: &mut Tch, op: Mix<Tensor>, dy: &Tensor, d: MixGrad<Tensor>) {
    op.dims(dy.shape);
    let (ctx, paths, gain, dy) = (Context::new(&op), b.whole(op.paths), b.vector(op.gain), dy.value());
    let [d_paths, d_gain] = match (op.gates, d.gates) {
        (Some(gates), Some(to)) => {
            let gates = b.whole(gates);
            let [d_paths, d_gain, d_gates] =
                replay([&paths, &gain, &gates], &dy, |[paths, gain, gates]| formula(&ctx, paths, gain, Some(gates)));
            b.put(&d_gates, to);
            [d_paths, d_gain]
        }
        (None, None) => replay([&paths, &gain], &dy, |[paths, gain]| formula(&ctx, paths, gain, None)),
        _ => panic!("mix: the gates and their gradient must both be present or absent"),
    };
    b.put(&d_paths, d.paths);
    b.add(&d_gain, d.gain);
}
