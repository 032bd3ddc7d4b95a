//! Products of small matrices in the L1 and L2 caches, with the sums in registers.
//!
//! Everything here is inlined into a [`Kernel`](crate::simd::Kernel).

use crate::{
    real::Real,
    reduce::{dot, total},
    simd::{Kernel, nested},
};

/// Columns of a register tile: two AVX registers of f32, or one of AVX-512.
pub(crate) const LANES: usize = 16;
/// Rows of a register tile: with two registers of columns each, enough independent sums to hide the latency of fused
/// multiply-add.
const ROWS: usize = 6;
/// Columns of the tile of a single row, for the same reason.
const WIDE: usize = 4 * LANES;

/// The next multiple of [`LANES`].
pub(crate) const fn padded(n: usize) -> usize {
    n.next_multiple_of(LANES)
}

/// A row-major matrix with rows `stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, F> {
    pub(crate) data: &'a [F],
    pub(crate) stride: usize,
}

/// A mutable [`Matrix`].
pub(crate) struct MatrixMut<'a, F> {
    pub(crate) data: &'a mut [F],
    pub(crate) stride: usize,
}

/// `c = a · b`, or `c += a · b` where `ADD`: `a` is m×k, `b` k×n; n is a multiple of [`LANES`].
#[inline(always)]
pub(crate) fn product<F: Real, const FMA: bool, const ADD: bool>(
    a: Matrix<'_, F>,
    b: Matrix<'_, F>,
    c: MatrixMut<'_, F>,
    extents: [usize; 3],
) {
    a.check(extents[0], extents[2]);
    nested::<FMA, _>(Product::<F, ADD, false> { a, b, c, extents });
}

/// `c += aᵀ · b`: `a` is k×m, `b` k×n; n is a multiple of [`LANES`].
#[inline(always)]
pub(crate) fn product_transposed<F: Real, const FMA: bool>(a: Matrix<'_, F>, b: Matrix<'_, F>, c: MatrixMut<'_, F>, extents: [usize; 3]) {
    a.check(extents[2], extents[0]);
    nested::<FMA, _>(Product::<F, true, true> { a, b, c, extents });
}

/// A product; where `TRANSPOSED`, `a` is given as k×m.
struct Product<'a, F, const ADD: bool, const TRANSPOSED: bool> {
    a: Matrix<'a, F>,
    b: Matrix<'a, F>,
    c: MatrixMut<'a, F>,
    /// m, n, k
    extents: [usize; 3],
}

impl<F: Real, const ADD: bool, const TRANSPOSED: bool> Kernel for Product<'_, F, ADD, TRANSPOSED> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(mut self) {
        let [m, n, k] = self.extents;
        self.b.check(k, n);
        let mut first = 0;
        // A single row: its columns are the independent sums.
        while m == 1 && first + WIDE <= n {
            self.rows::<FMA, 1, WIDE>(0, first, k);
            first += WIDE;
        }
        for j in (first..n).step_by(LANES) {
            let mut i = 0;
            while i < m {
                i += match m - i {
                    ROWS.. => self.rows::<FMA, ROWS, LANES>(i, j, k),
                    2.. => self.rows::<FMA, 2, LANES>(i, j, k),
                    _ => self.rows::<FMA, 1, LANES>(i, j, k),
                };
            }
        }
    }
}

impl<F: Real, const ADD: bool, const TRANSPOSED: bool> Product<'_, F, ADD, TRANSPOSED> {
    /// Computes R × N elements from row `i` and column `j` on; returns R.
    #[inline(always)]
    fn rows<const FMA: bool, const R: usize, const N: usize>(&mut self, i: usize, j: usize, k: usize) -> usize {
        let (a, b) = (self.a, self.b);
        // SAFETY: `check` verified the rows and columns of both factors.
        let left = |p| core::array::from_fn(|r| unsafe { if TRANSPOSED { a.at(p, i + r) } else { a.at(i + r, p) } });
        let right = |p| unsafe { b.lanes::<N>(p, j) };
        let sums = products::<F, FMA, R, N>((0..k).map(left), (0..k).map(right));
        for (r, sum) in sums.iter().enumerate() {
            let c = self.c.data[(i + r) * self.c.stride + j..].first_chunk_mut::<N>().expect("whole lanes");
            for (c, &s) in c.iter_mut().zip(sum) {
                *c = if ADD { *c + s } else { s };
            }
        }
        R
    }
}

