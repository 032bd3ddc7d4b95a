use super::*;
use crate::{adamw, random, sum_squares};
use hh_core::ops::*;

#[test]
fn draws_are_the_generator_s_numbers() {
    let key = [9, 8, 7, 6];
    let at = indices(Shape::vector(4), &key);
    for count in [1, 3, 4, 63, 70_001] {
        let mut cpu = Cpu::<f32>::new(Threads::new(2));
        let mut y = filled(Shape::vector(count), f64::NAN);
        random::uniform(&mut cpu, Draw { key: &at, site: 3 }, &mut y);
        assert!(y.data().iter().enumerate().all(|(i, &y)| y == rng::uniform(key, 3, i as u32)));
        random::normal(&mut cpu, Draw { key: &at, site: 4 }, &mut y);
        assert!(y.data().iter().enumerate().all(|(i, &y)| y == rng::normal(key, 4, i as u32)));
    }
}

#[test]
fn sum_of_squares_adds_up_and_does_not_depend_on_threads() {
    for count in [1, 63, 500, 300_001] {
        let shape = Shape::vector(count);
        let x = numbers(1, shape);
        let total = |threads| {
            let mut total = filled::<f32>(Shape::vector(1), 9.0);
            let of = [tensor(shape, &x), tensor(Shape::vector(1), &[1.0])];
            sum_squares::forward(&mut Cpu::new(Threads::new(threads)), of.iter(), &mut total);
            total.data()[0]
        };
        let exact = 1.0 + x.iter().map(|x| x * x).sum::<f64>();
        assert_eq!(total(1), total(2));
        assert!((f64::from(total(1)) / exact - 1.0).abs() < 2e-7, "{} for {exact}", total(1));
    }
}

/// Weight, gradient, both moments and average after a step from [`numbers`] with this sum of squares and clip.
fn step<F: Float>(count: usize, total: f64, clip: f32, threads: usize) -> [Vec<f64>; 5] {
    let shape = Shape::vector(count);
    let [mut weight, mut grad, mut first, mut second, mut ema] =
        [0, 1, 2, 3, 4].map(|i| tensor::<F>(shape, &numbers(i, shape).iter().map(|x| if i == 3 { x * x } else { *x }).collect::<Vec<_>>()));
    let schedule = tensor(Shape::vector(4), &[0.04, 1.5, 1.25, 0.75]);
    let op = AdamW { schedule: &schedule, total: &tensor(Shape::vector(1), &[total]), clip, beta1: 0.875, beta2: 0.96875, eps: 0.015625 };
    let leaf =
        AdamWLeaf { weight: &mut weight, grad: &mut grad, first: &mut first, second: &mut second, ema: &mut ema, decay: 0.125, rate: 0.25 };
    adamw::forward(&mut Cpu::new(Threads::new(threads)), &op, leaf);
    [weight, grad, first, second, ema].map(|t| t.data().iter().map(|x| x.to_f64()).collect())
}

#[test]
fn adamw_is_its_formula() {
    for (count, total, clip, factor) in [(1, 16.0, 1.0, 0.25), (65, 0.25, 1.0, 1.0), (500, 16.0, 0.0, 1.0), (40_000, 0.0, 1.0, 1.0)] {
        let shape = Shape::vector(count);
        let [w, g, m, v, ema] = [0, 1, 2, 3, 4].map(|i| numbers(i, shape));
        let found = step::<f64>(count, total, clip, 1);
        for i in 0..count {
            let g = g[i] * factor;
            let (m, v) = (0.875 * m[i] + 0.125 * g, 0.96875 * v[i] * v[i] + 0.03125 * g * g);
            let w = w[i] - 0.01 * (m * 1.5 / ((v * 1.25).sqrt() + 0.015625) + 0.125 * w[i]);
            for (found, wanted) in found.iter().zip([w, 0.0, m, v, ema[i] + 0.25 * (w - ema[i])]) {
                assert!((found[i] - wanted).abs() < 1e-14, "element {i}: {} for {wanted}", found[i]);
            }
        }
        let [one, two] = [1, 2].map(|threads| step::<f32>(count, total, clip, threads));
        assert_eq!(one, two);
        found.iter().zip(&one).for_each(|(f64, f32)| close("f32", f32, f64, 1e-6));
    }
    assert!(step::<f32>(3, f64::NAN, 1.0, 1)[0].iter().all(|w| w.is_nan()), "a gradient without a norm is not hidden");
}
