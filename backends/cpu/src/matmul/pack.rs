//! Panels of a factor: `P` rows side by side, depth outermost, zeros in place of rows that are missing.

use super::gemm::Matrix;
use crate::{Float, simd::Level};
use core::ops::Range;

/// Packs rows and depths of a matrix into panels of `p` rows; `to` holds whole panels.
pub(super) fn pack<F: Float>(level: Level, a: Matrix<F>, rows: Range<usize>, depths: Range<usize>, p: usize, to: &mut [F]) {
    let depth = depths.len();
    if depth == 0 {
        return;
    }
    for (panel, start) in to.chunks_exact_mut(p * depth).zip(rows.clone().step_by(p)) {
        let height = p.min(rows.end - start);
        F::vectorise(
            level,
            #[inline(always)]
            || {
                if a.strides[0] == 1 {
                    for (k, to) in depths.clone().zip(panel.chunks_exact_mut(p)) {
                        to[..height].copy_from_slice(&a.data[start + k * a.strides[1]..][..height]);
                        to[height..].fill(F::ZERO);
                    }
                } else {
                    for i in 0..p {
                        let to = panel[i..].iter_mut().step_by(p);
                        if i < height {
                            let from = &a.data[(start + i) * a.strides[0] + depths.start..][..depth];
                            to.zip(from).for_each(|(to, &x)| *to = x);
                        } else {
                            to.for_each(|to| *to = F::ZERO);
                        }
                    }
                }
            },
        );
    }
}
