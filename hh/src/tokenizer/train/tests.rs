use super::super::foreign::{Bpe, byte_level};
use super::*;
use hh_core::tokenizer::Tokenizer;
use std::time::{Duration, Instant};
use tokenizers::models::bpe::BpeTrainer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

fn own(size: usize, texts: &[&str]) -> Bpe {
    Bpe::train::<crate::Error>(size, false, texts.iter().map(|text| Ok((*text).to_owned()))).unwrap()
}

/// The description that the trainer of `tokenizers` comes to.
fn theirs(size: usize, texts: &[&str]) -> String {
    let alphabet = ByteLevel::alphabet().into_iter().collect();
    let trainer = BpeTrainer::builder().vocab_size(size).min_frequency(2).show_progress(false).initial_alphabet(alphabet);
    let mut tokenizer = byte_level(BPE::default(), false);
    tokenizer.train(&mut trainer.build(), texts.iter()).unwrap();
    let inner = tokenizers::Tokenizer::from(tokenizer).to_string(false).unwrap();
    format!("{{\"kind\":\"bpe\",\"tokenizer\":{inner}}}")
}

/// Words as a language has them: syllables in many combinations, by frequency.
fn prose(words: usize, mut seed: u64) -> String {
    let mut draw = |n: u64| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) % n
    };
    let syllables = ["ing", "in", "g", "th", "the", "an", "and", "re", "er", "tion", "s", "es", "aa", "a", "é", "漢"];
    let mut text = String::new();
    for _ in 0..words {
        for _ in 0..=draw(4) {
            let (a, b) = (draw(16), draw(16));
            text += syllables[a.min(b) as usize];
        }
        text += [" ", " ", " ", ", ", ".\n"][draw(5) as usize];
    }
    text
}

#[test]
fn the_merges_are_those_of_the_tokenizers_library() {
    let prose: Vec<String> = (0..4).map(|seed| prose(3000, seed)).collect();
    let runs = ["aaaaaaa aaaa aa aaaaaaaaaaaaa", "abababab babab abab ababa", "aaabaaab aabaab abaab"];
    let all: Vec<&str> = prose.iter().map(String::as_str).chain(runs).collect();
    for texts in [&all[..1], &all[1..2], &all[4..], &all[..]] {
        for size in [256, 257, 300, 700, 5000] {
            assert!(own(size, texts).to_json() == theirs(size, texts), "{} texts, {size} tokens", texts.len());
        }
    }
}

#[test]
fn one_long_word_takes_no_longer_than_many_short_ones() {
    let dna: String = prose(200_000, 1).bytes().map(|b| char::from(b"ACGT"[usize::from(b % 4)])).collect();
    let began = Instant::now();
    for text in [&"a".repeat(1_000_000), &dna[..]] {
        let bpe = own(512, &[text]);
        let ids = bpe.encode(text).unwrap();
        assert!(ids.len() < text.len() / 3, "{} ids of {} bytes", ids.len(), text.len());
    }
    // The trainer of `tokenizers` takes many minutes.
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
}
