//! The compared memories.

use super::{Components, Patterns};
use hh_core::backend::{Forward, Precision};
use hh_core::error::Error;
use hh_core::ops::{Columns, ColumnsMut, Hebbian, HebbianState, Recall, Slots};
use hh_core::shape::Shape;

/// An associative memory that stores patterns and completes corrupted ones.
pub trait Memory<B: Forward> {
    /// The completion of each probe.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails.
    fn complete(&mut self, b: &mut B, probes: &Patterns) -> Result<Patterns, Error>;
}

/// A modern Hopfield memory (Ramsauer et al. 2020), one step: kernel [`Recall`] with `K` = 1.
///
/// The patterns are its slots. Each query is the only position of its sequence and therefore sees nothing but the slots.
pub struct Modern<T> {
    patterns: T,
    log_beta: T,
}

impl<T> Modern<T> {
    /// Stores patterns.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails.
    pub fn new<B: Forward<Tensor = T>>(b: &mut B, patterns: &Patterns, beta: f64) -> Result<Self, Error> {
        let mut make = || -> Result<_, B::Error> {
            let shape = Shape::cube(1, patterns.count(), patterns.dimension);
            Ok((filled(b, shape, &patterns.numbers)?, filled(b, Shape::vector(1), &[beta.ln() as f32])?))
        };
        let (patterns, log_beta) = make().map_err(Error::device)?;
        Ok(Self { patterns, log_beta })
    }
}

impl<B: Forward> Memory<B> for Modern<B::Tensor> {
    fn complete(&mut self, b: &mut B, probes: &Patterns) -> Result<Patterns, Error> {
        let (count, d) = (probes.count(), probes.dimension);
        let mut read = || -> Result<_, B::Error> {
            let qpv = filled(b, Shape::cube(count, 1, 3 * d), &packed(probes, None, None))?;
            let depth = b.alloc(Shape::cube(count, 1, 1), Precision::Compute)?;
            let mut y = b.alloc(Shape::cube(count, 1, d), Precision::Compute)?;
            let op = Recall {
                qpv: Columns::all(&qpv),
                depth: &depth,
                log_beta: &self.log_beta,
                slots: Some(Slots { patterns: &self.patterns, values: &self.patterns }),
                head_dim: d,
                window: 0,
                successor: true,
            };
            b.recall(op, None, None, ColumnsMut::all(&mut y));
            downloaded(b, &y, probes)
        };
        read().map_err(Error::device)
    }
}

/// The classic memory (Hopfield 1982), one step: kernel [`Hebbian`] with `K` = 1 and no decay. As in that paper the matrix has
/// a zero diagonal: with it, the matrix of many patterns is nearly the identity and returns the probe.
pub struct Classic {
    /// `[2d, d]`: outer products of patterns with patterns, then of patterns with values, which are equal here.
    matrices: Vec<f32>,
    components: Components,
}

/// Maximum number of matrix elements in memory at a time.
const MATRICES_AT_ONCE: usize = 1 << 22;
/// Logit of a decay of 1: its sigmoid is 1 in f32.
const NO_DECAY: f32 = 30.0;

impl Classic {
    /// Stores patterns.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails.
    pub fn new<B: Forward>(b: &mut B, patterns: &Patterns, components: Components) -> Result<Self, Error> {
        // Position j stores the pattern of j − 1 with the value of j, which takes one more position than there are patterns.
        let d = patterns.dimension;
        let empty = Patterns { dimension: d, numbers: vec![0.0; patterns.numbers.len() + d] };
        let none = vec![0.0; d];
        let first = [&patterns.numbers[..], &none].concat();
        let second = [&none[..], &patterns.numbers].concat();
        let mut matrices = vec![0.0; 2 * d * d];
        let qpv = packed(&empty, Some(&first), Some(&second));
        read(b, [1, patterns.count() + 1, d], &qpv, &mut matrices).map_err(Error::device)?;
        matrices.chunks_exact_mut(d * d).for_each(|matrix| matrix.iter_mut().step_by(d + 1).for_each(|x| *x = 0.0));
        Ok(Self { matrices, components })
    }
}

impl<B: Forward> Memory<B> for Classic {
    fn complete(&mut self, b: &mut B, probes: &Patterns) -> Result<Patterns, Error> {
        let d = probes.dimension;
        // Each probe needs its own copy of the state.
        let at_once = (MATRICES_AT_ONCE / self.matrices.len()).max(1);
        let mut answers = Vec::with_capacity(probes.numbers.len());
        for numbers in probes.numbers.chunks(at_once * d) {
            let some = Patterns { dimension: d, numbers: numbers.to_vec() };
            let mut matrices = self.matrices.repeat(some.count());
            let qpv = packed(&some, None, None);
            answers.extend(read(b, [some.count(), 1, d], &qpv, &mut matrices).map_err(Error::device)?);
        }
        Ok(readout(Patterns { dimension: d, numbers: answers }, self.components))
    }
}

