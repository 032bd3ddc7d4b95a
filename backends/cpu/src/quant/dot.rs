//! Integer dot products. All implementations compute the same partial sums: sum `l` of a block is over the elements
//! `2l, 2l + 1, 2l + 16, 2l + 17`.

use hh_core::quant::BLOCK;

/// Partial sums per block.
pub(super) const SUMS: usize = 8;

/// Unpacks a q8 block to 16-bit integers.
#[inline(always)]
pub(super) fn unpack_q8(codes: &[u8; BLOCK]) -> [i16; BLOCK] {
    let mut w = [0; BLOCK];
    for (w, &q) in w.iter_mut().zip(codes) {
        *w = i16::from(q as i8);
    }
    w
}

/// Unpacks a q4 block to 16-bit integers.
#[inline(always)]
pub(super) fn unpack_q4(codes: &[u8; BLOCK / 2]) -> [i16; BLOCK] {
    let mut w = [0; BLOCK];
    for (j, &q) in codes.iter().enumerate() {
        w[j] = (q & 15) as i16 - 8;
        w[j + BLOCK / 2] = (q >> 4) as i16 - 8;
    }
    w
}

/// The partial sums of `w · x` for one block.
#[inline(always)]
pub(super) fn dot<const FMA: bool>(w: &[i16; BLOCK], x: &[i16; BLOCK]) -> [i32; SUMS] {
    #[cfg(all(target_arch = "x86_64", any(feature = "std", target_feature = "avx2")))]
    if FMA && (cfg!(target_feature = "avx2") || !cfg!(target_feature = "fma")) {
        // SAFETY: unless the whole program is compiled with `fma`, kernels run with FMA only on processors with AVX2.
        return unsafe { x86::dot(w, x) };
    }
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    return wasm::dot(w, x);
    #[allow(unreachable_code)]
    {
        let mut sums = [0; SUMS];
        let at = |i: usize| i32::from(w[i]) * i32::from(x[i]);
        for (l, sum) in sums.iter_mut().enumerate() {
            *sum = at(2 * l) + at(2 * l + 1) + at(2 * l + 16) + at(2 * l + 17);
        }
        sums
    }
}

/// Prefetches memory that is read soon.
#[inline(always)]
pub(super) fn prefetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, whatever the address.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// The sum of the partial sums, in a fixed order.
#[inline(always)]
pub(super) fn sum_ordered(s: [f32; SUMS]) -> f32 {
    // As in `reduce::total`: hides this reduction from the vectoriser.
    let s = core::hint::black_box(s);
    ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
}

#[cfg(all(target_arch = "x86_64", any(feature = "std", target_feature = "avx2")))]
mod x86 {
    use super::{BLOCK, SUMS};
    use core::arch::x86_64::*;

    /// # Safety
    /// The processor has AVX2.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn dot(w: &[i16; BLOCK], x: &[i16; BLOCK]) -> [i32; SUMS] {
        let (w, x) = (w.as_ptr().cast::<__m256i>(), x.as_ptr().cast::<__m256i>());
        // SAFETY: 32 16-bit integers are two vectors; eight 32-bit integers are one.
        unsafe {
            let low = _mm256_madd_epi16(_mm256_loadu_si256(w), _mm256_loadu_si256(x));
            let high = _mm256_madd_epi16(_mm256_loadu_si256(w.add(1)), _mm256_loadu_si256(x.add(1)));
            core::mem::transmute(_mm256_add_epi32(low, high))
        }
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm {
    use super::{BLOCK, SUMS};
    use core::arch::wasm32::*;

    #[inline(always)]
    pub(super) fn dot(w: &[i16; BLOCK], x: &[i16; BLOCK]) -> [i32; SUMS] {
        let eight = |v: &[i16; BLOCK], i: usize| {
            let v = &v[8 * i..8 * i + 8];
            i16x8(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7])
        };
        let pairs = |i| i32x4_dot_i16x8(eight(w, i), eight(x, i));
        let (low, high) = (i32x4_add(pairs(0), pairs(2)), i32x4_add(pairs(1), pairs(3)));
        let lanes = |v| [i32x4_extract_lane::<0>(v), i32x4_extract_lane::<1>(v), i32x4_extract_lane::<2>(v), i32x4_extract_lane::<3>(v)];
        let ([a, b, c, d], [e, f, g, h]) = (lanes(low), lanes(high));
        [a, b, c, d, e, f, g, h]
    }
}
