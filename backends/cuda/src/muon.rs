//! Muon: the matrices of one shape together, with the existing matrix product for each of them.

use crate::{
    Cuda, Tensor,
    launch::{Arg, LaunchDims, Memory, Product, Variant},
    optimise::upload,
    tensor::Mat,
};
use hh_core::ops::{Muon, MuonLeaf, NEWTON_SCHULZ};

/// Largest number of blocks for a matrix; as many partial sums of squares.
const BLOCKS: usize = 32;
/// Elements of the matrices whose updates are in memory at a time, unless one alone has more.
const AT_ONCE: usize = 1 << 24;
/// Bytes of `Part` of optimise.cu.
const PART: usize = 64;

pub(crate) fn muon<'a>(b: &mut Cuda, op: Muon<Tensor>, leaves: impl Iterator<Item = MuonLeaf<'a, Tensor>>) {
    let mut parts: Vec<([usize; 2], Arg)> = Vec::new();
    for leaf in leaves {
        let [_, stride] = op.dims(&leaf);
        let MuonLeaf { weight, grad, momentum, ema, decay, rate, parts: of } = leaf;
        let tensors = [weight, grad, momentum, ema];
        assert!(tensors.iter().all(|t| !t.bf16), "the optimiser works on f32");
        for part in of {
            let first = (part.row * stride + part.column) as u64;
            let [w, g, m, average] = tensors.each_ref().map(|t| (t.memory.address() + 4 * first).into());
            let shadow = tensors[0].shadow.as_ref().map_or(0, |shadow| Memory::address(shadow) + 2 * first);
            let sizes = [stride, part.rows, part.columns].map(Into::into);
            let scale = part.scale() as f32;
            let fields = [&[w, g, m, average, shadow.into()][..], &sizes, &[rate, decay, scale].map(Into::into)].concat();
            parts.push((part.flat(), Arg::group(&fields)));
        }
    }
    parts.sort_by_key(|(flat, _)| *flat);
    let mut table = upload(b, parts.iter().flat_map(|(_, part)| part.bytes()).copied().collect(), |tables| tables.muon());
    for alike in parts.chunk_by(|a, b| a.0 == b.0) {
        let [n, m] = alike[0].0;
        for together in alike.chunks((AT_ONCE / (n * m)).max(1)) {
            apply(b, &op, table, together.len(), [n, m]);
            table += (PART * together.len()) as u64;
        }
    }
}

/// Updates this many matrices, whose entries in the table are at an address. X of all of them are one below the other.
fn apply(b: &mut Cuda, op: &Muon<Tensor>, table: u64, parts: usize, [n, m]: [usize; 2]) {
    b.reset_scratch();
    let grid = |count: usize| LaunchDims { grid: [count.div_ceil(4 * 256).min(BLOCKS), parts, 1], threads: 256, shared: 0 };
    let (of_factor, of_square) = (grid(n * m), grid(n * n));
    let blocks = of_factor.grid[0];
    let (update, partial) = (b.take(4 * parts * n * m), b.take(4 * parts * blocks));
    let [mut x, mut next] = [(); 2].map(|()| b.take_compute(parts * n, m));
    let [square, polynomial] = [(); 2].map(|()| b.take_compute(parts * n, n));

    let (count, run) = (n * m, Variant::Plain);
    let args = [op.total.flat().into(), op.clip.into(), op.momentum.into(), table.into(), count.into(), update.into(), partial.into()];
    b.run("optimise", "muon_momentum", run, of_factor, &args);
    let args = [partial.into(), blocks.into(), op.eps.into(), update.into(), count.into(), x.into()];
    b.run("optimise", "muon_normalise", run, of_factor, &args);
    for _ in 0..op.steps {
        let each = |b: &mut Cuda, left: Mat, right: Mat, transpose_b: bool, to: Mat| {
            for part in 0..parts {
                let [a, right, to] = [left, right, to].map(|mat| mat.rows_from(part * n));
                let (columns, inner) = (to.stride, a.stride);
                let product = Product { rows: n, columns, inner, a, transpose_a: false, b: right, transpose_b, bias: None, add: None, to };
                b.product(&product);
            }
        };
        each(b, x, x, true, square);
        each(b, square, square, false, polynomial);
        let factors = NEWTON_SCHULZ.map(|factor| Arg::from(factor as f32));
        let args = [&factors[..], &[square.into(), n.into(), polynomial.into()]].concat();
        b.run("optimise", "muon_polynomial", run, of_square, &args);
        each(b, polynomial, x, false, next);
        std::mem::swap(&mut x, &mut next);
    }
    b.run("optimise", "muon_apply", run, of_factor, &[op.schedule.flat().into(), table.into(), count.into(), x.into()]);
}
