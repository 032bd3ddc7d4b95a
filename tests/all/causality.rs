//! What comes later changes nothing that came before: a leak is what makes a loss too good.

use hh_core::{backend::Forward, config::Config};
use hh_tests::{
    compare::distance,
    model::{Numbers, cpu, hidden, kinds, model, text},
};

#[test]
fn a_later_token_changes_no_earlier_hidden_state_but_its_own() {
    reaches_back(cpu::<f64>(1), &kinds(), 24, 0.0);
}

/// Changes each token of texts of that `length`. `rounding`: how far an earlier state may move in root mean square, on a machine whose sums depend on what is beside them.
pub(crate) fn reaches_back<B: Forward<Tensor: Numbers>>(mut b: B, kinds: &[(&str, Config)], length: usize, rounding: f64) {
    for (name, c) in kinds {
        let model = model(&mut b, c);
        let mut tokens = text(c, 5, length);
        let before = hidden(&mut b, &model, &tokens, 1);
        for t in 0..length {
            let kept = tokens[t];
            tokens[t] = (kept + 1) % c.vocab_size as u32;
            let after = hidden(&mut b, &model, &tokens, 1);
            tokens[t] = kept;
            let (earlier, from) = (t * c.width, t * c.width..(t + 1) * c.width);
            assert!(distance(&after[..earlier], &before[..earlier], 1e-3) <= rounding, "{name}: token {t} reaches back");
            let change = before[from.clone()].iter().zip(&after[from]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(change > 1e-4, "{name}: token {t} changes its own state by {change:e}");
        }
    }
}

#[test]
fn a_sequence_knows_nothing_of_its_neighbour_in_the_batch() {
    let mut cpu = cpu::<f64>(1);
    for (name, c) in kinds() {
        let model = model(&mut cpu, &c);
        let [one, two, three] = [1, 2, 3].map(|seed| text(&c, seed, 12));
        let half = 12 * c.width;
        let first = hidden(&mut cpu, &model, &[one.clone(), two].concat(), 2);
        let second = hidden(&mut cpu, &model, &[one.clone(), three].concat(), 2);
        assert!(first[..half] == second[..half] && first[half..] != second[half..], "{name}");
        let alone = hidden(&mut cpu, &model, &one, 1);
        assert!(distance(&first[..half], &alone, 1e-3) < 1e-12, "{name}: alone it is another");
    }
}
