//! Signals: the step is finished, everything is saved, and the run goes on as if it had never stopped.

use super::{PROGRAM, TEXT, TRAIN, command, desk, desk_with_run, is_refusal, refused, skipped, text_of, weights, words, works};
use std::{
    io::Read,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Sends a signal by its name.
pub(super) fn signal(name: &str, process: u32) {
    let status = Command::new("kill").args([format!("-{name}"), process.to_string()]).status().expect("kill is there");
    assert!(status.success(), "kill -{name}");
}

/// Waits until a run has written its first metrics.
fn begun(here: &Path, run: &str, child: &mut Child) {
    let metrics = here.join(run).join("metrics.jsonl");
    let began = Instant::now();
    while !std::fs::read_to_string(&metrics).is_ok_and(|m| m.lines().count() > 3) {
        assert!(began.elapsed() < Duration::from_secs(120) && child.try_wait().expect("a child").is_none(), "it never began");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Trains until the first metrics are written, then interrupts.
pub(super) fn interrupted(here: &Path, run: &str, steps: u64, backend: &str) -> String {
    stopped_by("INT", here, run, &format!("{TRAIN} --steps {steps} --log-every 1 --out {run} {backend}"))
}

/// Trains until the first metrics are written, then sends a signal, which must end the run in good order.
fn stopped_by(name: &str, here: &Path, run: &str, line: &str) -> String {
    let mut child = command(here, &words(line));
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    begun(here, run, &mut child);
    signal(name, child.id());
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
    for optimizer in ["adamw", "muon"] {
        let [parts, whole] = ["parts", "whole"].map(|run| format!("{run}-{optimizer}"));
        let flag = format!("--optimizer {optimizer}");
        let said = interrupted(here, &parts, steps, &flag);
        assert!(said.contains(&format!("--resume {parts}")), "it says how to go on: {said}");
        works(here, &format!("{TRAIN} --steps {steps} --log-every 1 --out {whole} {flag}"));
        assert!(weights(here, &parts) != weights(here, &whole), "it was interrupted before its end");
        works(here, &format!("train --resume {parts} --threads 2"));
        assert!(weights(here, &parts) == weights(here, &whole), "{optimizer}");
    }
    refused(here, "train --resume whole-adamw --optimizer muon", &["--resume uses the recipe of the run"]);
}

#[cfg(unix)]
#[test]
fn a_run_whose_terminal_is_closed_or_that_is_terminated_is_saved() {
    let folder = desk();
    let here = folder.path();
    for (name, run) in [("HUP", "closed"), ("TERM", "ended")] {
        if name == "HUP" && ignores_hangups() {
            skipped("SIGHUP is ignored here, as `nohup` has it, and by all programs that are started");
            continue;
        }
        let said = stopped_by(name, here, run, &format!("{TRAIN} --steps 100000 --log-every 1 --out {run}"));
        assert!(said.contains(&format!("--resume {run}")), "{said}");
        works(here, &format!("info {run}/last.safetensors"));
    }
}

/// Whether this process was started to ignore SIGHUP; where it cannot be told, it was not.
#[cfg(unix)]
fn ignores_hangups() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// As `nohup` starts it.
#[cfg(unix)]
#[test]
fn a_run_that_was_started_to_ignore_a_closed_terminal_goes_on() {
    let folder = desk();
    let here = folder.path();
    let line = format!("{TRAIN} --steps 100000 --log-every 1 --out run");
    let mut child = Command::new("sh");
    child.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(&*PROGRAM).args(words(&line)).current_dir(here);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program starts");
    begun(here, "run", &mut child);
    signal("HUP", child.id());
    let lines = || std::fs::read_to_string(here.join("run/metrics.jsonl")).expect("metrics").lines().count();
    let (before, began) = (lines(), Instant::now());
    while lines() < before + 20 {
        assert!(began.elapsed() < Duration::from_secs(120) && child.try_wait().expect("a child").is_none(), "it stopped");
        std::thread::sleep(Duration::from_millis(5));
    }
    signal("INT", child.id());
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
}

#[cfg(unix)]
#[test]
fn two_runs_do_not_write_to_one_folder() {
    let folder = desk();
    let here = folder.path();
    let mut child = command(here, &words(&format!("{TRAIN} --steps 100000 --log-every 1 --save-every 1 --out run")));
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    begun(here, "run", &mut child);
    for line in ["train --resume run", &format!("{TRAIN} --steps 3 --out run")] {
        let output = command(here, &words(line)).output().expect("the program starts");
        is_refusal(line, &output, &["another run is writing to run"]);
    }
    works(here, "info run/last.safetensors");
    signal("INT", child.id());
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    works(here, "info run/resume.safetensors");
}

#[test]
fn what_a_killed_run_left_unfinished_goes_when_the_run_goes_on() {
    let folder = desk_with_run();
    let stale = folder.path().join("run/.hh-aB3dE5.unfinished");
    std::fs::write(&stale, [0; 1000]).expect("memory");
    works(folder.path(), "sample run --tokens 3");
    assert!(stale.exists(), "a command that only reads removes nothing");
    works(folder.path(), "train --resume run --steps 12");
    assert!(!stale.exists());
}

/// The last validation reads the whole held-out text, which may be long.
#[cfg(unix)]
#[test]
fn a_run_that_was_interrupted_in_its_last_validation_has_only_that_to_do() {
    let folder = desk();
    let here = folder.path();
    std::fs::write(here.join("text.txt"), TEXT.repeat(800)).expect("memory");
    let line = format!("{TRAIN} --steps 2 --eval-tokens 32 --holdout 0.9 --out run");
    let child = command(here, &words(&line)).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = child.expect("the program starts");
    // The last step saves its state before the validation begins.
    let began = Instant::now();
    while steps_saved(here) != Some(2) {
        assert!(began.elapsed() < Duration::from_secs(120) && child.try_wait().expect("a child").is_none(), "it never saved");
        std::thread::sleep(Duration::from_millis(1));
    }
    signal("INT", child.id());
    let output = child.wait_with_output().expect("it ends");
    let said = text_of(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("in the last validation") && said.contains("--resume run"), "{said}");
    let before = weights(here, "run");
    assert!(works(here, "train --resume run").contains("held-out tokens"));
    assert!(before == weights(here, "run"), "no step was left to take");
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

/// Steps that the saved state of `run` has taken, if there is one.
fn steps_saved(here: &Path) -> Option<u64> {
    let bytes = std::fs::read(here.join("run/resume.safetensors")).ok()?;
    Some(hh_core::checkpoint::Checkpoint::parse(&bytes).expect("it is written whole").step())
}

/// Goes on for a moment and stops.
fn interrupted_resume(here: &Path) -> String {
    let child = command(here, &words("train --resume run")).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    std::thread::sleep(Duration::from_millis(1500));
    signal("INT", child.id());
    text_of(&child.wait_with_output().expect("it ends").stdout)
}
