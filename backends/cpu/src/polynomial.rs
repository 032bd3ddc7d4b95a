//! Branch-free f32 functions that vectorise: minimax polynomials after Cephes (Moshier), within a few units in the
//! last place. Selects instead of branches give every SIMD lane the same control flow.

/// eˣ; 0 below −87.3 (subnormal results are flushed), +∞ above 88.7.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // x = n ln 2 + r, |r| ≤ ½ ln 2; adding 1.5·2²³ rounds to the nearest integer.
    const MAGIC: f32 = 12_582_912.0;
    let clamped = if x > 88.8 { 88.8 } else { x };
    let clamped = if clamped < -88.0 { -88.0 } else { clamped };
    let shifted = clamped * core::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = (clamped - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let y = (p * r * r + r) + 1.0;
    // The low bits of `shifted` are n. Two factors, since 2¹²⁸ exceeds the exponent's range.
    let n = (shifted.to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32);
    let half = n >> 1;
    let scale = |e: i32| f32::from_bits(((e + 127) << 23) as u32);
    let y = y * scale(half) * scale(n - half);
    let y = if x > 88.722_84 { f32::INFINITY } else { y };
    if x < -87.336_54 { 0.0 } else { y }
}

/// eˣ − 1
#[inline(always)]
pub(crate) fn exp_m1(x: f32) -> f32 {
    // Near 0 the Taylor series to the 7th power, relative error below 2e-8 on |x| < 0.35; elsewhere exp(x) − 1 is accurate.
    let p = 1.984_127e-4;
    let p = p * x + 1.388_888_9e-3;
    let p = p * x + 8.333_334e-3;
    let p = p * x + 4.166_666_8e-2;
    let p = p * x + 1.666_666_7e-1;
    let p = p * x + 0.5;
    let near = (p * x) * x + x;
    let far = exp(x) - 1.0;
    if x > -0.35 && x < 0.35 { near } else { far }
}

/// ln x; NaN below 0, −∞ at 0.
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    // x = m 2ᵉ with m in [√½, √2).
    let bits = x.to_bits() as i32;
    let e = (bits.wrapping_sub(0x3f35_04f3)) >> 23;
    let m = f32::from_bits(bits.wrapping_sub(e << 23) as u32);
    let y = ln_1p_reduced(m - 1.0, e as f32);
    let y = if x == f32::INFINITY { x } else { y };
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    if x < 0.0 || x.is_nan() { f32::NAN } else { y }
}

/// ln(1 + x) for x ≥ 0 up to 1e30 and down to −0.999; accurate near 0.
#[inline(always)]
pub(crate) fn ln_1p(x: f32) -> f32 {
    // ln(u) with u = 1 + x rounded, plus the rounding error's first-order term (x − (u − 1)) / u.
    let u = 1.0 + x;
    ln(u) + (x - (u - 1.0)) / u
}

/// `ln(1 + f) + e ln 2` for `1 + f` in [√½, √2).
#[inline(always)]
fn ln_1p_reduced(f: f32, e: f32) -> f32 {
    let p = 7.037_683_6e-2;
    let p = p * f - 1.151_461e-1;
    let p = p * f + 1.167_699_9e-1;
    let p = p * f - 1.242_014_1e-1;
    let p = p * f + 1.424_932_3e-1;
    let p = p * f - 1.666_805_8e-1;
    let p = p * f + 2.000_071_5e-1;
    let p = p * f - 2.499_999_4e-1;
    let p = p * f + 3.333_333e-1;
    let square = f * f;
    let y = p * f * square - 2.121_944_4e-4 * e - 0.5 * square;
    (f + y) + 0.693_359_4 * e
}

/// tanh x
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let a = f32::from_bits(x.to_bits() & 0x7fff_ffff);
    let square = x * x;
    let p = -5.704_988_7e-3;
    let p = p * square + 2.063_909e-2;
    let p = p * square - 5.373_971e-2;
    let p = p * square + 1.333_144_2e-1;
    let p = p * square - 3.333_328e-1;
    let near = p * square * x + x;
    let far = 1.0 - 2.0 / (exp(2.0 * a) + 1.0);
    let far = f32::from_bits(far.to_bits() | (x.to_bits() & 0x8000_0000));
    if a < 0.625 { near } else { far }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(f: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64, from: f32, to: f32) -> f64 {
        (0..=200_000)
            .map(|i| from + (to - from) * i as f32 / 200_000.0)
            .map(|x| {
                let y = exact(x as f64);
                ((f(x) as f64 - y) / y.abs().max(1e-30)).abs()
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn polynomials_agree_with_libm_to_a_few_units_in_the_last_place() {
        let ulp = f32::EPSILON as f64;
        for (name, error) in [
            ("exp", worst(exp, libm::exp, -87.0, 88.0)),
            ("exp_m1 near", worst(exp_m1, libm::expm1, -0.35, 0.35)),
            ("exp_m1 far", worst(exp_m1, libm::expm1, -20.0, 20.0)),
            ("ln", worst(ln, libm::log, 1e-6, 0.9)),
            ("ln above", worst(ln, libm::log, 1.1, 1e6)),
            ("ln_1p near", worst(ln_1p, libm::log1p, 1e-8, 0.1)),
            ("ln_1p", worst(ln_1p, libm::log1p, 0.0001, 100.0)),
            ("tanh", worst(tanh, libm::tanh, 1e-4, 20.0)),
        ] {
            assert!(error < 4.0 * ulp, "{name}: {:.1} ulp", error / ulp);
        }
    }

    #[test]
    fn limits_and_non_finite_inputs_are_exact() {
        assert_eq!((exp(-200.0), exp(f32::NEG_INFINITY), exp(0.0)), (0.0, 0.0, 1.0));
        assert_eq!((exp(200.0), exp(f32::INFINITY)), (f32::INFINITY, f32::INFINITY));
        assert!((exp(88.7) as f64 / libm::exp(88.7f32 as f64) - 1.0).abs() < 1e-6);
        assert!(exp(f32::NAN).is_nan() && ln(f32::NAN).is_nan() && ln(-1.0).is_nan() && tanh(f32::NAN).is_nan());
        assert_eq!((ln(0.0), ln(1.0), ln(f32::INFINITY)), (f32::NEG_INFINITY, 0.0, f32::INFINITY));
        assert_eq!((tanh(0.0), tanh(50.0), tanh(-50.0)), (0.0, 1.0, -1.0));
        assert_eq!((exp_m1(0.0), exp_m1(-100.0), ln_1p(0.0)), (0.0, -1.0, 0.0));
    }
}
