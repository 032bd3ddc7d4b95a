//! Memory tasks: what cannot be is refused, what was stopped goes on, and a run ends with its report.

use super::{command, desk, desk_with_run, refused, text_of, words, works};
use serde_json::Value;
use std::{fs, path::Path, process::Stdio};

/// Solved in a second.
const TINY: &str = "task mqar --length 16 --pairs 2 --vocabulary 32 --paths hopfield --layers 1 --width 32 --lr 1e-2 --batch 32 \
    --examples 0 --steps 1500 --eval-every 25 --held-out 300 --threads 1";

fn report(here: &Path, run: &str) -> Value {
    serde_json::from_slice(&fs::read(here.join(run).join("task.json")).expect("a report")).expect("JSON")
}

#[test]
fn a_task_that_cannot_be_is_refused() {
    let folder = desk_with_run();
    for (line, said) in [
        ("task juggling", "juggling"),
        ("task mqar --pairs 17", "--pairs is 17"),
        ("task mqar --length 63", "--length is 63"),
        ("task mqar --vocabulary 10", "--vocabulary is 10"),
        ("task mqar --paths rnn", "the paths are hybrid"),
        ("task mqar --width 0", "width"),
        ("task mqar --lr nan", "lr is NaN"),
        ("task mqar --batch 0", "batch is 0"),
        ("task mqar --steps 5 --epochs 5", "cannot be used with"),
        ("task mqar --parameters 10", "reduce the path widths"),
        ("task mqar --parameters 10000000 --set ffn=3", "only one of them"),
        ("task mqar --set layres=3", "layres"),
        ("task mqar --enough nan", "--enough is NaN"),
        ("task mqar --out run", "not empty"),
        ("task mqar --held-out 0", "held-out"),
        ("task mqar --delay 3", "--delay"),
        ("task copy --epochs 3", "--epochs 3"),
        ("task copy --shortest 600", "--shortest 600"),
        ("task selective-copy --items 1000", "--items is 1000"),
        ("task induction --longest 10", "--longest is 10"),
        ("task completion --noise=-1", "--noise has -1"),
        ("task completion --mask 2", "--mask has 2"),
        ("task completion --trials 0", "trials"),
        ("task --resume nowhere", "not a folder"),
        ("task --resume run", "hh-runtime train --resume run"),
        ("task mqar --backend abacus", "abacus"),
    ] {
        refused(folder.path(), line, &[said]);
    }
}

#[test]
fn all_tasks_are_told_with_what_they_ask() {
    let folder = desk();
    for line in ["task", "task --list"] {
        let said = works(folder.path(), line);
        for name in ["mqar", "copy", "selective-copy", "induction", "completion"] {
            assert!(said.lines().any(|line| line.starts_with(name) && line.len() > 40), "{name} in {said}");
        }
    }
}

#[test]
fn a_task_that_is_solved_ends_with_its_report() {
    let folder = desk();
    let here = folder.path();
    let said = works(here, TINY);
    assert!(said.contains("accuracy") && said.contains("task.json"), "{said}");
    let report = report(here, "runs/mqar-hopfield-1");
    assert_eq!((&report["solved"], &report["seed"]), (&true.into(), &1.into()));
    assert!(report["accuracy"].as_f64() >= Some(0.995) && report["steps"].as_u64() < Some(1500), "{report}");
    assert!(report["exam"][0]["accuracy"].as_f64() > Some(0.98), "{report}");
    assert_eq!(report["exam"][0]["asked"], 6000);
    works(here, "info runs/mqar-hopfield-1");
    let metrics = fs::read_to_string(here.join("runs/mqar-hopfield-1/metrics.jsonl")).expect("metrics");
    assert!(metrics.lines().any(|line| line.contains("\"accuracy\":")), "{metrics}");
    refused(here, "train --resume runs/mqar-hopfield-1", &["hh-runtime task --resume"]);
    refused(here, "train --config runs/mqar-hopfield-1/config.toml", &["hh-runtime task mqar"]);
}

#[cfg(unix)]
#[test]
fn a_task_that_was_stopped_goes_on() {
    let folder = desk();
    let here = folder.path();
    let long = TINY.replace("--steps 1500", "--steps 600 --enough 2");
    works(here, &format!("{long} --out whole"));
    let mut child = command(here, &words(&format!("{long} --out parts")));
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let metrics = here.join("parts/metrics.jsonl");
    while !fs::read_to_string(&metrics).is_ok_and(|m| m.lines().count() > 3) {
        assert!(child.try_wait().expect("a child").is_none(), "it never began");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill is there");
    let output = child.wait_with_output().expect("it ends");
    let said = text_of(&output.stdout);
    assert!(output.status.code() == Some(130) && said.contains("task --resume parts"), "{said}");
    works(here, "task --resume parts --threads 2");
    assert_eq!(report(here, "parts"), report(here, "whole"));
}

#[test]
fn completion_needs_no_training() {
    let folder = desk();
    let here = folder.path();
    let said = works(here, "task completion --patterns 20,100 --noise 0.5,1 --mask 0.5 --trials 2 --out done");
    assert!(said.contains("noise 0.5") && said.contains("mask 0.5") && said.contains("classic"), "{said}");
    let csv = fs::read_to_string(here.join("done/completion.csv")).expect("a table");
    assert_eq!(csv.lines().count(), 1 + 2 * 3 * 3, "{csv}");
    assert!(fs::read_to_string(here.join("done/completion.svg")).expect("a picture").contains("<svg"));
    let table = &report(here, "done")["table"];
    let modern = table.as_array().expect("rows").iter().find(|row| row["memory"] == "modern" && row["probe"]["noise"] == 0.5);
    assert!(modern.expect("a row")["completed"].as_f64() >= Some(0.95), "{table}");
}
