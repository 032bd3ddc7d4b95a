//! From pooled hidden states to losses, and back.

use super::encoder::matrix;
use super::goal::{Goal, Options};
use crate::{
    backend::{Backward, Precision},
    config::Config,
    ops::*,
    shape::{Shape, Shaped},
    train::Losses,
};
use alloc::{vec, vec::Vec};

/// Keeps a vector of zeros finite, and no other from being of length 1.
const EPS: f32 = 1e-12;

/// The vectors of one side.
pub(super) struct Side<T> {
    /// `[rows, D]`, and its gradient
    pub(super) pooled: [T; 2],
    /// Through `pooled.weight`: `[rows, vector_dim]`, and its gradient
    projected: Option<[T; 2]>,
    /// Of each length.
    cuts: Vec<Cut<T>>,
}

/// The vectors of one side, of one length.
struct Cut<T> {
    /// The first numbers `[rows, m]`, and their gradient; absent where those are all.
    first: Option<[T; 2]>,
    /// Of length 1, or 1 over the temperature; and the gradient.
    unit: [T; 2],
    /// `[m]`: makes it of that length
    gain: T,
}

/// Vectors of all sides, and what compares them.
pub(super) struct Head<B: Backward> {
    pub(super) sides: Vec<Side<B::Tensor>>,
    lengths: Vec<Length<B::Tensor>>,
    goal: Goal,
    /// Of each text: the row of its partner.
    targets: B::Indices,
    /// `[texts, vector_dim]`: the teacher's vectors, and of length 1
    teacher: Option<[B::Tensor; 2]>,
    /// `[texts, texts]`: similarities, the teacher's, and a gradient
    similar: Option<[B::Tensor; 3]>,
    logits: B::Tensor,
    host: Vec<f32>,
}

/// What is there once for each length of a vector.
struct Length<T> {
    /// `[m, vector_dim]`: rows of the identity, to take the first numbers by; absent where those are all.
    select: Option<T>,
    /// Unused gradients of `select`, of `gain` and of `unit`.
    unwanted: (Option<T>, T, T),
    /// `[texts, 3]` of cross-entropy, `[texts, 1]` of similarities
    losses: T,
    /// `[texts, 1]`: distance to the teacher, of the whole vector
    distance: Option<T>,
}

impl<B: Backward> Head<B> {
    pub(super) fn new(b: &mut B, c: &Config, options: &Options) -> Result<Self, B::Error> {
        let (n, whole, candidates) = (options.texts, c.vector_dim(), options.candidates());
        let full = |b: &mut B, rows, width| b.alloc(Shape::matrix(rows, width), Precision::Full);
        let mut sides = Vec::new();
        let mut lengths = Vec::new();
        for &m in &options.lengths(c) {
            let mut select = None;
            if m < whole {
                let mut rows = full(b, m, whole)?;
                b.upload(&(0..m * whole).map(|i| (i % whole == i / whole) as u8 as f32).collect::<Vec<_>>(), &mut rows)?;
                select = Some((rows, full(b, m, whole)?));
            }
            let (select, unwanted) = select.unzip();
            let unwanted = (unwanted, b.alloc(Shape::vector(m), Precision::Full)?, full(b, n, m)?);
            let losses = full(b, n, if candidates > 0 { 3 } else { 1 })?;
            let distance = if candidates == 0 && m == whole { Some(full(b, n, 1)?) } else { None };
            lengths.push(Length { select, unwanted, losses, distance });
        }
        for side in 0..1 + usize::from(candidates > 0) {
            let rows = if side == 0 { n } else { n * candidates };
            let pair = |b: &mut B, width| -> Result<_, B::Error> { Ok([matrix(b, rows, width)?, matrix(b, rows, width)?]) };
            let mut cuts = Vec::new();
            for &m in &options.lengths(c) {
                let mut gain = b.alloc(Shape::vector(m), Precision::Full)?;
                let sharper = match options.goal {
                    Goal::Contrast { temperature, .. } if side == 0 => 1.0 / temperature,
                    _ => 1.0,
                };
                b.fill(sharper / libm::sqrtf(m as f32), &mut gain);
                // Products read their right factor as they read weights, in full precision.
                let unit = if side == 0 { pair(b, m)? } else { [full(b, rows, m)?, full(b, rows, m)?] };
                cuts.push(Cut { first: if m < whole { Some(pair(b, m)?) } else { None }, unit, gain });
            }
            let projected = if c.pooled_dim > 0 { Some(pair(b, whole)?) } else { None };
            sides.push(Side { pooled: pair(b, c.width)?, projected, cuts });
        }
        let distil = candidates == 0;
        Ok(Self {
            sides,
            lengths,
            goal: options.goal,
            targets: b.alloc_indices(Shape::vector(n))?,
            teacher: if distil { Some([matrix(b, n, whole)?, matrix(b, n, whole)?]) } else { None },
            similar: if distil { Some([matrix(b, n, n)?, matrix(b, n, n)?, matrix(b, n, n)?]) } else { None },
            logits: full(b, n, (n * candidates).max(1))?,
            host: vec![0.0; 3 * n],
        })
    }