/// Runs kernel [`Hebbian`] over `[B, T, 3d]`, and updates the matrices `[B, 2d, d]`.
fn read<B: Forward>(b: &mut B, [batch, time, d]: [usize; 3], qpv: &[f32], matrices: &mut [f32]) -> Result<Vec<f32>, B::Error> {
    let qpv = filled(b, Shape::cube(batch, time, 3 * d), qpv)?;
    let depth = b.alloc(Shape::cube(batch, time, 1), Precision::Compute)?;
    let (log_beta, decay) = (b.alloc(Shape::vector(1), Precision::Full)?, filled(b, Shape::vector(1), &[NO_DECAY])?);
    let mut state = filled(b, Shape::cube(batch, 2 * d, d), matrices)?;
    let mut last = b.alloc(Shape::matrix(batch, d), Precision::Full)?;
    let mut y = b.alloc(Shape::cube(batch, time, d), Precision::Compute)?;
    let op = Hebbian { qpv: Columns::all(&qpv), depth: &depth, log_beta: &log_beta, decay: &decay, head_dim: d, successor: true };
    b.hebbian(op, Some(HebbianState { matrices: &mut state, last: &mut last }), ColumnsMut::all(&mut y));
    b.download(&state, matrices)?;
    let mut answers = vec![0.0; batch * time * d];
    b.download(&y, &mut answers)?;
    Ok(answers)
}

/// A recurrent network as a model of CA3 (Marr 1971, Treves and Rolls 1994): the classic matrix, iterated to a fixed point.
pub struct Ca3 {
    /// `[d, d]`
    weights: Vec<f32>,
    components: Components,
}

/// Maximum number of iterations, for networks that do not converge.
const ROUNDS: usize = 50;

impl Ca3 {
    /// Stores patterns.
    pub fn new(patterns: &Patterns, components: Components) -> Self {
        let d = patterns.dimension;
        let mut weights = vec![0.0; d * d];
        for pattern in patterns.each() {
            for (i, row) in weights.chunks_exact_mut(d).enumerate() {
                row.iter_mut().zip(pattern).for_each(|(w, x)| *w += pattern[i] * x);
            }
        }
        (0..d).for_each(|i| weights[i * d + i] = 0.0);
        Self { weights, components }
    }
}

impl<B: Forward> Memory<B> for Ca3 {
    fn complete(&mut self, _: &mut B, probes: &Patterns) -> Result<Patterns, Error> {
        let d = probes.dimension;
        let mut now = probes.clone();
        for _ in 0..ROUNDS {
            let mut numbers = Vec::with_capacity(now.numbers.len());
            for state in now.each() {
                let dot = |row: &[f32]| row.iter().zip(state).map(|(w, x)| w * x).sum::<f32>();
                numbers.extend(self.weights.chunks_exact(d).map(dot));
            }
            let next = readout(Patterns { dimension: d, numbers }, self.components);
            let moved = next.numbers.iter().zip(&now.numbers).any(|(a, b)| (a - b).abs() > 1e-5);
            now = next;
            if !moved {
                break;
            }
        }
        Ok(now)
    }
}

/// Maps the output of a linear memory to patterns: signs, or vectors of the patterns' mean length.
fn readout(mut answers: Patterns, components: Components) -> Patterns {
    let length = (answers.dimension as f32).sqrt();
    for answer in answers.numbers.chunks_exact_mut(answers.dimension) {
        match components {
            Components::Bipolar => answer.iter_mut().for_each(|x| *x = if *x < 0.0 { -1.0 } else { 1.0 }),
            Components::Gaussian => {
                let scale = length / answer.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
                answer.iter_mut().for_each(|x| *x *= scale);
            }
        }
    }
    answers
}

/// Rows `q | pattern | value`; absent parts are zero.
fn packed(queries: &Patterns, patterns: Option<&[f32]>, values: Option<&[f32]>) -> Vec<f32> {
    let none = vec![0.0; queries.dimension];
    let row = |of: Option<&[f32]>, at: usize| of.map_or(none.clone(), |of| of[at * queries.dimension..][..queries.dimension].to_vec());
    queries.each().enumerate().flat_map(|(at, query)| [query.to_vec(), row(patterns, at), row(values, at)].concat()).collect()
}

fn filled<B: Forward>(b: &mut B, shape: Shape, numbers: &[f32]) -> Result<B::Tensor, B::Error> {
    let mut tensor = b.alloc(shape, Precision::Full)?;
    b.upload(numbers, &mut tensor)?;
    Ok(tensor)
}

fn downloaded<B: Forward>(b: &mut B, y: &B::Tensor, like: &Patterns) -> Result<Patterns, B::Error> {
    let mut numbers = vec![0.0; like.numbers.len()];
    b.download(y, &mut numbers)?;
    Ok(Patterns { dimension: like.dimension, numbers })
}
