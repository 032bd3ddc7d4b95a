//! Products of small matrices that lie in the nearest caches, with the sums in registers.
//!
//! Everything here is inlined into a [`Kernel`](crate::simd::Kernel).

use crate::{float::Float, reduce::dot};

/// Columns that are computed together: two AVX registers of f32, or one of AVX-512.
pub(crate) const LANES: usize = 16;
/// Rows that are computed together: with two registers of columns each, enough sums in flight to hide the latency of
/// fused multiply-add.
const ROWS: usize = 4;

/// The next multiple of [`LANES`].
pub(crate) const fn padded(n: usize) -> usize {
    n.next_multiple_of(LANES)
}

/// A matrix, row-major, whose rows lie `stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, F> {
    pub(crate) data: &'a [F],
    pub(crate) stride: usize,
}

/// A matrix to be written.
pub(crate) struct MatrixMut<'a, F> {
    pub(crate) data: &'a mut [F],
    pub(crate) stride: usize,
}

/// `c = a · b`, or `c += a · b` where `ADD`: `a` is m×k, `b` k×n; n is a multiple of [`LANES`].
#[inline(always)]
pub(crate) fn product<F: Float, const FMA: bool, const ADD: bool>(
    a: Matrix<'_, F>,
    b: Matrix<'_, F>,
    c: MatrixMut<'_, F>,
    [m, n, k]: [usize; 3],
) {
    let row = |i: usize| &a.data[i * a.stride..][..k];
    for j in (0..n).step_by(LANES) {
        let mut i = 0;
        while i + ROWS <= m {
            let rows = [row(i), row(i + 1), row(i + 2), row(i + 3)];
            let mut sums = load::<F, ADD, ROWS>(&c, i, j);
            for p in 0..k {
                let b = lanes(b, p, j);
                for (sum, a) in sums.iter_mut().zip(&rows) {
                    accumulate::<F, FMA>(sum, a[p], b);
                }
            }
            store(c.data, c.stride, i, j, &sums);
            i += ROWS;
        }
        while i < m {
            let a = row(i);
            let mut sums = load::<F, ADD, 1>(&c, i, j);
            for (p, &a) in a.iter().enumerate() {
                accumulate::<F, FMA>(&mut sums[0], a, lanes(b, p, j));
            }
            store(c.data, c.stride, i, j, &sums);
            i += 1;
        }
    }
}

/// `c += aᵀ · b`: `a` is k×m, `b` k×n; n is a multiple of [`LANES`].
#[inline(always)]
pub(crate) fn product_transposed<F: Float, const FMA: bool>(
    a: Matrix<'_, F>,
    b: Matrix<'_, F>,
    c: MatrixMut<'_, F>,
    [m, n, k]: [usize; 3],
) {
    for j in (0..n).step_by(LANES) {
        let mut i = 0;
        while i + ROWS <= m {
            let mut sums = load::<F, true, ROWS>(&c, i, j);
            for p in 0..k {
                let b = lanes(b, p, j);
                let a = &a.data[p * a.stride + i..][..ROWS];
                for (sum, &a) in sums.iter_mut().zip(a) {
                    accumulate::<F, FMA>(sum, a, b);
                }
            }
            store(c.data, c.stride, i, j, &sums);
            i += ROWS;
        }
        while i < m {
            let mut sums = load::<F, true, 1>(&c, i, j);
            for p in 0..k {
                accumulate::<F, FMA>(&mut sums[0], a.data[p * a.stride + i], lanes(b, p, j));
            }
            store(c.data, c.stride, i, j, &sums);
            i += 1;
        }
    }
}

#[inline(always)]
fn lanes<F>(b: Matrix<'_, F>, row: usize, column: usize) -> &[F; LANES] {
    b.data[row * b.stride + column..].first_chunk().expect("a multiple of LANES columns")
}

#[inline(always)]
fn accumulate<F: Float, const FMA: bool>(sum: &mut [F; LANES], a: F, b: &[F; LANES]) {
    for (s, &b) in sum.iter_mut().zip(b) {
        *s = a.mul_add::<FMA>(b, *s);
    }
}

