//! Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011).
//!
//! Number `i` of a draw is a function of `(seed, step, site, i)`, so that every backend draws the same numbers in any
//! order, and a run that is resumed at a step draws what it would have drawn.

/// Four random words from a key of two and a counter of four.
#[inline(always)]
pub const fn philox(key: [u32; 2], counter: [u32; 4]) -> [u32; 4] {
    let [mut k0, mut k1] = key;
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let mut round = 0;
    while round < 10 {
        let (p0, p1) = (c0 as u64 * 0xD251_1F53, c2 as u64 * 0xCD9E_8D57);
        (c0, c1, c2, c3) = ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
        round += 1;
    }
    [c0, c1, c2, c3]
}

/// Words `4·block .. 4·block + 4` of a draw. `key`: seed (low, high), step (low, high), as in [`Draw`](crate::ops::Draw).
///
/// The high half of the step shares a word with the site: a run has fewer than 2³² steps of fewer than 2³² draws.
#[inline(always)]
pub const fn block(key: [u32; 4], site: u32, block: u32) -> [u32; 4] {
    philox([key[0], key[1]], [block, site, key[2], key[3]])
}

/// A word as a number on `[0, 1)`, exact in f32.
#[inline(always)]
pub const fn unit_interval(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / (1 << 24) as f32)
}

/// Number `i` of a uniform draw on `[0, 1)`.
pub const fn uniform(key: [u32; 4], site: u32, i: u32) -> f32 {
    unit_interval(block(key, site, i / 4)[(i % 4) as usize])
}

/// Four standard normal numbers from four words (Box and Muller 1958).
pub fn normals(words: [u32; 4]) -> [f32; 4] {
    let pair = |a: u32, b: u32| {
        let radius = libm::sqrtf(-2.0 * libm::logf(1.0 - unit_interval(a)));
        let angle = core::f32::consts::TAU * unit_interval(b);
        [radius * libm::cosf(angle), radius * libm::sinf(angle)]
    };
    let ([a, b], [c, d]) = (pair(words[0], words[1]), pair(words[2], words[3]));
    [a, b, c, d]
}

/// Number `i` of a standard normal draw.
pub fn normal(key: [u32; 4], site: u32, i: u32) -> f32 {
    normals(block(key, site, i / 4))[(i % 4) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_published_vectors() {
        assert_eq!(philox([0; 2], [0; 4]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 2], [u32::MAX; 4]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox([0xa409_3822, 0x299f_31d0], [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn normal_numbers_have_the_moments_of_a_normal() {
        let key = [7, 0, 3, 0];
        let n = 40_000;
        let (mut mean, mut square, mut fourth) = (0.0, 0.0, 0.0);
        for i in 0..n {
            let x = normal(key, 5, i) as f64 / n as f64;
            let raw = normal(key, 5, i) as f64;
            mean += x;
            square += raw * raw / n as f64;
            fourth += raw * raw * raw * raw / n as f64;
        }
        assert!(mean.abs() < 0.02 && (square - 1.0).abs() < 0.03 && (fourth - 3.0).abs() < 0.2, "{mean} {square} {fourth}");
    }
}
