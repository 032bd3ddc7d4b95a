//! The fuzz targets' functions over a small corpus and what damage makes of it.

use hh_core::rng;
use hh_tests::{readers, seeds};

/// Reads whole files, and thousands of damaged ones. What is damaged must be refused or read; it may not panic.
fn check(read: fn(&[u8]) -> bool, whole: &[Vec<u8>]) {
    for file in whole {
        assert!(read(file), "a whole file reads");
        for cut in (0..file.len()).step_by(1 + file.len() / 400).chain(file.len().saturating_sub(9)..file.len()) {
            assert!(!read(&file[..cut]), "a file cut at {cut} of {} bytes does not", file.len());
        }
        assert!(!read(&[&file[..], b"x"].concat()), "a file with something behind it does not");
        for round in 0..3000 {
            let mut file = file.clone();
            for change in 0..1 + round % 4 {
                if file.is_empty() {
                    break;
                }
                let [at, how, byte, _] = rng::block([round, change, 0, 0], 1, 0);
                // Half of the damage goes to where the structure is.
                let span = if how & 8 == 0 { file.len().min(200) } else { file.len() };
                let at = at as usize % span;
                match how % 8 {
                    0 => file[at] = byte as u8,
                    1 => file[at] ^= 1 << (byte % 8),
                    2 => file[at] = 0xff,
                    3 => file[at] = 0,
                    4 => file.insert(at, byte as u8),
                    5 => drop(file.remove(at)),
                    6 => file.truncate(at),
                    _ => file.copy_within(at.., 0),
                }
            }
            read(&file);
        }
    }
    for junk in [&b""[..], b"{", b"\xff\xff\xff\xff\xff\xff\xff\xff{", b"\x02\0\0\0\0\0\0\0{}", &[0; 300]] {
        assert!(!read(junk));
    }
}

#[test]
fn a_checkpoint_that_is_damaged_is_refused_without_a_panic() {
    check(readers::checkpoint, &seeds::checkpoints());
}

#[test]
fn a_shard_that_is_damaged_is_refused_without_a_panic() {
    check(readers::shard, &seeds::shards());
}

#[test]
fn a_state_that_is_damaged_is_refused_without_a_panic() {
    let (states, text) = seeds::states();
    check(readers::state, &states);
    check(readers::text_state, &[text]);
}

#[test]
fn a_memory_that_is_damaged_is_refused_without_a_panic() {
    check(readers::memory, &seeds::memories());
}

#[test]
fn a_description_of_a_tokenizer_that_is_damaged_is_refused_without_a_panic() {
    check(readers::tokenizer, &seeds::tokenizers());
}

#[test]
fn a_request_that_is_damaged_is_refused_without_a_panic() {
    check(readers::request, &seeds::requests());
}

#[test]
fn an_array_that_is_damaged_is_refused_without_a_panic() {
    check(readers::npy, &seeds::arrays());
}
