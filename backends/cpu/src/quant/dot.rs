//! Integer dot products of blocks. The sum of a block is exact, so each implementation adds its products in an order of its own.

use hh_core::{half::bf16_to_f32, quant::BLOCK};

/// Blocks whose sums are computed together; a row has as many partial sums, each over every eighth block.
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

/// The partial sums with the scaled sums of `w · x` of up to [`SUMS`] blocks, one for each. `w(j)` unpacks a block of weights.
#[inline(always)]
pub(super) fn add_blocks<const FMA: bool>(
    mut sums: [f32; SUMS],
    w: impl Fn(usize) -> [i16; BLOCK],
    w_scales: &[[u8; 2]],
    x: &[[i16; BLOCK]],
    x_scales: &[f32],
) -> [f32; SUMS] {
    #[cfg(all(target_arch = "x86_64", any(feature = "std", target_feature = "avx2")))]
    if FMA && (cfg!(target_feature = "avx2") || !cfg!(target_feature = "fma")) {
        // SAFETY: unless the whole program is compiled with `fma`, kernels run with FMA only on processors with AVX2.
        let products = |j: usize| unsafe { x86::products(&w(j), &x[j]) };
        let mut parts = [[0; 8]; SUMS];
        if let (Some(w_scales), SUMS, Some(x_scales)) = (w_scales.as_array(), x.len(), x_scales.as_array()) {
            parts.iter_mut().enumerate().for_each(|(j, part)| *part = products(j));
            // SAFETY: as above.
            return unsafe { x86::add(sums, parts, w_scales, x_scales) };
        }
        let (mut w_padded, mut x_padded) = ([[0; 2]; SUMS], [0.0; SUMS]);
        for j in 0..x.len() {
            (parts[j], w_padded[j], x_padded[j]) = (products(j), w_scales[j], x_scales[j]);
        }
        // SAFETY: as above.
        return unsafe { x86::add(sums, parts, &w_padded, &x_padded) };
    }
    for (j, (((sum, w_scale), x), x_scale)) in sums.iter_mut().zip(w_scales).zip(x).zip(x_scales).enumerate() {
        *sum += total(&w(j), x) as f32 * (scale_of(w_scale) * x_scale);
    }
    sums
}

/// The scale of a block of weights.
#[inline(always)]
pub(super) fn scale_of(scale: &[u8; 2]) -> f32 {
    bf16_to_f32(u16::from_le_bytes(*scale))
}

/// The sum of one block.
#[inline(always)]
fn total(w: &[i16; BLOCK], x: &[i16; BLOCK]) -> i32 {
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    return wasm::total(w, x);
    #[allow(unreachable_code)]
    w.iter().zip(x).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum()
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
    use core::{arch::x86_64::*, mem::transmute};

    /// Eight sums of four products of a block.
    ///
    /// # Safety
    /// The processor has AVX2.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn products(w: &[i16; BLOCK], x: &[i16; BLOCK]) -> [i32; 8] {
        let (w, x) = (w.as_ptr().cast::<__m256i>(), x.as_ptr().cast::<__m256i>());
        // SAFETY: 32 16-bit integers are two vectors; eight 32-bit integers are one.
        unsafe {
            let low = _mm256_madd_epi16(_mm256_loadu_si256(w), _mm256_loadu_si256(x));
            let high = _mm256_madd_epi16(_mm256_loadu_si256(w.add(1)), _mm256_loadu_si256(x.add(1)));
            transmute(_mm256_add_epi32(low, high))
        }
    }

    /// The partial sums with that of each row of `parts`, scaled.
    ///
    /// # Safety
    /// The processor has AVX2.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn add(
        sums: [f32; SUMS],
        parts: [[i32; 8]; SUMS],
        w_scales: &[[u8; 2]; SUMS],
        x_scales: &[f32; SUMS],
    ) -> [f32; SUMS] {
        // SAFETY: eight numbers of 32 bits are a vector, eight of 16 bits are half of one.
        unsafe {
            let p = transmute::<[[i32; 8]; SUMS], [__m256i; SUMS]>(parts);
            // Half of the lanes of each stay, the others change places: one shuffle where `hadd` takes two.
            let pairs = |a, b| {
                let (stay, swap) = (_mm256_blend_epi32::<0b1010_1010>(a, b), _mm256_blend_epi32::<0b0101_0101>(a, b));
                _mm256_add_epi32(stay, _mm256_shuffle_epi32::<0b10_11_00_01>(swap))
            };
            let fours = |a, b| {
                let (stay, swap) = (_mm256_blend_epi32::<0b1100_1100>(a, b), _mm256_blend_epi32::<0b0011_0011>(a, b));
                _mm256_add_epi32(stay, _mm256_shuffle_epi32::<0b01_00_11_10>(swap))
            };
            let (a, b) = (fours(pairs(p[0], p[1]), pairs(p[2], p[3])), fours(pairs(p[4], p[5]), pairs(p[6], p[7])));
            let totals = _mm256_add_epi32(_mm256_blend_epi32::<0b1111_0000>(a, b), _mm256_permute2x128_si256::<0x21>(a, b));
            let w_scales = _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(w_scales.as_ptr().cast())));
            let scales = _mm256_mul_ps(_mm256_castsi256_ps(w_scales), _mm256_loadu_ps(x_scales.as_ptr()));
            transmute(_mm256_add_ps(transmute::<[f32; SUMS], __m256>(sums), _mm256_mul_ps(_mm256_cvtepi32_ps(totals), scales)))
        }
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm {
    use super::BLOCK;
    use core::arch::wasm32::*;

    #[inline(always)]
    pub(super) fn total(w: &[i16; BLOCK], x: &[i16; BLOCK]) -> i32 {
        let eight = |v: &[i16; BLOCK], i: usize| {
            let v = &v[8 * i..8 * i + 8];
            i16x8(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7])
        };
        let pairs = |i| i32x4_dot_i16x8(eight(w, i), eight(x, i));
        let sums = i32x4_add(i32x4_add(pairs(0), pairs(2)), i32x4_add(pairs(1), pairs(3)));
        let (low, high) =
            (i32x4_extract_lane::<0>(sums) + i32x4_extract_lane::<1>(sums), i32x4_extract_lane::<2>(sums) + i32x4_extract_lane::<3>(sums));
        low + high
    }
}