#[inline(always)]
fn load<F: Float, const ADD: bool, const R: usize>(c: &MatrixMut<'_, F>, i: usize, j: usize) -> [[F; LANES]; R] {
    let mut sums = [[F::ZERO; LANES]; R];
    if ADD {
        for (r, sum) in sums.iter_mut().enumerate() {
            sum.copy_from_slice(&c.data[(i + r) * c.stride + j..][..LANES]);
        }
    }
    sums
}

#[inline(always)]
fn store<F: Float, const R: usize>(c: &mut [F], stride: usize, i: usize, j: usize, sums: &[[F; LANES]; R]) {
    for (r, sum) in sums.iter().enumerate() {
        c[(i + r) * stride + j..][..LANES].copy_from_slice(sum);
    }
}

/// `to = scale · from`, zeros behind it.
#[inline(always)]
pub(crate) fn put_scaled<F: Float>(from: &[F], scale: F, to: &mut [F]) {
    for (to, &x) in to.iter_mut().zip(from) {
        *to = scale * x;
    }
    to[from.len()..].fill(F::ZERO);
}

/// `y += a x`
#[inline(always)]
pub(crate) fn add_scaled<F: Float, const FMA: bool>(y: &mut [F], a: F, x: &[F]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = a.mul_add::<FMA>(x, *y);
    }
}

/// The largest element; the length is a multiple of [`LANES`].
#[inline(always)]
pub(crate) fn maximum<F: Float>(x: &[F]) -> F {
    let mut best = [F::NEG_INFINITY; LANES];
    for x in x.chunks_exact(LANES) {
        for (b, &x) in best.iter_mut().zip(x) {
            *b = x.max(*b);
        }
    }
    best.into_iter().fold(F::NEG_INFINITY, F::max)
}

/// `x = exp(x − shift)`; returns the sum. The length is a multiple of [`LANES`].
#[inline(always)]
pub(crate) fn exponentials<F: Float>(x: &mut [F], shift: F) -> F {
    let mut sums = [F::ZERO; LANES];
    for x in x.chunks_exact_mut(LANES) {
        for (s, x) in sums.iter_mut().zip(x) {
            *x = (*x - shift).exp();
            *s += *x;
        }
    }
    total(sums)
}

/// The sum, halving.
#[inline(always)]
fn total<F: Float>(mut sums: [F; LANES]) -> F {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
        half /= 2;
    }
    sums[0]
}

/// `1 / sqrt(|v|² + 1e-6)`: what makes `v` a unit vector.
#[inline(always)]
pub(crate) fn unit_scale<F: Float, const FMA: bool>(v: &[F]) -> F {
    F::ONE / (dot::<F, FMA>(v, v) + F::of(1e-6)).sqrt()
}

/// The gradient of `unit(v)`: `dv = r (du − û (û · du))` with `û = r v`, `r` from [`unit_scale`].
#[inline(always)]
pub(crate) fn unit_grad<F: Float, const FMA: bool>(v: &[F], du: &[F], dv: &mut [F]) {
    let r = unit_scale::<F, FMA>(v);
    let along = r * r * dot::<F, FMA>(v, du);
    for (dv, (&v, &du)) in dv.iter_mut().zip(v.iter().zip(du)) {
        *dv = r * (du - along * v);
    }
}

/// `x = softmax(logits)`
#[inline(always)]
pub(crate) fn softmax<F: Float>(logits: &[F], x: &mut [F]) {
    let top = logits.iter().fold(F::NEG_INFINITY, |m, &l| l.max(m));
    let mut sum = F::ZERO;
    for (x, &l) in x.iter_mut().zip(logits) {
        *x = (l - top).exp();
        sum += *x;
    }
    for x in x {
        *x /= sum;
    }
}

/// The gradient of the logits from that of `softmax(logits)`, in place: `d = p (d − Σ p d)`.
#[inline(always)]
pub(crate) fn softmax_grad<F: Float>(logits: &[F], d: &mut [F]) {
    let top = logits.iter().fold(F::NEG_INFINITY, |m, &l| l.max(m));
    let (mut sum, mut mean) = (F::ZERO, F::ZERO);
    for (&d, &l) in d.iter().zip(logits) {
        sum += (l - top).exp();
        mean += (l - top).exp() * d;
    }
    for (d, &l) in d.iter_mut().zip(logits) {
        *d = (l - top).exp() / sum * (*d - mean / sum);
    }
}
