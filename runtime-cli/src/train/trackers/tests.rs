use super::event::{Event, What, crc32c};
use super::tensorboard::{own_files, scalars};
use super::*;
use crate::train::metrics::{Evaluation, Gates, Step};
use std::fs;
use tempfile::TempDir;

fn step(step: u64) -> Record {
    let gates = Gates { ssm: Some(0.5), hopfield: None, attention: Some(1.5) };
    let (z, flow) = (Some(2.0), None);
    Record::Step(Step {
        step,
        tokens: step * 8,
        nll: Some(1.0 / step as f64),
        z,
        smooth: None,
        flow,
        cosine: None,
        pairs: None,
        lr: 1e-3,
        grad_norm: 0.25,
        gates,
        tokens_per_second: 9.0,
        bytes_sent: None,
    })
}

fn validation(step: u64, whole: bool) -> Record {
    Record::Evaluation(Evaluation { step, validation: 1.25, validation_ema: Some(1.125), accuracy: None, scored: 40, whole })
}

fn folder() -> (TempDir, RunFolder) {
    let parent = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(Some(&parent.path().join("run")), "").unwrap();
    (parent, folder)
}

/// All events but the first of each file, without their times.
fn events(folder: &RunFolder) -> Vec<(u64, What)> {
    let mut all = Vec::new();
    for path in own_files(&folder.tensorboard()) {
        let (bytes, mut at) = (fs::read(path).unwrap(), 0);
        while at < bytes.len() {
            let (event, length) = Event::read(&bytes[at..]).expect("a whole record");
            assert!(event.time > 1.7e9);
            assert_eq!(event.what == What::Version, at == 0);
            if at > 0 {
                all.push((event.step, event.what));
            }
            at += length;
        }
    }
    all
}

fn expected(records: &[Record]) -> Vec<(u64, What)> {
    records.iter().map(scalars).map(|(step, scalars)| (step, What::Scalars(scalars))).collect()
}

#[test]
fn the_checksum_is_castagnolis() {
    // The check value of CRC-32C in the catalogue of CRCs, and RFC 3720's of 32 zeros.
    assert_eq!((crc32c(b"123456789"), crc32c(&[0; 32])), (0xe306_9283, 0x8a91_36aa));
}

#[test]
fn a_damaged_record_is_not_read() {
    let event = Event { time: 3.5, step: 300, what: What::Scalars(vec![("a/b".into(), 0.5), ("c".into(), -1.0)]) };
    let bytes = event.to_bytes();
    assert_eq!(Event::read(&[&bytes[..], b"more"].concat()), Some((event, bytes.len())));
    for at in 0..bytes.len() {
        assert_eq!(Event::read(&bytes[..at]), None);
        let mut wrong = bytes.clone();
        wrong[at] ^= 1;
        assert_eq!(Event::read(&wrong), None, "byte {at}");
    }
}

#[test]
fn a_resumed_run_has_each_record_once() {
    let (_parent, folder) = folder();
    let both = [Tracker::Csv, Tracker::Tensorboard];
    let all = [step(10), validation(10, false), step(20), validation(20, false), validation(20, true)];
    let mut trackers = Trackers::open(&folder, &both, &[], 0).unwrap();
    all.iter().for_each(|record| trackers.push(record).unwrap());
    assert_eq!(events(&folder), expected(&all));
    let whole = fs::read_to_string(folder.csv()).unwrap();
    let rows: Vec<_> = whole.lines().collect();
    assert_eq!(rows[0].split(',').count(), 20);
    assert_eq!(rows[1], "10,80,0.1,2.0,,,,,0.001,0.25,0.5,,1.5,9.0,,,,,,");
    assert_eq!(rows[5], "20,,,,,,,,,,,,,,,1.25,1.125,,40,true");

    // Killed while it wrote, and resumed from step 10, twice; nothing is asked for: the files are there.
    for _ in 0..2 {
        let last = own_files(&folder.tensorboard()).pop().unwrap();
        let cut = fs::read(&last).unwrap();
        fs::write(&last, &cut[..cut.len() - 3]).unwrap();
        let mut trackers = Trackers::open(&folder, &[], &all[..2], 10).unwrap();
        all[2..].iter().for_each(|record| trackers.push(record).unwrap());
        let found: Vec<_> = events(&folder).into_iter().filter(|(_, what)| *what != What::Start).collect();
        assert_eq!(found, expected(&all));
        assert_eq!(fs::read_to_string(folder.csv()).unwrap(), whole);
    }
    assert_eq!(events(&folder).iter().filter(|event| **event == (11, What::Start)).count(), 2);
}

#[test]
fn a_form_that_is_asked_for_later_has_all_records() {
    let (_parent, folder) = folder();
    assert!(Trackers::open(&folder, &[], &[], 0).unwrap().events.is_none() && !folder.csv().exists());
    fs::create_dir_all(folder.tensorboard()).unwrap();
    fs::write(folder.tensorboard().join("events.out.tfevents.1.other"), "of another program").unwrap();
    let all = [step(10), step(20)];
    Trackers::open(&folder, &[Tracker::Tensorboard], &all, 20).unwrap();
    let found: Vec<_> = events(&folder).into_iter().filter(|(_, what)| *what != What::Start).collect();
    assert_eq!(found, expected(&all));
    assert_eq!(fs::read(folder.tensorboard().join("events.out.tfevents.1.other")).unwrap(), b"of another program");
}
