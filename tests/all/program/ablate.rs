//! `ablate`: retrained variants of equal size, from a plan that can be stopped, resumed and extended.

use super::{TEXT, command, desk, refused, tensors, text_of, words, works};
use std::{fs, path::Path, time::Duration};

const PLAN: &str = r#"
[model]
width = 16
layers = 2
ffn = 24
head_dim = 4
ssm_width = 8
hopfield_width = 8
attention_width = 8
hopfield_depths = [2, 1]
hopfield_slots = 2
mixer_hidden = 8
[train]
steps = 12
batch = 2
context = 16
[data]
files = ["text.txt"]
[ablate]
seeds = [1, 2]
"#;

fn plan(here: &Path, rest: &str) {
    fs::write(here.join("plan.toml"), PLAN.to_owned() + rest).expect("memory");
}

fn sheet(here: &Path, out: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(here.join(out).join("results.csv")).expect("a table");
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn variants_are_of_one_size_and_each_is_an_ordinary_run() {
    let folder = desk();
    let here = folder.path();
    plan(here, "groups = [\"mixers\"]\n[[ablate.variant]]\nname = \"one tap\"\nset = { ssm_conv = 1 }");
    let listed = works(here, "ablate --config plan.toml --list");
    assert_eq!(listed.lines().count(), 1 + 4, "{listed}");
    assert!(!here.join("runs").exists(), "listing does nothing");

    let said = works(here, "ablate --config plan.toml --out out --jobs 2 --threads 2");
    assert!(said.contains("softmax gates") && said.contains("own            one tap"), "{said}");
    let rows = sheet(here, "out");
    let names: Vec<_> = rows.iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
    let wanted =
        [("group", "name"), ("base", "base"), ("mixers", "softmax gates"), ("mixers", "mean"), ("mixers", "sum"), ("own", "one tap")];
    assert_eq!(names, wanted);
    let number = |text: &String| text.parse::<f64>().expect("a number");
    let size = number(&rows[1][2]);
    for row in &rows[1..] {
        assert!((number(&row[2]) - size).abs() <= 48.0, "{row:?}");
        assert_eq!(row[4], "2", "two seeds: {row:?}");
        assert!(number(&row[5]) > 0.0 && number(&row[6]) > 0.0, "{row:?}");
    }
    assert_eq!(rows[1][5..7], rows[2][5..7], "the base answers for its own kind of mixer");
    assert!(rows[1][7].is_empty() && (number(&rows[3][7]) - (number(&rows[3][5]) - number(&rows[1][5]))).abs() < 1e-9);
    assert!(fs::read_to_string(here.join("out/ablate.svg")).expect("a picture").contains("one tap"));

    // The same recipe by hand, its seed apart.
    let by_hand = "train --config out/own-one-tap/seed-2/config.toml --out by-hand --threads 1";
    let said = works(here, by_hand);
    let done = fs::read_to_string(here.join("out/own-one-tap/seed-2/result.json")).expect("a result");
    let nll = done.split("\"nll\": ").nth(1).and_then(|rest| rest.split(',').next()).expect("a figure").parse::<f64>().expect("a number");
    assert!(said.contains(&format!("{nll:.4} with averaged weights")), "{nll}: {said}");
    assert!(tensors(here, "by-hand/best.safetensors") == tensors(here, "out/own-one-tap/seed-2/best.safetensors"));
}

#[test]
fn a_plan_that_grows_trains_what_is_new_alone() {
    let folder = desk();
    let here = folder.path();
    plan(here, "groups = [\"associations\"]");
    works(here, "ablate --config plan.toml --out out --threads 1");
    let before = sheet(here, "out");
    let base = here.join("out/base-base/seed-1/best.safetensors");
    let age = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).expect("a time");
    let made = age(&base);
    std::thread::sleep(Duration::from_millis(20));
    plan(here, "groups = [\"associations\", \"slots\"]");
    works(here, "ablate --config plan.toml --out out --threads 1");
    let after = sheet(here, "out");
    assert_eq!(after[..before.len()], before[..]);
    assert_eq!(after.len(), before.len() + 3);
    assert_eq!(age(&base), made, "what was done is not done again");

    // Another text under the same name, another number of steps: another ablation.
    fs::write(here.join("text.txt"), TEXT.repeat(41)).expect("memory");
    refused(here, "ablate --config plan.toml --out out --threads 1", &["another plan or text", "--out"]);
}

#[cfg(unix)]
#[test]
fn an_ablation_that_was_interrupted_comes_to_the_same() {
    let folder = desk();
    let here = folder.path();
    plan(here, "groups = [\"associations\"]");
    let long = PLAN.replace("steps = 12", "steps = 300\nlog_every = 1") + "groups = [\"associations\"]";
    fs::write(here.join("plan.toml"), long).expect("memory");
    let line = "ablate --config plan.toml --threads 1 --jobs 1 --out";
    let child = command(here, &words(&format!("{line} parts"))).stdout(std::process::Stdio::piped()).spawn().expect("it starts");
    let metrics = here.join("parts/base-base/seed-1/metrics.jsonl");
    let began = std::time::Instant::now();
    while !fs::read_to_string(&metrics).is_ok_and(|m| m.lines().count() > 3) {
        assert!(began.elapsed() < Duration::from_secs(120), "it never began");
        std::thread::sleep(Duration::from_millis(5));
    }
    super::stopping::signal("INT", child.id());
    let output = child.wait_with_output().expect("it ends");
    let said = text_of(&output.stdout);
    assert!(output.status.code() == Some(130) && said.contains("the same command again"), "{} {said}", output.status);
    assert!(here.join("parts/base-base/seed-1/resume.safetensors").exists(), "it was saved");
    works(here, &format!("{line} parts"));
    works(here, &format!("{line} whole"));
    assert_eq!(sheet(here, "parts"), sheet(here, "whole"));
}

#[test]
fn a_plan_that_cannot_be_carried_out_is_refused() {
    let folder = desk();
    let here = folder.path();
    plan(here, "groups = [\"path\"]");
    refused(here, "ablate --config plan.toml", &["unknown group \"path\"", "paths"]);
    plan(here, "groups = [\"paths\"]\nseed = 3");
    refused(here, "ablate --config plan.toml", &["plan.toml line", "unknown field `seed`"]);
    plan(here, "[[ablate.variant]]\nname = \"wide\"\nset = { ssm_width = 4096 }");
    refused(here, "ablate --config plan.toml", &["own: wide", "reduce the path widths"]);
    refused(here, "ablate --config none.toml", &["none.toml", "no such file"]);
    plan(here, "groups = [\"paths\"]");
    refused(here, "ablate --config plan.toml --devices cuda:0,gpu", &["gpu", "the backends are auto, cpu"]);
}
