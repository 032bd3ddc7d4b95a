use super::*;

/// A text in which every id is its position.
fn counting(len: u32) -> TokenStream {
    TokenStream::from_ids(&(0..len).collect::<Vec<_>>(), len as usize)
}

fn batch(data: &Dataset, step: u64, micro: usize, rows: usize, time: usize, seed: u64) -> (Vec<u32>, Vec<u32>) {
    let (mut tokens, mut targets) = (vec![u32::MAX; rows * time], vec![u32::MAX; rows * time]);
    let before = 2 * step + micro as u64;
    let order = RowOrder::Windows(WindowOrder::Random);
    data.batch(MicroBatch { seed, step, micro, before, batch: rows, time, order }, &mut tokens, &mut targets).unwrap();
    (tokens, targets)
}

#[test]
fn the_split_of_tinyshakespeare_is_the_usual_one() {
    let data = Dataset::split(&counting(1_115_394), 0.1).unwrap();
    assert_eq!((data.train.len(), data.validation.len()), (1_003_854, 111_540));
}

#[test]
fn a_target_is_the_token_after_its_token_and_no_window_leaves_the_training_text() {
    let data = Dataset::split(&counting(100), 0.2).unwrap();
    let mut seen = [false; 80];
    for step in 0..500 {
        let (tokens, targets) = batch(&data, step, 0, 4, 9, 1);
        for (row, &token) in tokens.iter().enumerate() {
            assert_eq!(targets[row], token + 1);
            assert!(row % 9 == 0 || token == tokens[row - 1] + 1);
            seen[token as usize] = true;
            seen[targets[row] as usize] = true;
        }
    }
    assert!(seen.iter().all(|&s| s), "every token of the training text occurs, including the first and the last");
}

#[test]
fn a_batch_at_random_places_is_a_function_of_seed_step_and_row_alone() {
    let data = Dataset::split(&counting(10_000), 0.1).unwrap();
    let (whole, _) = batch(&data, 7, 0, 12, 16, 3);
    assert_eq!(batch(&data, 7, 0, 12, 16, 3).0, whole);
    let halves = [batch(&data, 7, 0, 6, 16, 3).0, batch(&data, 7, 1, 6, 16, 3).0].concat();
    assert_eq!(halves, whole);
    for other in [batch(&data, 8, 0, 12, 16, 3), batch(&data, 7, 1, 12, 16, 3), batch(&data, 7, 0, 12, 16, 4)] {
        assert_ne!(other.0, whole);
    }
    assert_ne!(batch(&data, 7 + (1 << 32), 0, 12, 16, 3).0, whole);
}

/// Sixty windows, in steps of eight: as micro-batches of 8, 4 or 2 windows, shared by 1, 2 or 4 ranks.
#[test]
fn shuffled_windows_are_the_same_for_any_number_of_ranks_and_each_comes_once_in_an_epoch() {
    let data = Dataset { train: counting(62 * 16), validation: counting(2) };
    let starts = |batch: usize, accumulate: usize, steps: u64| -> Vec<u32> {
        let (mut tokens, mut targets) = (vec![0; batch * 16], vec![0; batch * 16]);
        let mut all = Vec::new();
        for step in 0..steps {
            for micro in 0..accumulate {
                let before = step * accumulate as u64 + micro as u64;
                let order = RowOrder::Windows(WindowOrder::Shuffled);
                data.batch(MicroBatch { seed: 4, step, micro, before, batch, time: 16, order }, &mut tokens, &mut targets).unwrap();
                assert!(tokens.iter().zip(&targets).all(|(token, target)| token + 1 == *target));
                all.extend(tokens.chunks(16).map(|row| row[0]));
            }
        }
        all
    };
    let whole = starts(8, 1, 15);
    assert_eq!(starts(4, 2, 15), whole);
    assert_eq!(starts(2, 4, 15), whole);
    let epochs: Vec<Vec<u32>> = whole
        .chunks(60)
        .map(|epoch| {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert!(sorted.windows(2).all(|pair| pair[1] == pair[0] + 16), "each once: {sorted:?}");
            epoch.iter().map(|start| start - sorted[0]).collect()
        })
        .collect();
    assert_ne!(epochs[0], epochs[1]);
}

#[test]
fn rows_that_run_on_continue_where_they_ended() {
    let data = Dataset::split(&counting(1000), 0.1).unwrap();
    let mut last: Vec<Option<u32>> = vec![None; 3];
    let mut wrapped = 0;
    for before in 0..300 {
        let (step, micro) = (before / 2, (before % 2) as usize);
        let which = MicroBatch { seed: 1, step, micro, before, batch: 3, time: 16, order: RowOrder::RunOn };
        let (mut tokens, mut targets) = (vec![0; 48], vec![0; 48]);
        data.batch(which, &mut tokens, &mut targets).unwrap();
        for (row, last) in tokens.chunks(16).zip(&mut last) {
            assert!(row.windows(2).all(|pair| pair[1] == pair[0] + 1));
            wrapped += usize::from(last.is_some_and(|last| row[0] != last + 1));
            *last = Some(row[15]);
        }
    }
    assert_eq!(wrapped, 3 * 300 * 16 / 884, "only at the end of the text does a row begin elsewhere");
}

#[test]
fn the_shortest_text_that_fits_is_accepted_and_a_shorter_one_named() {
    let data = Dataset { train: counting(9), validation: counting(2) };
    assert_eq!(batch(&data, 0, 0, 1, 8, 0).0, [0, 1, 2, 3, 4, 5, 6, 7]);
    let error = data.require_context(9).unwrap_err().to_string();
    assert!(error.contains("9 tokens") && error.contains("context of 9"), "{error}");
    assert!(Dataset { train: counting(9), validation: counting(1) }.require_context(4).is_err());
    assert!(Dataset::split(&counting(3), 0.1).is_err());
    for fraction in [0.0, 1.0, -1.0, f64::NAN] {
        assert!(Dataset::split(&counting(100), fraction).is_err());
    }
}

#[test]
fn validation_scores_every_target_exactly_once() {
    for len in [2, 3, 8, 9, 10, 64, 65, 66, 99] {
        let text = counting(len);
        for (time, rows) in [(1, 1), (8, 1), (8, 3), (200, 2)] {
            let windows = Windows::new(&text, time);
            let mut scored = Vec::new();
            for index in 0..windows.batches(rows) {
                let (mut tokens, mut targets) = (vec![7; rows * time], vec![7; rows * time]);
                let counted = windows.batch(index, rows, &mut tokens, &mut targets).unwrap();
                let before = scored.len();
                for (&token, &target) in tokens.iter().zip(&targets) {
                    if target == IGNORE {
                        assert_eq!(token, 0);
                    } else {
                        assert_eq!(target, token + 1);
                        scored.push(target);
                    }
                }
                assert_eq!(counted, (scored.len() - before) as u64);
            }
            assert_eq!(scored, (1..len).collect::<Vec<_>>(), "{len} ids in windows of {time}, {rows} at a time");
            assert_eq!(windows.targets(), scored.len() as u64);
        }
    }
}

#[test]
fn an_id_outside_of_the_vocabulary_is_an_error() {
    let text = TokenStream::from_ids(&[0, 1, 70_000, 2], 4);
    text.read(0, &mut [0; 2]).unwrap();
    let error = text.part(1..4).read(1, &mut [0; 2]).unwrap_err().to_string();
    assert!(error.contains("token 2 of the data is 70000"), "{error}");
}
