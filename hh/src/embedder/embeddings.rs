//! Vectors of texts, and how near they are to each other.

use super::Output;
use crate::Error;
use std::cmp::Ordering;

/// Vectors, one a text, in the order of the texts.
#[derive(Clone, PartialEq, Debug)]
pub struct Embeddings {
    len: usize,
    dim: usize,
    values: Values,
}

/// All numbers of some vectors, row by row.
#[derive(Clone, PartialEq, Debug)]
pub enum Values {
    /// `[n, dim]`
    F32(Vec<f32>),
    /// `[n, dim]`; 127 stands for 1.
    Int8(Vec<i8>),
    /// `[n, ⌈dim / 8⌉]` bytes; see [`Output::Binary`].
    Binary(Vec<u8>),
}

/// One vector.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Vector<'a> {
    /// Its numbers.
    F32(&'a [f32]),
    /// Its numbers; 127 stands for 1.
    Int8(&'a [i8]),
    /// A bit for each of its numbers; see [`Output::Binary`].
    Binary {
        /// Bits, eight a byte.
        bits: &'a [u8],
        /// How many numbers they stand for.
        dim: usize,
    },
}

/// A vector that was found.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Hit {
    /// Its row.
    pub index: usize,
    /// See [`Vector::similarity`].
    pub score: f32,
}

impl Embeddings {
    /// From numbers, `[n, dim]`, as vectors that were stored.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where `values` is no whole number of rows.
    pub fn new(dim: usize, values: Values) -> Result<Self, Error> {
        let (count, row) = match &values {
            Values::F32(x) => (x.len(), dim),
            Values::Int8(x) => (x.len(), dim),
            Values::Binary(x) => (x.len(), dim.div_ceil(8)),
        };
        if row == 0 || !count.is_multiple_of(row) {
            return Err(Error::Mismatch(format!("{count} values are no whole number of embeddings of {dim} dimensions")));
        }
        Ok(Self { len: count / row, dim, values })
    }

    /// From numbers in f32, of length 1 if they are to be bytes.
    pub(super) fn of(dim: usize, values: Vec<f32>, output: Output) -> Self {
        let len = values.len() / dim;
        let values = match output {
            Output::F32 => Values::F32(values),
            Output::Int8 => Values::Int8(values.iter().map(|x| (x * 127.0).round() as i8).collect()),
            Output::Binary => Values::Binary(values.chunks(dim).flat_map(|row| row.chunks(8).map(byte)).collect()),
        };
        Self { len, dim, values }
    }

    /// The same embeddings in another data type. For int8, f32 embeddings must have length 1: values beyond ±1 are clipped.
    ///
    /// # Errors
    /// [`Error::Mismatch`] unless these are f32.
    pub fn quantised(self, output: Output) -> Result<Self, Error> {
        match self.values {
            Values::F32(values) => Ok(Self::of(self.dim, values, output)),
            _ => Err(Error::Mismatch("only f32 embeddings can be quantised; embed with Output::F32 first".into())),
        }
    }

    /// How many vectors there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Dimensions of an embedding.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All numbers.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// All numbers `[n, dim]`, if they are f32.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.values {
            Values::F32(values) => Some(values),
            _ => None,
        }
    }

    /// The numbers themselves.
    pub fn into_values(self) -> Values {
        self.values
    }

    /// The embedding of text `i`.
    ///
    /// # Panics
    /// Where there are not as many.
    pub fn vector(&self, i: usize) -> Vector<'_> {
        assert!(i < self.len, "vector {i} of {}", self.len);
        let dim = self.dim;
        match &self.values {
            Values::F32(x) => Vector::F32(&x[i * dim..][..dim]),
            Values::Int8(x) => Vector::Int8(&x[i * dim..][..dim]),
            Values::Binary(x) => Vector::Binary { bits: &x[i * dim.div_ceil(8)..][..dim.div_ceil(8)], dim },
        }
    }

    /// All vectors.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Vector<'_>> + DoubleEndedIterator {
        (0..self.len).map(|i| self.vector(i))
    }

    /// Each of these with each of `others`, `[n, m]` row by row; see [`Vector::similarity`].
    ///
    /// # Errors
    /// [`Error::Mismatch`] for vectors of another dim or output.
    pub fn similarity(&self, others: &Embeddings) -> Result<Vec<f32>, Error> {
        self.iter().flat_map(|a| others.iter().map(move |b| a.similarity(b))).collect()
    }

    /// The `k` vectors that are nearest to `query`, the nearest first, of equals the first; all if there are fewer. Every
    /// vector is looked at.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for a query of another dim or output.
    pub fn top_k(&self, query: Vector<'_>, k: usize) -> Result<Vec<Hit>, Error> {
        let hits = self.iter().enumerate().map(|(index, vector)| Ok(Hit { index, score: query.similarity(vector)? }));
        let mut hits: Vec<Hit> = hits.collect::<Result<_, Error>>()?;
        if k < hits.len() {
            hits.select_nth_unstable_by(k, nearest_first);
            hits.truncate(k);
        }
        hits.sort_unstable_by(nearest_first);
        Ok(hits)
    }
}

/// Of equals, the first.
fn nearest_first(a: &Hit, b: &Hit) -> Ordering {
    b.score.total_cmp(&a.score).then(a.index.cmp(&b.index))
}

impl Vector<'_> {
    /// Numbers that it has.
    pub fn dim(&self) -> usize {
        match self {
            Self::F32(x) => x.len(),
            Self::Int8(x) => x.len(),
            Self::Binary { dim, .. } => *dim,
        }
    }

    /// The cosine of two vectors, between −1 and 1, whatever their lengths; 0 where one is zero. Of bits, the cosine of ±1 in
    /// their place, `1 − 2 · (bits that differ) / dim`.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for vectors of another dim or output.
    pub fn similarity(self, other: Vector<'_>) -> Result<f32, Error> {
        match (self, other) {
            (Self::F32(a), Vector::F32(b)) if a.len() == b.len() => Ok(cosine(dot(a, b), dot(a, a), dot(b, b))),
            (Self::Int8(a), Vector::Int8(b)) if a.len() == b.len() => {
                let dot = |a: &[i8], b: &[i8]| a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum::<i32>() as f32;
                Ok(cosine(dot(a, b), dot(a, a), dot(b, b)))
            }
            (Self::Binary { bits: a, dim }, Vector::Binary { bits: b, dim: same }) if dim == same => {
                let differ: u32 = a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum();
                Ok(1.0 - 2.0 * differ as f32 / dim as f32)
            }
            _ => Err(Error::Mismatch(format!("{} cannot be compared with {}: make both with the same options", self.kind(), other.kind()))),
        }
    }

    fn kind(&self) -> String {
        let of = match self {
            Self::F32(_) => "f32",
            Self::Int8(_) => "int8",
            Self::Binary { .. } => "binary",
        };
        format!("a vector of {} {of} numbers", self.dim())
    }
}

fn cosine(dot: f32, a: f32, b: f32) -> f32 {
    if a > 0.0 && b > 0.0 { dot / (a.sqrt() * b.sqrt()) } else { 0.0 }
}

/// In eight sums, which the compiler keeps in vectors.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        for l in 0..8 {
            sums[l] += a[l] * b[l];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// Up to eight signs, the first the highest.
fn byte(numbers: &[f32]) -> u8 {
    numbers.iter().enumerate().fold(0, |byte, (i, &x)| byte | u8::from(x > 0.0) << (7 - i))
}
