mod completion;
mod run;

use super::*;
use clap::Parser;
use hh_core::ops::IGNORE;
use std::collections::HashSet;

/// A task or a model, parsed from flags.
fn parsed<T: clap::Args>(flags: &str) -> T {
    #[derive(Parser)]
    struct Line<T: clap::Args> {
        #[command(flatten)]
        of: T,
    }
    Line::<T>::parse_from(std::iter::once("test").chain(flags.split_whitespace())).of
}

/// Small tasks of all kinds.
fn kinds() -> [Kind; 6] {
    [
        Kind::Mqar(parsed("--length 32 --pairs 6 --vocabulary 40")),
        Kind::Mqar(parsed("--length 32 --pairs 3 --vocabulary 40 --random-fill")),
        Kind::Copy(parsed("--delay 20 --shortest 3 --items 4 --alphabet 9")),
        Kind::Copy(parsed("--delay 20 --shortest 20 --items 4 --alphabet 90 --blind")),
        Kind::SelectiveCopy(parsed("--positions 20 --items 5 --alphabet 9")),
        Kind::Induction(parsed("--length 24 --longest 96 --vocabulary 9")),
    ]
}

fn example(task: &dyn Task, seed: u64, stream: Stream, number: u64) -> [Vec<u32>; 2] {
    let (mut tokens, mut targets) = (vec![7; task.length()], vec![7; task.length()]);
    batch(task, seed, stream, std::iter::once(number), &mut tokens, &mut targets);
    [tokens, targets]
}

/// Positions with a target, and the target.
fn asked(targets: &[u32]) -> Vec<(usize, u32)> {
    targets.iter().copied().enumerate().filter(|&(_, target)| target != IGNORE).collect()
}

#[test]
fn examples_are_a_function_of_the_seed_and_streams_differ() {
    for kind in kinds() {
        let task = kind.task();
        task.validate().unwrap();
        let all = |seed, stream| (0..100).map(|n| example(task, seed, stream, n)).collect::<Vec<_>>();
        assert_eq!(all(1, Stream::Training), all(1, Stream::Training));
        let streams = [(1, Stream::Training), (1, Stream::Validation), (1, Stream::Exam), (2, Stream::Training)];
        let distinct: HashSet<_> = streams.into_iter().flat_map(|(seed, stream)| all(seed, stream)).collect();
        assert!(distinct.len() >= 398, "{kind:?}: {} of 400 differ", distinct.len());
        for [tokens, targets] in distinct {
            assert!(tokens.iter().all(|&id| (id as usize) < task.vocabulary()), "{tokens:?}");
            assert!(asked(&targets).iter().all(|&(_, id)| (id as usize) < task.vocabulary()) && !asked(&targets).is_empty());
        }
    }
}

/// The guarantees of zoology's generator: distinct keys in `1..V/2`, distinct values from `V/2` on, each key queried exactly
/// once, at an even distance from the pairs, and zeros elsewhere.
#[test]
fn mqar_asks_for_the_value_of_each_key_once() {
    let task: Mqar = parsed("--length 64 --pairs 8 --vocabulary 8192");
    for number in 0..300 {
        let [tokens, targets] = example(&task, 3, Stream::Training, number);
        let pairs: Vec<_> = tokens[..16].chunks(2).map(|pair| (pair[0], pair[1])).collect();
        let keys: HashSet<u32> = pairs.iter().map(|pair| pair.0).collect();
        let values: HashSet<u32> = pairs.iter().map(|pair| pair.1).collect();
        assert!(keys.len() == 8 && keys.iter().all(|key| (1..4096).contains(key)), "{tokens:?}");
        assert!(values.len() == 8 && values.iter().all(|value| (4096..8192).contains(value)), "{tokens:?}");
        let questions = asked(&targets);
        assert_eq!(questions.iter().map(|&(at, _)| tokens[at]).collect::<HashSet<_>>(), keys);
        assert_eq!(questions.len(), 8);
        for (at, value) in questions {
            assert!(at >= 16 && (at - 16) % 2 == 0);
            assert_eq!(pairs.iter().find(|pair| pair.0 == tokens[at]).unwrap().1, value);
            assert_eq!(tokens[at + 1], 0, "the input does not contain the answer");
        }
        assert_eq!(tokens[16..].iter().filter(|&&id| id != 0).count(), 8);
    }
}

/// The gap of the first key has the power law; those of later keys have it without the gaps that are taken.
#[test]
fn the_gaps_of_mqar_follow_the_power_law() {
    let task: Mqar = parsed("--length 64 --pairs 4 --vocabulary 100");
    let (examples, places) = (8000, 28);
    let weights: Vec<f64> = (1..=places).map(|gap| f64::from(gap).powf(0.01 - 1.0)).collect();
    let sum: f64 = weights.iter().sum();
    let (mut first, mut second) = (vec![0.0; places as usize], vec![0.0; places as usize]);
    for number in 0..examples {
        let [tokens, _] = example(&task, 1, Stream::Training, number);
        let gap = |key: u32| (tokens.iter().skip(8).position(|&id| id == key).unwrap()) / 2;
        first[gap(tokens[0])] += 1.0 / examples as f64;
        second[gap(tokens[2])] += 1.0 / examples as f64;
    }
    for at in 0..places as usize {
        let p = weights[at] / sum;
        // The sum over all gaps that the first key may have taken.
        let later: f64 = (0..places as usize)
            .filter(|&other| other != at)
            .map(|other| weights[other] / sum * weights[at] / (sum - weights[other]))
            .sum();
        for (found, expected) in [(first[at], p), (second[at], later)] {
            let deviation = (expected * (1.0 - expected) / examples as f64).sqrt();
            assert!((found - expected).abs() < 4.5 * deviation, "gap {at}: {found}, expected {expected}");
        }
    }
}