impl<F: Real> Matrix<'_, F> {
    /// Panics if the matrix has fewer rows or columns.
    #[inline(always)]
    fn check(&self, rows: usize, columns: usize) {
        assert!(columns <= self.stride && rows * self.stride <= self.data.len() + self.stride - columns, "{rows} x {columns}");
    }

    /// # Safety
    /// The element is within the extents that [`check`](Self::check) verified.
    #[inline(always)]
    unsafe fn at(&self, row: usize, column: usize) -> F {
        // SAFETY: the caller's promise.
        unsafe { *self.data.get_unchecked(row * self.stride + column) }
    }

    /// N columns from `column` on.
    ///
    /// # Safety
    /// As [`at`](Self::at).
    #[inline(always)]
    unsafe fn lanes<const N: usize>(&self, row: usize, column: usize) -> [F; N] {
        // SAFETY: the caller's promise.
        unsafe { *self.data.as_ptr().add(row * self.stride + column).cast() }
    }
}

/// `Σ_k left[k][r] · right[k]`. The sums stay in registers only if nothing in the loop can panic and they are local and
/// returned by value.
#[inline(always)]
pub(crate) fn products<F: Real, const FMA: bool, const R: usize, const N: usize>(
    left: impl Iterator<Item = [F; R]>,
    right: impl Iterator<Item = [F; N]>,
) -> [[F; N]; R] {
    let mut sums = [[F::ZERO; N]; R];
    for (a, b) in left.zip(right) {
        for r in 0..R {
            for j in 0..N {
                sums[r][j] = a[r].mul_add::<FMA>(b[j], sums[r][j]);
            }
        }
    }
    sums
}

/// `to = scale · from`, padded with zeros.
#[inline(always)]
pub(crate) fn put_scaled<F: Real>(from: &[F], scale: F, to: &mut [F]) {
    for (to, &x) in to.iter_mut().zip(from) {
        *to = scale * x;
    }
    to[from.len()..].fill(F::ZERO);
}

/// `y += a x`
#[inline(always)]
pub(crate) fn add_scaled<F: Real, const FMA: bool>(y: &mut [F], a: F, x: &[F]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = a.mul_add::<FMA>(x, *y);
    }
}

/// The largest element; the length is a multiple of [`LANES`].
#[inline(always)]
pub(crate) fn maximum<F: Real>(x: &[F]) -> F {
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
pub(crate) fn exponentials<F: Real>(x: &mut [F], shift: F) -> F {
    let mut sums = [F::ZERO; LANES];
    for x in x.chunks_exact_mut(LANES) {
        for (s, x) in sums.iter_mut().zip(x) {
            *x = (*x - shift).exp();
            *s += *x;
        }
    }
    total(sums)
}

/// `1 / sqrt(|v|² + 1e-6)`, the factor that normalises `v`.
#[inline(always)]
pub(crate) fn unit_scale<F: Real, const FMA: bool>(v: &[F]) -> F {
    F::ONE / (dot::<F, FMA>(v, v) + F::of(1e-6)).sqrt()
}

/// The gradient of `unit(v)`: `dv = r (du − û (û · du))` with `û = r v`, `r` from [`unit_scale`].
#[inline(always)]
pub(crate) fn unit_grad<F: Real, const FMA: bool>(v: &[F], du: &[F], dv: &mut [F]) {
    let r = unit_scale::<F, FMA>(v);
    let along = r * r * dot::<F, FMA>(v, du);
    for (dv, (&v, &du)) in dv.iter_mut().zip(v.iter().zip(du)) {
        *dv = r * (du - along * v);
    }
}

/// `x = softmax(logits)`
#[inline(always)]
pub(crate) fn softmax<F: Real>(logits: &[F], x: &mut [F]) {
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
pub(crate) fn softmax_grad<F: Real>(logits: &[F], d: &mut [F]) {
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
