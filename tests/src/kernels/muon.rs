//! Muon on several matrices at once, whole and of several parts, with and without clipping and decay.

use super::prelude::*;
use hh_core::ops::{MuonLeaf, NEWTON_SCHULZ, Rectangle};

/// See [`ops::Muon`].
#[derive(Debug)]
pub struct Muon {
    /// Matrices: columns, and the rows of their parts.
    pub leaves: Vec<(usize, Vec<usize>)>,
    /// Sum of squares of all gradients.
    pub total: f32,
    /// Largest norm of the whole gradient; 0 means no clipping.
    pub clip: f32,
    /// Decoupled weight decay.
    pub decay: f32,
    /// Newton-Schulz steps.
    pub steps: usize,
}

/// Learning rate, two corrections that are AdamW's, rate of the average.
const SCHEDULE: [f32; 4] = [0.5, 1.5, 1.25, 0.75];
const MOMENTUM: f32 = 0.875;
const EPS: f32 = 1e-7;
/// The tensors of a leaf.
const PARTS: [&str; 4] = ["weight", "grad", "momentum", "ema"];

/// Learning rate of a leaf, as a multiple of the schedule's.
fn rate(leaf: usize) -> f32 {
    [0.25, 1.0, 0.5][leaf % 3]
}

/// Parts one below the other; of a matrix whose rows are not divided, two side by side.
fn parts((columns, rows): &(usize, Vec<usize>)) -> Vec<Rectangle> {
    let mut row = 0;
    let below = rows.iter().map(|&rows| {
        row += rows;
        Rectangle { row: row - rows, rows, column: 0, columns: *columns }
    });
    match below.collect::<Vec<_>>()[..] {
        [one] if *columns > 8 => {
            let left = Rectangle { columns: columns / 3, ..one };
            vec![left, Rectangle { column: columns / 3, columns: columns - columns / 3, ..one }]
        }
        ref all => all.to_vec(),
    }
}

impl Muon {
    fn new(leaves: &[(usize, &[usize])], total: f32, clip: f32, decay: f32, steps: usize) -> Self {
        Self { leaves: leaves.iter().map(|(columns, rows)| (*columns, rows.to_vec())).collect(), total, clip, decay, steps }
    }

    fn shapes(&self) -> impl Iterator<Item = Shape> {
        self.leaves.iter().map(|(columns, rows)| Shape::matrix(rows.iter().sum(), *columns))
    }
}

/// The product of row-major matrices `[n, k]` and `[k, m]`.
fn product(a: &[f64], b: &[f64], [n, k, m]: [usize; 3]) -> Vec<f64> {
    let element = |i: usize, j: usize| (0..k).map(|l| a[i * k + l] * b[l * m + j]).sum();
    (0..n * m).map(|at| element(at / m, at % m)).collect()
}

fn transposed(x: &[f64], [n, m]: [usize; 2]) -> Vec<f64> {
    (0..n * m).map(|at| x[at % n * m + at / n]).collect()
}

/// The Newton-Schulz iteration on a matrix, as its equation says: transposed where it is tall.
fn orthogonalised(update: &[f64], [rows, columns]: [usize; 2], steps: usize) -> Vec<f64> {
    if rows > columns {
        let flat = orthogonalised(&transposed(update, [rows, columns]), [columns, rows], steps);
        return transposed(&flat, [columns, rows]);
    }
    let norm = update.iter().map(|u| u * u).sum::<f64>().sqrt();
    // Not `max`, which would make a number of NaN.
    let norm = if norm < f64::from(EPS) { f64::from(EPS) } else { norm };
    let mut x: Vec<f64> = update.iter().map(|u| u / norm).collect();
    let [a, b, c] = NEWTON_SCHULZ;
    for _ in 0..steps {
        let square = product(&x, &transposed(&x, [rows, columns]), [rows, columns, rows]);
        let fourth = product(&square, &square, [rows, rows, rows]);
        let polynomial: Vec<f64> = square.iter().zip(&fourth).map(|(s, f)| b * s + c * f).collect();
        let more = product(&polynomial, &x, [rows, rows, columns]);
        x.iter_mut().zip(more).for_each(|(x, more)| *x = a * *x + more);
    }
    x
}