#[test]
fn copied_symbols_are_the_targets_in_order_after_the_delay() {
    for flags in ["", "--blind"] {
        let task: DelayedCopy = parsed(&format!("--delay 12 --shortest 3 --items 5 --alphabet 20 {flags}"));
        let mut delays = HashSet::new();
        for number in 0..300 {
            let [tokens, targets] = example(&task, 1, Stream::Validation, number);
            let cues: Vec<_> = (0..tokens.len()).filter(|&at| tokens[at] == 1).collect();
            let [0, cue] = cues[..] else { panic!("cues at {cues:?}") };
            let symbols = &tokens[1..6];
            assert!(symbols.iter().all(|&id| (2..22).contains(&id)) && tokens[6..cue].iter().all(|&id| id == 0));
            delays.insert(cue - 6);
            let expected: Vec<_> = symbols.iter().enumerate().map(|(i, &id)| (cue + i, id)).collect();
            assert_eq!(asked(&targets), expected);
            let seen = &tokens[cue + 1..cue + 5];
            if task.blind { assert_eq!(seen, [0; 4]) } else { assert_eq!(seen, &symbols[..4]) }
        }
        assert_eq!(delays, (3..=12).collect());
    }
}

#[test]
fn scattered_symbols_are_the_targets_in_their_order() {
    let task: SelectiveCopy = parsed("--positions 20 --items 5 --alphabet 9");
    let mut places = HashSet::new();
    for number in 0..200 {
        let [tokens, targets] = example(&task, 1, Stream::Training, number);
        let scattered: Vec<_> = tokens[..20].iter().copied().enumerate().filter(|&(_, id)| id != 0).collect();
        assert_eq!(scattered.len(), 5);
        places.extend(scattered.iter().map(|&(at, _)| at));
        let expected: Vec<_> = scattered.iter().enumerate().map(|(i, &(_, id))| (20 + i, id)).collect();
        assert_eq!(asked(&targets), expected);
        assert_eq!(tokens[20..], [1; 5]);
    }
    assert_eq!(places.len(), 20, "symbols occur at all positions");
}

#[test]
fn the_target_of_induction_is_the_id_after_the_first_cue() {
    let task: Induction = parsed("--length 12 --longest 12 --vocabulary 6");
    let mut places = HashSet::new();
    for number in 0..400 {
        let [tokens, targets] = example(&task, 1, Stream::Training, number);
        let cues: Vec<_> = (0..12).filter(|&at| tokens[at] == 0).collect();
        let [first, 11] = cues[..] else { panic!("cues at {cues:?}") };
        assert_eq!(asked(&targets), [(11, tokens[first + 1])]);
        assert_ne!(tokens[first + 1], 0);
        places.insert(first);
    }
    assert_eq!(places, (0..10).collect());
}

#[test]
fn final_tests_go_beyond_the_delays_and_lengths_of_training() {
    let values = |kind: &Kind| kind.task().exams().iter().map(|exam| exam.value).collect::<Vec<_>>();
    assert_eq!(values(&Kind::Copy(parsed(""))), [10, 20, 50, 100, 200, 500, 1000]);
    assert_eq!(values(&Kind::Copy(parsed("--delay 15 --shortest 3"))), [3, 15, 20, 30]);
    assert_eq!(values(&Kind::Induction(parsed(""))), [256, 1024, 4096, 16_384]);
    for kind in kinds() {
        for exam in kind.task().exams() {
            exam.task.validate().unwrap();
            assert_eq!(exam.task.vocabulary(), kind.task().vocabulary());
            assert!(exam.examples > 0 && exam.task.length() >= exam.value.min(kind.task().length()));
        }
    }
}

#[test]
fn each_epoch_has_every_example_once_in_its_own_order() {
    let mut order = Order::new(5, Some(50));
    let passes: Vec<Vec<u64>> = (0..3).map(|pass| (0..50).map(|i| order.example(pass * 50 + i)).collect()).collect();
    for pass in &passes {
        let mut sorted = pass.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    }
    assert!(passes[0] != passes[1] && passes[1] != passes[2]);
    assert_eq!(Order::new(5, Some(50)).example(120), passes[2][20], "independent of earlier calls");
    assert_eq!(Order::new(5, None).example(1 << 40), 1 << 40);
}

#[test]
fn invalid_options_are_named() {
    let mqar = |flags: &str| parsed::<Mqar>(flags).validate();
    let copy = |flags: &str| parsed::<DelayedCopy>(flags).validate();
    let selective = |flags: &str| parsed::<SelectiveCopy>(flags).validate();
    let induction = |flags: &str| parsed::<Induction>(flags).validate();
    for (found, word) in [
        (mqar("--pairs 17"), "--pairs is 17; 64 positions fit at most 16"),
        (mqar("--pairs 0"), "--pairs is 0"),
        (mqar("--length 65"), "--length is 65"),
        (mqar("--vocabulary 64"), "--vocabulary is 64"),
        (mqar("--power nan"), "--power is NaN"),
        (copy("--shortest 501"), "--shortest 501"),
        (copy("--items 0"), "--items is 0"),
        (copy("--delay 100000000"), "--delay is 100000000"),
        (selective("--items 300"), "--items is 300"),
        (selective("--alphabet 0"), "--alphabet is 0"),
        (induction("--length 2"), "--length is 2"),
        (induction("--longest 100"), "--longest is 100"),
    ] {
        let said = found.unwrap_err().to_string();
        assert!(said.contains(word), "{said}");
    }
    assert!(mqar("--length 16 --pairs 4").is_ok() && mqar("--power 1 --length 256 --pairs 16").is_ok());
}
