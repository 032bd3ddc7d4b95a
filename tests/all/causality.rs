//! What comes later changes nothing that came before: a leak is what makes a loss too good.

use hh_tests::model::{cpu, hidden, kinds, model, text};

#[test]
fn a_later_token_changes_no_earlier_hidden_state_but_its_own() {
    let mut cpu = cpu::<f64>(1);
    for (name, c) in kinds() {
        let model = model(&mut cpu, &c);
        let mut tokens = text(&c, 5, 24);
        let before = hidden(&mut cpu, &model, &tokens, 1);
        for t in 0..24 {
            let kept = tokens[t];
            tokens[t] = (kept + 1) % c.vocab_size as u32;
            let after = hidden(&mut cpu, &model, &tokens, 1);
            tokens[t] = kept;
            let (earlier, from) = (t * c.width, t * c.width..(t + 1) * c.width);
            assert!(before[..earlier] == after[..earlier], "{name}: token {t} reaches back");
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
        assert!(hh_tests::compare::distance(&first[..half], &alone, 1e-3) < 1e-12, "{name}: alone it is another");
    }
}