    /// Sets what the rows are to be: each the partner of a row of the other side, or a teacher's vector.
    pub(super) fn aim(&mut self, b: &mut B, order: [&[usize]; 2], teacher: &[f32]) -> Result<(), B::Error> {
        let [left, right] = order;
        if let Some([vectors, _]) = &mut self.teacher {
            let width = vectors.shape().width();
            let sorted: Vec<f32> = left.iter().flat_map(|&i| teacher[i * width..][..width].iter().copied()).collect();
            return b.upload(&sorted, vectors);
        }
        let mut row_of = vec![0u32; right.len()];
        for (row, &i) in right.iter().enumerate() {
            row_of[i] = row as u32;
        }
        b.upload_indices(&left.iter().map(|&i| row_of[i]).collect::<Vec<_>>(), &mut self.targets)
    }

    /// Losses, and the gradients of all vectors; what is differentiated is `scale` times their sum. `weight` is `pooled.weight`.
    pub(super) fn forward(&mut self, b: &mut B, weight: Option<&B::Tensor>, scale: f32) {
        for side in &mut self.sides {
            if let (Some(w), Some([projected, _])) = (weight, &mut side.projected) {
                b.matmul(Matmul::new(&side.pooled[0], w), projected);
            }
            let all = side.projected.as_ref().map_or(&side.pooled[0], |[x, _]| x);
            for (cut, length) in side.cuts.iter_mut().zip(&self.lengths) {
                let x = match (&mut cut.first, &length.select) {
                    (Some([x, _]), Some(select)) => {
                        b.matmul(Matmul::new(all, select), x);
                        &*x
                    }
                    _ => all,
                };
                b.norm(Norm { x, gain: &cut.gain, eps: EPS }, &mut cut.unit[0]);
            }
        }
        let scale = scale / self.lengths.len() as f32;
        match self.goal {
            Goal::Contrast { .. } => self.contrast(b, scale),
            Goal::Distill { pairs } => self.distil(b, scale, pairs),
        }
    }

    fn contrast(&mut self, b: &mut B, scale: f32) {
        let [left, right] = &mut self.sides[..] else { unreachable!("a text and its candidates") };
        for ((left, right), length) in left.cuts.iter_mut().zip(&mut right.cuts).zip(&mut self.lengths) {
            let ([x, dx], [table, d_table]) = (&mut left.unit, &mut right.unit);
            let op = CrossEntropy { x: &*x, table: &*table, targets: &self.targets, mixture: None, smoothing: 0.0, z_weight: 0.0, scale };
            b.fill(0.0, d_table);
            b.cross_entropy_grad(
                op,
                &mut self.logits,
                &mut length.losses,
                CrossEntropyGrad { x: Some(dx), table: Some(d_table), mixture: None },
            );
        }
    }

