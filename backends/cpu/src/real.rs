//! The two element types that every kernel is generic over: f32, and f64 to check gradients with.

use crate::{
    buffer::Zeroable,
    simd::{Closure, Kernel, Level, Tile},
};
use core::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

/// A floating-point type. The f32 functions are branch-free polynomials, so that loops over them vectorise;
/// the f64 ones are libm's, for accuracy.
pub trait Real:
    Copy
    + Default
    + PartialOrd
    + Send
    + Sync
    + core::fmt::Debug
    + core::iter::Sum
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + 'static
    + Zeroable
{
    /// 0
    const ZERO: Self;
    /// 1
    const ONE: Self;
    /// −∞
    const NEG_INFINITY: Self;
    /// Rounds to this type.
    fn of(x: f64) -> Self;
    /// Widens, or is the identity.
    fn to_f64(self) -> f64;
    /// Little-endian f32 values where they lie; `None` where they are not aligned, or of another type or byte order here.
    fn in_place(bytes: &'static [u8]) -> Option<&'static [Self]>;
    /// Widens, or is the identity.
    fn of_f32(x: f32) -> Self;
    /// Rounds, or is the identity.
    fn to_f32(self) -> f32;
    /// `self · a + b`: one rounding where `FMA` states that the processor has the instruction, two elsewhere.
    fn mul_add<const FMA: bool>(self, a: Self, b: Self) -> Self;
    /// eˣ
    fn exp(self) -> Self;
    /// eˣ − 1, accurate near 0
    fn exp_m1(self) -> Self;
    /// ln x
    fn ln(self) -> Self;
    /// ln(1 + x), accurate near 0
    fn ln_1p(self) -> Self;
    /// √x
    fn sqrt(self) -> Self;
    /// tanh x
    fn tanh(self) -> Self;
    /// |x|
    fn abs(self) -> Self;
    /// The larger; `other` where either is NaN.
    fn max(self, other: Self) -> Self;
    /// The smaller; `other` where either is NaN.
    fn min(self, other: Self) -> Self;
    /// Runs a kernel compiled for the level's instructions. f64, used to check gradients, is compiled for the baseline
    /// only, to save compile time.
    fn run<K: Kernel>(level: Level, kernel: K) -> K::Output;
    /// As [`run`](Self::run), for the inner loops of a matrix product.
    fn tile<K: Tile>(level: Level, kernel: K);
    /// Rows and columns of [`tile`](Self::tile)'s tiles.
    fn tile_extents(level: Level) -> [usize; 2];
    /// As [`run`](Self::run), for a closure without fused multiply-add, such as an element-wise loop. It must be marked
    /// `#[inline(always)]`: a large closure is otherwise compiled separately, for the baseline instructions.
    #[inline]
    fn vectorise<R>(level: Level, f: impl FnOnce() -> R) -> R {
        Self::run(level, Closure(f))
    }
    /// `1 / (1 + e⁻ˣ)`
    #[inline(always)]
    fn sigmoid(self) -> Self {
        Self::ONE / (Self::ONE + (-self).exp())
    }
    /// `x · sigmoid(x)`
    #[inline(always)]
    fn silu(self) -> Self {
        self * self.sigmoid()
    }
    /// `d silu(x) / dx = σ (1 + x (1 − σ))`
    #[inline(always)]
    fn silu_grad(self) -> Self {
        let s = self.sigmoid();
        s * (Self::ONE + self * (Self::ONE - s))
    }
    /// `ln(1 + eˣ)`, without overflow
    #[inline(always)]
    fn softplus(self) -> Self {
        self.max(Self::ZERO) + (-self.abs()).exp().ln_1p()
    }
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const NEG_INFINITY: Self = f32::NEG_INFINITY;
    #[inline(always)]
    fn of(x: f64) -> Self {
        x as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self as f64
    }
    fn in_place(bytes: &'static [u8]) -> Option<&'static [Self]> {
        // SAFETY: four bytes of any value are an f32.
        let (before, values, after) = unsafe { bytes.align_to() };
        (cfg!(target_endian = "little") && before.is_empty() && after.is_empty()).then_some(values)
    }
    #[inline(always)]
    fn of_f32(x: f32) -> Self {
        x
    }
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
    #[inline(always)]
    fn mul_add<const FMA: bool>(self, a: Self, b: Self) -> Self {
        if FMA { fused_f32(self, a, b) } else { self * a + b }
    }
    #[inline(always)]
    fn exp(self) -> Self {
        crate::polynomial::exp(self)
    }
    #[inline(always)]
    fn exp_m1(self) -> Self {
        crate::polynomial::exp_m1(self)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        crate::polynomial::ln(self)
    }
    #[inline(always)]
    fn ln_1p(self) -> Self {
        crate::polynomial::ln_1p(self)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        sqrt_f32(self)
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        crate::polynomial::tanh(self)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        f32::from_bits(self.to_bits() & 0x7fff_ffff)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        if self < other { self } else { other }
    }
    #[inline]
    fn run<K: Kernel>(level: Level, kernel: K) -> K::Output {
        level.run(kernel)
    }
    #[inline]
    fn tile<K: Tile>(level: Level, kernel: K) {
        level.tile(kernel);
    }
    fn tile_extents(level: Level) -> [usize; 2] {
        level.tile_extents()
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const NEG_INFINITY: Self = f64::NEG_INFINITY;
    #[inline(always)]
    fn of(x: f64) -> Self {
        x
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    fn in_place(_: &'static [u8]) -> Option<&'static [Self]> {
        None
    }
    #[inline(always)]
    fn of_f32(x: f32) -> Self {
        x as f64
    }
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self as f32
    }
    #[inline(always)]
    fn mul_add<const FMA: bool>(self, a: Self, b: Self) -> Self {
        if FMA { fused_f64(self, a, b) } else { self * a + b }
    }
    #[inline(always)]
    fn exp(self) -> Self {
        libm::exp(self)
    }
    #[inline(always)]
    fn exp_m1(self) -> Self {
        libm::expm1(self)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        libm::log(self)
    }
    #[inline(always)]
    fn ln_1p(self) -> Self {
        libm::log1p(self)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        libm::sqrt(self)
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        libm::tanh(self)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        f64::from_bits(self.to_bits() & (u64::MAX >> 1))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        if self < other { self } else { other }
    }
    #[inline]
    fn run<K: Kernel>(level: Level, kernel: K) -> K::Output {
        level.run_baseline(kernel)
    }
    #[inline]
    fn tile<K: Tile>(level: Level, kernel: K) {
        level.tile_baseline(kernel);
    }
    fn tile_extents(_: Level) -> [usize; 2] {
        [4, 4]
    }
}

// std compiles `mul_add` and `sqrt` to instructions; core has neither, so no_std falls back to two roundings and libm.

#[cfg(feature = "std")]
#[inline(always)]
fn fused_f32(x: f32, a: f32, b: f32) -> f32 {
    x.mul_add(a, b)
}
#[cfg(feature = "std")]
#[inline(always)]
fn fused_f64(x: f64, a: f64, b: f64) -> f64 {
    x.mul_add(a, b)
}
#[cfg(feature = "std")]
#[inline(always)]
fn sqrt_f32(x: f32) -> f32 {
    x.sqrt()
}

#[cfg(not(feature = "std"))]
#[inline(always)]
fn fused_f32(x: f32, a: f32, b: f32) -> f32 {
    x * a + b
}
#[cfg(not(feature = "std"))]
#[inline(always)]
fn fused_f64(x: f64, a: f64, b: f64) -> f64 {
    x * a + b
}
#[cfg(not(feature = "std"))]
#[inline(always)]
fn sqrt_f32(x: f32) -> f32 {
    libm::sqrtf(x)
}
