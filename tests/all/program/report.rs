//! `report`: one page of what a folder holds.

use super::{desk, desk_with_run, refused, works};
use std::fs;

#[test]
fn a_page_shows_runs_and_ablations_and_needs_nothing_beside_it() {
    let folder = desk_with_run();
    let here = folder.path();
    fs::write(here.join("plan.toml"), PLAN).expect("memory");
    works(here, "ablate --config plan.toml --out runs/plan --threads 1");
    works(here, "train --resume run --log csv --log tensorboard --threads 1");
    fs::rename(here.join("run"), here.join("runs/<b>run & 1")).expect("renamed");
    assert_eq!(works(here, "report runs --sample 20 --threads 1").trim(), "runs/report.html");
    let page = fs::read_to_string(here.join("runs/report.html")).expect("a page");

    assert_eq!(page.matches("<section").count(), 2, "an ablation speaks for the runs below it");
    assert!(page.contains("&lt;b&gt;run &amp; 1") && !page.contains("<b>run"), "names are text");
    assert_eq!(page.matches("data:image/svg+xml;base64,").count(), 2, "the curve and the picture of the ablation");
    for outside in ["http:", "https:", "src=\"/", "<link", "<script", "@import", "url("] {
        assert!(!page.contains(outside), "the page asks for {outside}");
    }
    for file in ["config.toml", "metrics.jsonl", "metrics.csv", "tensorboard/"] {
        assert!(page.contains(&format!("<a href=\"./%3Cb%3Erun%20%26%201/{file}\">{file}</a>")), "{file}: {page}");
    }
    let metrics = fs::read_to_string(here.join("runs/<b>run & 1/metrics.jsonl")).expect("metrics");
    let whole = metrics.lines().find(|line| line.contains("\"whole\":true")).expect("a last validation");
    let nll = whole.split("\"validation\":").nth(1).and_then(|rest| rest.split(',').next()).expect("a figure");
    let nll: f64 = nll.parse().expect("a number");
    assert!(page.contains(&format!("{nll:.4} nats per token")), "{nll}");
    assert!(page.contains("mixers") && page.contains("layer 1") && page.contains("<pre>"));

    let again = fs::read(here.join("runs/report.html")).expect("a page");
    works(here, "report runs --sample 20 --threads 2");
    assert!(fs::read(here.join("runs/report.html")).expect("a page") == again, "the same runs make the same page");
    works(here, "report runs --sample 0 --out other.html");
    let other = fs::read_to_string(here.join("other.html")).expect("a page");
    assert!(
        !other.contains("<pre>") && other.contains("metrics.csv") && !other.contains("href=\"./"),
        "links lead to files below the page alone"
    );
}

#[test]
fn runs_of_a_task_that_differ_in_their_seed_share_a_row() {
    let folder = desk();
    let here = folder.path();
    let tiny =
        "task mqar --length 16 --pairs 2 --vocabulary 32 --layers 1 --width 8 --batch 4 --examples 0 --steps 2 --held-out 20 --threads 1";
    for (paths, seed) in [("hopfield", 1), ("hopfield", 2), ("ssm", 1)] {
        works(here, &format!("{tiny} --paths {paths} --seed {seed}"));
    }
    works(here, "task completion --patterns 3 --noise 0.1 --mask 0.5 --trials 1 --threads 1");
    works(here, "report runs");
    let page = fs::read_to_string(here.join("runs/report.html")).expect("a page");
    let tasks = page.split("<h2>Memory benchmarks</h2>").nth(1).and_then(|rest| rest.split("</section>").next()).expect("the tasks");
    assert_eq!(tasks.matches("<tr>").count(), 3, "a head and two rows: {tasks}");
    let of = |run: &str| -> f64 {
        let text = fs::read(here.join(format!("runs/mqar-{run}/task.json"))).expect("a report");
        serde_json::from_slice::<serde_json::Value>(&text).expect("JSON")["accuracy"].as_f64().expect("a number")
    };
    let (one, two) = (of("hopfield-1"), of("hopfield-2"));
    let row = format!("{:.4} ± {:.4}", (one + two) / 2.0, (one - two).abs() / 2f64.sqrt());
    assert!(tasks.contains(&row), "{row} in {tasks}");
    assert!(page.contains("corruption") && page.contains("noise 0.1") && page.contains("mask 0.5"), "{page}");

    fs::write(here.join("runs/completion-1/task.json"), "{").expect("memory");
    refused(here, "report runs", &["task.json", "run the task again"]);
}

const PLAN: &str = r#"
[model]
width = 8
layers = 1
ffn = 8
head_dim = 4
ssm_width = 4
attention_width = 4
[train]
steps = 2
batch = 1
context = 8
[data]
files = ["text.txt"]
[ablate]
seeds = [1]
groups = ["mixers"]
"#;

#[test]
fn what_cannot_be_reported_is_said() {
    let folder = desk_with_run();
    let here = folder.path();
    refused(here, "report nowhere", &["nowhere is not a folder"]);
    fs::create_dir(here.join("empty")).expect("a folder");
    refused(here, "report empty", &["nothing to report in empty"]);
    fs::write(here.join("empty/results.json"), "{}").expect("memory");
    refused(here, "report empty", &["results.json"]);
    fs::write(here.join("run/config.toml"), "model = 3").expect("memory");
    refused(here, "report run", &["config.toml"]);
}
