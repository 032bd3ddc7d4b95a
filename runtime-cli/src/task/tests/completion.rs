//! Completion: the kernels implement the memories, and the memories complete patterns as the literature reports.

use super::*;
use crate::task::completion::*;
use hh_cpu::{Cpu, Threads};

fn cpu() -> Cpu<f32> {
    Cpu::new(Threads::one())
}

fn patterns(count: usize, dimension: usize, number: u64, gaussian: bool) -> Patterns {
    let mut draws = Draws::new(7, Stream::Training, number);
    let mut one = || if gaussian { draws.normal() } else { draws.below(2) as f32 * 2.0 - 1.0 };
    Patterns { dimension, numbers: (0..count * dimension).map(|_| one()).collect() }
}

#[test]
fn the_modern_memory_is_one_step_of_a_softmax_and_the_classic_one_a_matrix() {
    let (stored, asked, d) = (patterns(6, 9, 1, true), patterns(4, 9, 2, true), 9);
    let unit = |x: &[f32]| {
        let length = (x.iter().map(|x| x * x).sum::<f32>() + 1e-6).sqrt();
        x.iter().map(|x| x / length).collect::<Vec<_>>()
    };
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let b = &mut cpu();
    let found = Modern::new(b, &stored, 3.0).unwrap().complete(b, &asked).unwrap();
    for (probe, found) in asked.each().zip(found.each()) {
        let likely: Vec<f32> = stored.each().map(|p| (3.0 * dot(&unit(p), &unit(probe))).exp()).collect();
        let sum: f32 = likely.iter().sum();
        for at in 0..d {
            let expected: f32 = stored.each().zip(&likely).map(|(p, l)| l / sum * p[at]).sum();
            assert!((found[at] - expected).abs() < 1e-5, "{} and {expected}", found[at]);
        }
    }
    let found = Classic::new(b, &stored, Components::Gaussian).unwrap().complete(b, &asked).unwrap();
    for (probe, found) in asked.each().zip(found.each()) {
        let raw: Vec<f32> =
            (0..d).map(|at| stored.each().map(|p| (dot(&unit(p), probe) - unit(p)[at] * probe[at]) * p[at]).sum()).collect();
        let scale = 3.0 / dot(&raw, &raw).sqrt();
        for at in 0..d {
            assert!((found[at] - scale * raw[at]).abs() < 1e-5, "{} and {}", found[at], scale * raw[at]);
        }
    }
}

#[test]
fn an_attractor_network_converges_to_a_stored_pattern() {
    let stored = patterns(3, 64, 3, false);
    let mut corrupted = stored.clone();
    corrupted.numbers.iter_mut().step_by(6).for_each(|x| *x = -*x);
    let found = Memory::<Cpu<f32>>::complete(&mut Ca3::new(&stored, Components::Bipolar), &mut cpu(), &corrupted).unwrap();
    assert_eq!(found, stored);
}

fn share(rows: &[Row], memory: &str, patterns: usize, probe: Probe) -> f64 {
    rows.iter().find(|row| (&row.memory[..], row.patterns, row.probe) == (memory, patterns, probe)).unwrap().completed
}

/// Of 100 patterns with noise of 0.5, one step of the modern memory completes nearly all and the classic one, whose capacity
/// is 0.14 patterns per component, hardly any; of five patterns both complete most.
#[test]
fn one_step_completes_a_hundred_patterns_where_the_classic_memory_does_not() {
    for components in ["bipolar", "gaussian"] {
        let task: Completion = parsed(&format!("--components {components} --patterns 5,100 --noise 0.5,1.5 --mask 0.25 --trials 3"));
        task.validate().unwrap();
        let rows = task.run(&mut cpu()).unwrap();
        assert_eq!(rows.len(), 3 * 2 * 3);
        let noise = Probe::Gaussian(0.5);
        assert!(share(&rows, "modern", 100, noise) >= 0.95, "{rows:?}");
        assert!(share(&rows, "modern", 100, Probe::Gaussian(1.5)) < share(&rows, "modern", 100, noise));
        for memory in ["classic", "ca3"] {
            assert!(share(&rows, memory, 100, noise) < 0.1, "{rows:?}");
        }
        assert!(share(&rows, "modern", 100, Probe::Mask(0.25)) >= 0.95, "{rows:?}");
        if components == "bipolar" {
            assert!(share(&rows, "classic", 5, noise) >= 0.8 && share(&rows, "ca3", 5, noise) >= 0.8, "{rows:?}");
        }
        assert_eq!(task.run(&mut cpu()).unwrap(), rows, "a function of the seed");
    }
}

#[cfg(feature = "plots")]
#[test]
fn rows_are_written_and_drawn() {
    let task: Completion = parsed("--patterns 2,4 --noise 0.1,0.5 --mask 0.5 --trials 1 --dimension 16");
    let rows = task.run(&mut cpu()).unwrap();
    let mut csv = Vec::new();
    write_csv(&rows, &mut csv).unwrap();
    let csv = String::from_utf8(csv).unwrap();
    assert_eq!(csv.lines().count(), 1 + rows.len());
    assert!(csv.starts_with("memory,patterns,probe,amount,completed,error\nmodern,2,noise,0.1,"), "{csv}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("completion.svg");
    completion::draw(&path, &rows).unwrap();
    let svg = std::fs::read_to_string(path).unwrap();
    for word in ["modern, one step", "classic (1982)", "CA3", "standard deviation of the noise", "components masked", "patterns stored"] {
        assert!(svg.contains(word), "{word}");
    }
}

#[test]
fn probes_are_serialised_by_name() {
    let json = |probe: Probe| serde_json::to_string(&probe).unwrap();
    assert_eq!([json(Probe::Gaussian(0.5)), json(Probe::Mask(0.25))], ["{\"noise\":0.5}", "{\"mask\":0.25}"]);
}

#[test]
fn invalid_probes_are_named() {
    for (flags, word) in [
        ("--noise=-1", "--noise has -1"),
        ("--noise nan", "--noise has NaN"),
        ("--mask 1", "--mask has 1"),
        ("--patterns 0", "--patterns has 0"),
        ("--beta 0", "--beta is 0"),
    ] {
        let said = parsed::<Completion>(flags).validate().unwrap_err().to_string();
        assert!(said.contains(word), "{said}");
    }
}