impl Case for Muon {
    /// Matrices of several shapes at once, wide, square and tall, some with parts: of one element, and no multiple of a tile.
    fn cases() -> Vec<Self> {
        vec![
            Self::new(&[(24, &[4, 4, 5]), (3, &[16]), (40, &[7])], 16.0, 1.0, 0.125, 5),
            Self::new(&[(1, &[1]), (17, &[3, 2]), (5, &[33])], 0.25, 1.0, 0.0, 3),
            Self::new(&[(6, &[6])], 16.0, 0.0, 0.125, 1),
            Self::new(&[(5, &[2, 3])], f32::NAN, 1.0, 0.125, 2),
        ]
    }
    fn large() -> Vec<Self> {
        let many = [3; 70];
        vec![
            Self::new(&[(128, &[64, 64, 32]), (65, &[130]), (300, &[63])], 16.0, 1.0, 0.125, 5),
            // More parts than a batch has.
            Self::new(&[(7, &many), (9, &many[..5])], 0.25, 1.0, 0.125, 5),
        ]
    }
    /// The matrices of the blocks of `char-4.5m`.
    fn bench() -> Vec<Self> {
        let block: [(usize, &[usize]); 4] =
            [(256, &[160, 160, 160, 160, 64, 64, 64, 64, 64, 64]), (256, &[496, 496]), (496, &[128, 128]), (288, &[128, 128])];
        vec![Self::new(&block.repeat(6), 16.0, 1.0, 0.125, 5)]
    }
    /// A small singular value, and its rounding error, grow by a factor of 3.4 in each step.
    fn tolerance(&self) -> f64 {
        2e-5
    }
    fn has_nan(&self) -> bool {
        self.total.is_nan()
    }
    fn inputs(&self) -> Vec<Input> {
        let mut all = vec![
            Input::full("schedule", Shape::vector(4)).with(SCHEDULE.to_vec()),
            Input::full("total", Shape::vector(1)).with(vec![self.total]),
        ];
        all.extend(self.shapes().flat_map(|shape| PARTS.map(|name| Input::full(name, shape))));
        all
    }
    fn outputs(&self) -> Vec<Output> {
        self.shapes().flat_map(|shape| PARTS.map(|name| Output::full(name, shape))).collect()
    }
    fn formula(&self, x: &[Vec<f64>], _: Option<&mut State>) -> Vec<Vec<f64>> {
        let [lr, _, _, ema_rate] = SCHEDULE.map(f64::from);
        let [clip, momentum, decay] = [self.clip, MOMENTUM, self.decay].map(f64::from);
        let norm = x[1][0].sqrt();
        // A gradient without a norm (NaN, ∞) is not clipped into a finite one.
        let clipped = if clip == 0.0 || norm <= clip { 1.0 } else { clip / norm };
        let mut y = vec![];
        for ((leaf, tensors), of) in x[2..].chunks_exact(4).enumerate().zip(&self.leaves) {
            let columns = of.0;
            let [mut w, g, mut m, mut ema] = [0, 1, 2, 3].map(|i| tensors[i].clone());
            for part in parts(of) {
                let at = |i: usize| (part.row + i / part.columns) * columns + part.column + i % part.columns;
                let count = part.rows * part.columns;
                let mut update = vec![0.0; count];
                for i in 0..count {
                    m[at(i)] = momentum * m[at(i)] + (1.0 - momentum) * g[at(i)] * clipped;
                    update[i] = momentum * m[at(i)] + (1.0 - momentum) * g[at(i)] * clipped;
                }
                let scale = (part.rows as f64 / part.columns as f64).max(1.0).sqrt();
                for (i, update) in orthogonalised(&update, [part.rows, part.columns], self.steps).iter().enumerate() {
                    w[at(i)] -= lr * f64::from(rate(leaf)) * (scale * update + decay * w[at(i)]);
                    ema[at(i)] += (1.0 - ema_rate) * (w[at(i)] - ema[at(i)]);
                }
            }
            y.extend([w, vec![0.0; g.len()], m, ema]);
        }
        y
    }
    fn forward<B: Testable>(&self, d: &mut Desk<B>, x: &[Held<B::Tensor>], _: Mode<'_, B>, y: &mut [Held<B::Tensor>]) {
        x[2..].iter().zip(&mut *y).for_each(|(x, y)| start_from(d, x, y));
        let (schedule, total) = (x[0].whole(), x[1].whole());
        let op = ops::Muon { schedule, total, clip: self.clip, momentum: MOMENTUM, eps: EPS, steps: self.steps };
        let all: Vec<_> = self.leaves.iter().map(parts).collect();
        let leaves = y.chunks_exact_mut(4).zip(&all).enumerate().map(|(leaf, (tensors, parts))| {
            let [weight, grad, momentum, ema] = all_mut(tensors).each_mut().map(Held::whole_mut);
            MuonLeaf { weight, grad, momentum, ema, decay: self.decay, rate: rate(leaf), parts }
        });
        d.b.muon(op, leaves);
    }
}
