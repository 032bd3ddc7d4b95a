use super::*;
use crate::rng;
use alloc::vec;

fn weights(seed: u32, n: usize) -> Vec<f32> {
    (0..n as u32).map(|i| rng::normal([seed, 0, 0, 0], 3, i) * 0.05).collect()
}

fn widened(q: &QuantMatrix) -> Vec<f32> {
    let mut all = vec![f32::NAN; q.shape.count()];
    q.blocks().widen(&mut all);
    all
}

#[test]
fn eight_bits_are_off_by_half_a_scale_at_most() {
    for width in [32, 33, 70, 496] {
        let values = weights(1, 3 * width);
        let q = Format::Q8.quantise(&values, width);
        let largest = values.chunks(width).flat_map(|row| row.chunks(BLOCK)).map(|w| w.iter().fold(0.0f32, |m, x| m.max(x.abs())));
        for (most, scale) in largest.zip(q.blocks().scales()) {
            let reach = 127.0 * bf16_to_f32(u16::from_le_bytes(*scale));
            assert!(reach >= most * 0.999_999, "the largest, {most}, is beyond {reach}");
        }
        for (row, found) in values.chunks(width).zip(widened(&q).chunks(width)) {
            for (w, f) in row.chunks(BLOCK).zip(found.chunks(BLOCK)) {
                let most = w.iter().fold(0.0f32, |m, x| m.max(x.abs()));
                // The scale is rounded up to 8 bits: by one part in 128 at most.
                let half = most / 127.0 * (1.0 + 1.0 / 128.0) / 2.0;
                assert!(w.iter().zip(f).all(|(w, f)| (w - f).abs() <= half * 1.0001), "{w:?} {f:?}");
            }
        }
    }
}

#[test]
fn four_bits_are_as_near_as_sixteen_levels_allow() {
    let values = weights(2, 64 * 96);
    let found = widened(&Format::Q4.quantise(&values, 96));
    let [error, all] = [values.iter().zip(&found).map(|(w, f)| (w - f) * (w - f)).sum::<f32>(), values.iter().map(|w| w * w).sum::<f32>()];
    let relative = libm::sqrtf(error / all);
    // Normal numbers: 16 levels without a search give 0.092, the search 0.079.
    assert!((0.05..0.083).contains(&relative), "{relative}");
}

#[test]
fn what_is_made_of_levels_stays_as_it_is() {
    let values: Vec<f32> = (0..64).map(|i| 0.25 * (i % 16 - 8) as f32).collect();
    for format in [Format::Q8, Format::Q4] {
        let close = widened(&format.quantise(&values, 64)).iter().zip(&values).all(|(f, w)| (f - w).abs() <= 0.01);
        assert!(close, "{format:?}");
    }
    assert_eq!(widened(&Format::Q4.quantise(&values, 64)), values);
    for format in [Format::Q8, Format::Q4] {
        let zeros = format.quantise(&[0.0; 40], 40);
        assert!(widened(&zeros).iter().all(|&w| w == 0.0));
    }
}

#[test]
fn a_row_is_that_row_of_all() {
    let values = weights(4, 5 * 45);
    for format in [Format::Q8, Format::Q4] {
        let q = format.quantise(&values, 45);
        let all = widened(&q);
        for row in 0..5 {
            let mut one = [f32::NAN; 45];
            q.blocks().widen_row(row, &mut one);
            assert_eq!(one, all[row * 45..][..45]);
        }
    }
}

#[test]
fn bytes_that_do_not_fit_a_shape_make_no_matrix() {
    let q = Format::Q4.quantise(&weights(5, 2 * 40), 40);
    let QuantView { codes, scales, .. } = q.blocks();
    let made = |shape, codes, scales| QuantView::new(Format::Q4, shape, codes, scales);
    assert!(made(Shape::matrix(2, 40), codes, scales) == Some(q.blocks()));
    assert!(made(Shape::matrix(2, 65), codes, scales).is_none());
    assert!(made(Shape::matrix(2, 40), &codes[1..], scales).is_none() && made(Shape::matrix(2, 40), codes, &scales[1..]).is_none());
    assert!(made(Shape::matrix(usize::MAX, 64), codes, scales).is_none());
}
