use super::disturb::{Reorder, noise, reordered, shuffled};
use super::run::Scorer;
use super::*;
use crate::data::{TokenStream, Windows};
use crate::evaluate::Evaluator;
use crate::loading::tests::{config, cpu};
use hh_core::backend::Precision;
use hh_core::model::Model;
use hh_core::{init, rng, weights};
use hh_cpu::Tensor;

/// Initial weights plus noise, because gates, depths and controller start at zero.
fn model() -> Model<Tensor<f32>> {
    let config = config();
    let params = weights::params(&mut cpu(), &config, Precision::Full, |name, shape, out| {
        init::value(name, shape, &config, 1, out);
        let site = name.bytes().fold(0, |h: u32, b| h.wrapping_mul(31).wrapping_add(b.into()));
        out.iter_mut().zip(0..).for_each(|(x, i)| *x += 0.3 * rng::normal([5, 0, 0, 0], site, i));
        Ok(())
    });
    Model { params: params.unwrap(), config }
}

fn text(length: u32) -> TokenStream {
    let ids: Vec<u32> = (0..length).map(|i| rng::block([7, 0, 0, 0], 0, i)[0] % 8).collect();
    TokenStream::from_ids(&ids, 8)
}

/// The nats of a knock-out with the given permutation.
fn nats(change: Change, layer: Option<usize>, reorder: Reorder, batch: usize) -> f64 {
    let (mut model, text) = (model(), text(60));
    let windows = Windows::new(&text, 13);
    let evaluator = Evaluator::new(cpu(), &mut model, batch, 13).unwrap();
    let mut scorer = Scorer { evaluator, windows, batch, seed: 3, reorder, done: 0, of: 0 };
    let knockout = Knockout { group: Group::Shuffles, name: String::new(), layer, segments: 2, change };
    scorer.score(&knockout, None, &mut |_| true).unwrap().unwrap().all
}

#[test]
fn the_identity_permutation_changes_nothing_and_a_shuffle_does() {
    let same: Reorder = |_, _, _| ();
    let baseline = nats(Change::Nothing, None, shuffled, 2);
    for change in [Change::Shuffle(0), Change::Shuffle(1), Change::Shuffle(2), Change::ShuffledController] {
        assert_eq!(nats(change, None, same, 2), baseline, "{change:?}");
        assert!((nats(change, None, shuffled, 2) - baseline).abs() > 1e-3, "{change:?}");
    }
    let [one, other] = [0, 1].map(|layer| nats(Change::Shuffle(0), Some(layer), shuffled, 2));
    assert!(one != other && one != baseline, "a knock-out in one layer changes only that layer");
}

#[test]
fn randomness_does_not_depend_on_the_batch_size() {
    for change in [Change::Shuffle(0), Change::Shuffle(1), Change::Shuffle(2), Change::ShuffledController, Change::RandomController] {
        let [one, three] = [1, 3].map(|batch| nats(change, None, shuffled, batch));
        assert!((one - three).abs() < 1e-4, "{change:?}: {one} and {three}");
    }
}

#[test]
fn every_permutation_of_three_is_equally_frequent() {
    let mut counts = std::collections::BTreeMap::new();
    for window in 0..6000 {
        let mut order = [0, 1, 2];
        shuffled([1, 0, window, 0], 4, &mut order);
        *counts.entry(order).or_insert(0) += 1;
    }
    assert!(counts.len() == 6 && counts.values().all(|n| (900..1100).contains(n)), "{counts:?}");
}

#[test]
fn only_the_given_columns_are_permuted() {
    let mut values: Vec<f32> = (0..12).map(|x| x as f32).collect();
    reordered(&mut values, 4, 1..3, &[2, 0, 1]);
    assert_eq!(values, [0.0, 9.0, 10.0, 3.0, 4.0, 1.0, 2.0, 7.0, 8.0, 5.0, 6.0, 11.0]);
}

#[test]
fn noise_has_the_mean_and_the_deviation_of_each_column() {
    let time = 20_000;
    let moments = |values: &[f32], column: usize| {
        let of = || values.iter().skip(column).step_by(2).map(|&x| f64::from(x));
        let mean = of().sum::<f64>() / time as f64;
        (mean, (of().map(|x| (x - mean).powi(2)).sum::<f64>() / time as f64).sqrt())
    };
    let before: Vec<f32> = (0..time).flat_map(|t| [(t % 10) as f32, -3.0]).collect();
    let mut after = before.clone();
    noise(&mut after, 2, [1, 2, 3, 4], 5);
    let ((mean, deviation), (mean_after, deviation_after)) = (moments(&before, 0), moments(&after, 0));
    assert!((mean - mean_after).abs() < 0.1 && (deviation - deviation_after).abs() < 0.1, "{mean_after}, {deviation_after}");
    assert!(after[0] != before[0] && after.iter().skip(1).step_by(2).all(|&x| x == -3.0), "a constant column is unchanged");
}
