//! Ctrl-C: the step is finished, everything is saved, and the run goes on as if it had never stopped.

use super::{TRAIN, command, desk, text_of, weights, words, works};
use std::{
    io::Read,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Sends a signal by its name.
fn signal(name: &str, process: u32) {
    let status = Command::new("kill").args([format!("-{name}"), process.to_string()]).status().expect("kill is there");
    assert!(status.success(), "kill -{name}");
}

/// Trains until the first metrics are written, then interrupts.
pub(super) fn interrupted(here: &Path, run: &str, steps: u64, backend: &str) -> String {
    let mut child = command(here, &words(&format!("{TRAIN} --steps {steps} --log-every 1 --out {run} {backend}")));
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let metrics = here.join(run).join("metrics.jsonl");
    let began = Instant::now();
    while !std::fs::read_to_string(&metrics).is_ok_and(|m| m.lines().count() > 3) {
        assert!(began.elapsed() < Duration::from_secs(120) && child.try_wait().expect("a child").is_none(), "it never began");
        std::thread::sleep(Duration::from_millis(5));
    }
    signal("INT", child.id());
    let status = child.wait().expect("it ends");
    let mut said = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut said).expect("UTF-8");
    let mut errors = Vec::new();
    child.stderr.take().expect("a pipe").read_to_end(&mut errors).expect("readable");
    assert_eq!(status.code(), Some(130), "{said} {}", text_of(&errors));
    said
}

#[cfg(unix)]
#[test]
fn a_run_that_was_interrupted_goes_on_as_if_it_never_stopped() {
    let (folder, steps) = (desk(), 400);
    let here = folder.path();
    let said = interrupted(here, "parts", steps, "");
    assert!(said.contains("--resume parts"), "it says how to go on: {said}");
    works(here, &format!("{TRAIN} --steps {steps} --log-every 1 --out whole"));
    assert!(weights(here, "parts") != weights(here, "whole"), "it was interrupted before its end");
    works(here, "train --resume parts --threads 2");
    assert!(weights(here, "parts") == weights(here, "whole"));
}

/// Whatever the moment at which it dies, what was saved before is whole.
#[cfg(unix)]
#[test]
fn a_run_that_was_killed_goes_on_from_its_last_checkpoint() {
    let folder = desk();
    let here = folder.path();
    let line = format!("{TRAIN} --steps 100000 --save-every 1 --eval-every 50000 --out run");
    let mut child = command(here, &words(&line)).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    let began = Instant::now();
    while !here.join("run/resume.safetensors").exists() {
        assert!(began.elapsed() < Duration::from_secs(120) && child.try_wait().expect("a child").is_none(), "it never saved");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(100));
    signal("KILL", child.id());
    child.wait().expect("it ends");
    works(here, "info run/last.safetensors");
    let resumed = interrupted_resume(here);
    assert!(resumed.contains("--resume run"), "{resumed}");
}

/// Goes on for a moment and stops.
fn interrupted_resume(here: &Path) -> String {
    let child = command(here, &words("train --resume run")).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    std::thread::sleep(Duration::from_millis(1500));
    signal("INT", child.id());
    text_of(&child.wait_with_output().expect("it ends").stdout)
}