    fn distil(&mut self, b: &mut B, scale: f32, pairs: f32) {
        let (Some([vectors, teacher]), Some([found, wanted, d])) = (&mut self.teacher, &mut self.similar) else {
            unreachable!("a teacher")
        };
        let cuts = &mut self.sides[0].cuts;
        b.norm(Norm { x: vectors, gain: &cuts[0].gain, eps: EPS }, teacher);
        b.matmul(Matmul::new(teacher, teacher), wanted);
        let (lengths, width) = (self.lengths.len() as f32, teacher.shape().width() as f32);
        for (cut, length) in cuts.iter_mut().zip(&mut self.lengths) {
            let [x, dx] = &mut cut.unit;
            b.matmul(Matmul::new(x, x), found);
            // A similarity has two vectors, which are both rows of x: what one gets of it, the other gets as well.
            b.squared_error(SquaredError { x: found, goal: wanted, scale: 2.0 * pairs * scale }, &mut length.losses, d);
            let mut grad_out = GradOut::Write(&mut *dx);
            if let Some(distance) = &mut length.distance {
                // The mean over the rows of 1 − cos is half of their mean squared distance, which the kernel divides by the width.
                let op = SquaredError { x: &*x, goal: &*teacher, scale: 0.5 * width * scale * lengths };
                b.squared_error(op, distance, dx);
                grad_out = GradOut::Add(dx);
            }
            b.matmul_grad(Matmul::new(x, x), d, MatmulGrad { x: grad_out, w: &mut length.unwanted.2, bias: None });
        }
    }

    /// From the gradients of all vectors to those of the pooled hidden states, and of `pooled.weight`.
    pub(super) fn backward(&mut self, b: &mut B, weight: Option<&B::Tensor>, mut d_weight: Option<&mut B::Tensor>) {
        for side in &mut self.sides {
            let Side { pooled: [pooled, d_pooled], projected, cuts } = side;
            let (all, d_all) = match projected {
                Some([x, dx]) => (&*x, dx),
                None => (&*pooled, &mut *d_pooled),
            };
            for (cut, length) in cuts.iter_mut().zip(&mut self.lengths) {
                let (unwanted, d_gain, _) = &mut length.unwanted;
                let [_, d_unit] = &cut.unit;
                match (&mut cut.first, &length.select, unwanted) {
                    (Some([x, dx]), Some(select), Some(unwanted)) => {
                        b.norm_grad(Norm { x, gain: &cut.gain, eps: EPS }, d_unit, None, NormGrad { x: dx, gain: d_gain });
                        b.matmul_grad(Matmul::new(all, select), dx, MatmulGrad { x: GradOut::Add(d_all), w: unwanted, bias: None });
                    }
                    // The whole vector comes first, so it writes what the others add to.
                    _ => b.norm_grad(Norm { x: all, gain: &cut.gain, eps: EPS }, d_unit, None, NormGrad { x: d_all, gain: d_gain }),
                }
            }
            if let (Some(w), Some(d_w), Some([_, d_all])) = (weight, &mut d_weight, projected) {
                b.matmul_grad(Matmul::new(pooled, w), d_all, MatmulGrad { x: GradOut::Write(d_pooled), w: d_w, bias: None });
            }
        }
    }

    /// Mean losses of the last [`forward`](Self::forward). Waits for the device.
    pub(super) fn losses(&mut self, b: &mut B) -> Result<Losses, B::Error> {
        let n = self.host.len() / 3;
        let mut sum = Losses { count: n as u64, ..Losses::default() };
        let lengths = self.lengths.len() as f64;
        for length in &self.lengths {
            let columns = length.losses.shape().width();
            b.download(&length.losses, &mut self.host[..n * columns])?;
            let mean = self.host[..n * columns].iter().step_by(columns).map(|&x| f64::from(x)).sum::<f64>() / n as f64;
            match self.goal {
                Goal::Contrast { .. } => sum.nll += mean / lengths,
                Goal::Distill { .. } => sum.pairs += mean / lengths,
            }
            if let (Some(distance), Some([teacher, _])) = (&length.distance, &self.teacher) {
                b.download(distance, &mut self.host[..n])?;
                let mean = self.host[..n].iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64;
                sum.cosine = 0.5 * teacher.shape().width() as f64 * mean;
            }
        }
        Ok(sum)
    }
}
