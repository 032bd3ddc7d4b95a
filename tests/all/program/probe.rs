//! `probe`: its files, its numbers, and what it refuses.

use super::{TEXT, command, desk_with_run, refused, stopping::signal, text_of, words, works};
use hh_runtime::probe::{FILES, Group, Report};
use std::{
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

fn report(folder: &Path) -> Report {
    serde_json::from_slice(&fs::read(folder.join("results.json")).expect("the results")).expect("a report")
}

#[test]
fn a_probe_leaves_its_files_and_agrees_with_evaluation() {
    let folder = desk_with_run();
    let here = folder.path();
    let said = works(here, "probe run --data text.txt --context 16 --tokens 100000 --threads 1");
    assert!(said.contains("baseline") && said.contains("only attention") && said.contains("run/probe"), "{said}");
    for name in FILES {
        let content = fs::read_to_string(here.join("run/probe").join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(name.ends_with(".svg"), content.trim_end().ends_with("</svg>"), "{name}");
    }
    let Report { provenance, findings } = report(&here.join("run/probe"));
    let evaluated: serde_json::Value =
        serde_json::from_str(&works(here, "eval run --data text.txt --context 16 --segments 1,2 --json")).expect("JSON");
    let nll = |i: usize| evaluated["results"][i]["nll"].as_f64().expect("a number");
    assert_eq!((findings.rows[0].nll, findings.rows[1].nll), (nll(1), nll(0)), "two segments, and one");
    assert_eq!(evaluated["results"][0]["tokens"], findings.tokens);
    assert!(
        findings.complete
            && findings.rows.iter().any(|row| row.layer == Some(1) && row.group == Group::Depths || row.group == Group::Slots)
    );
    assert_eq!(provenance.step, 10);
    assert!(provenance.data[0].sha256.is_some() && provenance.checkpoint_sha256.len() == 64 && provenance.part.contains("text.txt"));
    let table = fs::read_to_string(here.join("run/probe/results.csv")).expect("the table");
    assert_eq!(table.lines().count(), 1 + findings.rows.len());
    assert!(table.starts_with("group,name,layer,segments,nll,difference,standard_error\nbaseline,baseline,,2,"), "{table}");

    // The same numbers whatever the threads and however windows are put into batches; fewer rows without layers.
    works(here, "probe run/best.safetensors --data text.txt --context 16 --tokens 100000 --threads 2 --batch 3 --whole-only --out two");
    let whole = report(&here.join("two")).findings;
    assert!(whole.rows.iter().all(|row| row.layer.is_none()) && !here.join("two/layers.svg").exists());
    for (row, other) in findings.rows.iter().zip(&whole.rows) {
        assert!(row.name == other.name && (row.nll - other.nll).abs() < 1e-6, "{row:?}, {other:?}");
    }
    works(here, "report . --sample 0 --out page.html");
    let page = fs::read_to_string(here.join("page.html")).expect("a page");
    assert_eq!(page.matches("<section").count(), 3, "the run, its probe, and the other");
    assert!(page.contains("hopfield + attention") && page.contains(&format!("{:.4}", findings.rows[1].nll)));
    works(here, "probe run --data text.txt --tokens 30 --segments 1 --whole-only --out one");
    let one = report(&here.join("one")).findings;
    assert!((one.tokens, one.segments) == (30, 1) && !one.rows.iter().any(|row| row.group == Group::Controller));
}

#[test]
fn what_cannot_be_probed_is_refused() {
    let folder = desk_with_run();
    let here = folder.path();
    fs::create_dir(here.join("full")).expect("memory");
    fs::write(here.join("full/x"), "").expect("memory");
    fs::write(here.join("other.txt"), "12345 ".repeat(100)).expect("memory");
    fs::write(here.join("one.txt"), "t").expect("memory");
    for (line, said) in [
        ("probe missing.safetensors --data text.txt", "no such file"),
        ("probe run --data missing.txt", "missing.txt"),
        ("probe run --data missing.txt --out a/b", "missing.txt"),
        ("probe run --data other.txt", "1"),
        ("probe run --data one.txt --split all", "at least two"),
        ("probe run --data text.txt --holdout 2 --out new", "held out"),
        ("probe run --data text.txt --out full", "not empty"),
        ("probe run --data text.txt --out text.txt", "text.txt is a file"),
        ("probe run --data text.txt --out text.txt/below", "file"),
        ("probe run --data text.txt --tokens 0", "tokens"),
        ("probe run --data text.txt --context 0", "context"),
        ("probe run --data text.txt --batch 0", "batch"),
        ("probe run --data text.txt --segments 0", "segments"),
        ("probe run --data text.txt --seed one", "--seed"),
        ("probe run --data text.txt --backend abacus", "abacus"),
        ("probe run --data text.txt --precision bf16", "bf16"),
        ("probe", "CHECKPOINT"),
    ] {
        refused(here, line, &[said]);
    }
}

#[cfg(unix)]
#[test]
fn a_probe_that_is_interrupted_writes_what_is_there() {
    let folder = desk_with_run();
    let here = folder.path();
    fs::write(here.join("long.txt"), TEXT.repeat(400)).expect("memory");
    // How long the baseline takes is the machine's business: the interruption comes later each time, until it was in time.
    for pause in (1..9).map(|n| Duration::from_millis(250 << n)) {
        let out = here.join(format!("after-{}", pause.as_millis()));
        let line = format!("probe run --split all --data long.txt --tokens 100000 --threads 1 --out '{}'", out.display());
        let mut child = command(here, &words(&line)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        // The folder is made before the work begins.
        let began = Instant::now();
        while !out.exists() {
            assert!(began.elapsed().as_secs() < 60 && child.try_wait().expect("a child").is_none(), "it never began");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(pause);
        signal("INT", child.id());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(130), "{} {}", text_of(&output.stdout), text_of(&output.stderr));
        if out.exists() {
            let found = report(&out).findings;
            assert!(!found.complete && !found.rows.is_empty() && text_of(&output.stdout).contains("stopped"));
            return;
        }
        assert!(text_of(&output.stdout).contains("nothing was written"));
    }
    panic!("the baseline was never scored");
}
