//! Dropout is a coin for each element, the same coin on the way back, and a function of seed and step alone.

use hh_core::{
    backend::{Backward, Precision},
    ops::{Draw, Dropout},
    shape::Shape,
};
use hh_tests::model::{Numbers, cpu, wide};

const N: usize = 100_000;

#[test]
fn it_keeps_the_share_that_it_should_at_the_scale_that_keeps_the_mean() {
    for rate in [0.0, 0.1, 0.5, 0.9] {
        let [kept, back] = masks(cpu::<f32>(1), rate, [7, 0, 1, 0], 3);
        let scale = f64::from(1.0 / (1.0 - rate));
        assert!(kept.iter().all(|&x| x == 0.0 || (x - scale).abs() < 1e-6), "rate {rate}: what is kept is scaled by {scale}");
        let share = kept.iter().filter(|&&x| x != 0.0).count() as f64 / N as f64;
        let deviation = f64::from(rate * (1.0 - rate) / N as f32).sqrt();
        assert!((share - f64::from(1.0 - rate)).abs() <= 4.0 * deviation, "rate {rate}: {share} is kept");
        assert!(kept == back, "rate {rate}: another mask on the way back");
    }
}

#[test]
fn every_step_seed_and_site_has_its_own_mask() {
    let [first, _] = masks(cpu::<f32>(1), 0.5, [7, 0, 1, 0], 3);
    for (key, site) in [([7, 0, 2, 0], 3), ([8, 0, 1, 0], 3), ([7, 1, 1, 0], 3), ([7, 0, 1, 0], 4)] {
        let [other, _] = masks(cpu::<f32>(1), 0.5, key, site);
        let same = first.iter().zip(&other).filter(|(a, b)| a == b).count() as f64 / N as f64;
        assert!((same - 0.5).abs() < 0.01, "{key:?}, site {site}: {same} of the coins agree");
    }
}

/// What forward makes of ones, and backward of a gradient of ones.
pub(crate) fn masks<B: Backward<Tensor: Numbers>>(mut b: B, rate: f32, key: [u32; 4], site: u32) -> [Vec<f64>; 2] {
    let [mut y, dy, mut dx] = [(); 3].map(|()| {
        let mut t = b.alloc(Shape::vector(N), Precision::Full).expect("memory");
        b.fill(1.0, &mut t);
        t
    });
    let mut seed = b.alloc_indices(Shape::vector(4)).expect("memory");
    b.upload_indices(&key, &mut seed).expect("no device to lose");
    let op = || Dropout { residual: None, rate, draw: Draw { key: &seed, site } };
    b.dropout(op(), &mut y);
    b.dropout_grad(op(), &dy, &mut dx);
    [wide(&y), wide(&dx)]
}
