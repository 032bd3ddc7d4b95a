//! The two 16-bit floating-point formats: IEEE 754 binary16 (`f16`) and bfloat16, as bits.
//!
//! Narrowing rounds to nearest, ties to even; it gives an infinity where a finite number is too large.

/// The number whose upper 16 bits are `bits`; exact.
#[inline]
pub const fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits((bits as u32) << 16)
}

/// The nearest bfloat16.
#[inline]
pub const fn f32_to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return (bits >> 16) as u16 | 0x40; // quiet, and not an infinity even if the payload lies in the lower half
    }
    let odd = (bits >> 16) & 1;
    ((bits + 0x7fff + odd) >> 16) as u16
}

/// The number that `bits` stand for in binary16; exact.
#[inline]
pub const fn f16_to_f32(bits: u16) -> f32 {
    let sign = (bits as u32 & 0x8000) << 16;
    let (exponent, fraction) = (bits as u32 >> 10 & 0x1f, bits as u32 & 0x3ff);
    let magnitude = match exponent {
        0 => (fraction as f32 * F16_TINY).to_bits(),
        0x1f => 0x7f80_0000 | fraction << 13,
        _ => (exponent + 112) << 23 | fraction << 13, // 112 = 127 − 15, the difference of the biases
    };
    f32::from_bits(sign | magnitude)
}

/// The nearest binary16.
#[inline]
pub const fn f32_to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    sign | match magnitude {
        0x7f80_0001.. => 0x7e00,
        F16_OVERFLOW.. => 0x7c00,
        F16_NORMAL.. => {
            let odd = magnitude >> 13 & 1;
            ((magnitude - (112 << 23) + 0xfff + odd) >> 13) as u16
        }
        // Adding 0.5 leaves a unit in the last place of 2⁻²⁴, the step of subnormals: the adder rounds for us.
        _ => ((f32::from_bits(magnitude) + 0.5).to_bits() - 0.5f32.to_bits()) as u16,
    }
}

/// 2⁻²⁴, the least positive binary16.
const F16_TINY: f32 = 1.0 / (1 << 24) as f32;
/// Bits of 2⁻¹⁴, the least normal binary16.
const F16_NORMAL: u32 = 113 << 23;
/// Bits of 65520, the least number that rounds to an infinity.
const F16_OVERFLOW: u32 = 0x477f_f000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng;

    /// Every number of a format, the midpoints between neighbours, and a float to either side of each midpoint.
    fn check(widen: fn(u16) -> f32, narrow: fn(f32) -> u16, infinity: u16) {
        for bits in 0..infinity {
            let x = widen(bits);
            assert!(x.is_finite());
            assert_eq!((narrow(x), narrow(-x)), (bits, bits | 0x8000));
            if bits + 1 < infinity {
                let above = widen(bits + 1);
                let middle = ((f64::from(x) + f64::from(above)) / 2.0) as f32;
                assert_eq!(narrow(middle), bits + (bits & 1), "{middle:e} is halfway: to even");
                assert_eq!((narrow(middle.next_down()), narrow(middle.next_up())), (bits, bits + 1));
            }
        }
        assert_eq!(widen(infinity), f32::INFINITY);
        assert_eq!((narrow(f32::INFINITY), narrow(f32::NEG_INFINITY)), (infinity, infinity | 0x8000));
        for nan in [f32::NAN, f32::from_bits(0x7f80_0001), f32::from_bits(0xffff_ffff)] {
            assert!(widen(narrow(nan)).is_nan());
        }
        for bits in infinity + 1..0x8000 {
            assert!(widen(bits).is_nan());
        }
    }

    #[test]
    fn f16_rounds_to_nearest_even_everywhere() {
        check(f16_to_f32, f32_to_f16, 0x7c00);
        assert_eq!((f32_to_f16(65519.996), f32_to_f16(65520.0), f32_to_f16(f32::MAX)), (0x7bff, 0x7c00, 0x7c00));
        assert_eq!((f16_to_f32(1), f16_to_f32(0x3c01), f16_to_f32(0xc000)), (5.960_464_5e-8, 1.000_976_6, -2.0));
    }

    #[test]
    fn bf16_rounds_to_nearest_even_everywhere() {
        check(bf16_to_f32, f32_to_bf16, 0x7f80);
        assert_eq!(f32_to_bf16(f32::MAX), 0x7f80);
        assert_eq!((bf16_to_f32(0x3f81), bf16_to_f32(0xc000)), (1.007_812_5, -2.0));
    }

    #[test]
    fn narrowing_any_float_keeps_order_and_halves_the_last_place() {
        for i in 0..200_000 {
            let x = f32::from_bits(rng::block([1, 0, 0, 0], 9, i)[0]);
            if x.is_nan() || x.abs() > 65504.0 {
                continue;
            }
            let error = (f64::from(f16_to_f32(f32_to_f16(x))) - f64::from(x)).abs();
            assert!(error <= f64::from(x.abs()) / 2048.0 || error <= f64::from(F16_TINY) / 2.0, "{x:e}");
            let error = (f64::from(bf16_to_f32(f32_to_bf16(x))) - f64::from(x)).abs();
            assert!(error <= f64::from(x.abs()) / 256.0 || x.is_subnormal(), "{x:e}");
        }
    }
}
