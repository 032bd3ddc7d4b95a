//! `--backend tch`: what it says where libtorch is missing, and, with libtorch, that it does what the cpu backend does.

use super::{PROGRAM, desk, is_refusal, words};
use std::{fs, path::Path, process::Command};

/// The program alone in a folder, with nothing beside it but what the test puts there.
fn alone(folder: &Path, line: &str) -> std::process::Output {
    let program = folder.join("hh-runtime");
    if !program.exists() {
        fs::copy(&*PROGRAM, &program).expect("memory");
    }
    Command::new(program).args(words(line)).current_dir(folder).output().expect("the program starts")
}

const LINE: &str = "train --config tiny.json --data text.txt --backend tch --out run";

#[test]
fn a_program_without_libtorch_says_how_to_build_one() {
    let folder = desk();
    is_refusal(LINE, &alone(folder.path(), LINE), &["built without libtorch", "--features tch", "torch 2.11"]);
    assert!(!folder.path().join("run").exists());
    let doctor = alone(folder.path(), "doctor");
    assert!(doctor.status.success() && super::text_of(&doctor.stdout).contains("--features tch"));
    is_refusal("a name", &alone(folder.path(), &LINE.replace("tch", "torch")), &["tch:cuda"]);
    is_refusal("a precision", &alone(folder.path(), &LINE.replace("tch", "cpu --precision bf16")), &["bf16", "--backend cuda"]);
}

/// The loader's refusal as the program sees it: a library that is missing or another version ends a program before it begins.
#[cfg(unix)]
#[test]
fn a_libtorch_that_does_not_load_is_said_in_a_sentence() {
    use std::os::unix::fs::PermissionsExt;
    let folder = desk();
    let beside = folder.path().join("hh-runtime-tch");
    for (script, said) in [
        ("echo 'libtorch_cpu.so: cannot open shared object file' >&2; exit 127", ["cannot open shared object file", "LD_LIBRARY_PATH"]),
        ("echo 'undefined symbol: _ZN2at' >&2; exit 127", ["undefined symbol", "torch 2.11"]),
        ("echo '0.0.1: libtorch 1.0 sees cpu'", ["another build", "cargo build"]),
    ] {
        fs::write(&beside, format!("#!/bin/sh\n{script}\n")).expect("memory");
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o755)).expect("its owner");
        is_refusal(script, &alone(folder.path(), LINE), &said);
    }
}

#[cfg(feature = "tch")]
mod with_tch {
    use super::*;
    use crate::program::{TRAIN, command, desk_with_run, refused, text_of, weights, works};

    const TCH: &str = "--backend tch:cpu";

    #[test]
    fn it_trains_evaluates_and_samples_as_the_cpu_does() {
        let folder = desk();
        let here = folder.path();
        let line = format!("{TRAIN} --steps 30 --eval-every 10");
        works(here, &format!("{line} --out cpu"));
        works(here, &format!("{line} --out tch {TCH}"));
        let validations = |run: &str| -> Vec<f64> {
            let metrics = fs::read_to_string(here.join(run).join("metrics.jsonl")).expect("metrics");
            metrics
                .lines()
                .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["validation"].as_f64())
                .collect()
        };
        let (cpu, tch) = (validations("cpu"), validations("tch"));
        assert!(cpu.len() == tch.len() && cpu.len() >= 3);
        for (c, t) in cpu.iter().zip(&tch) {
            assert!((c - t).abs() < 1e-3, "{cpu:?} {tch:?}");
        }
        let nll = |line: &str| -> f64 {
            let report: serde_json::Value = serde_json::from_str(&works(here, line)).expect("JSON");
            report["results"][0]["nll"].as_f64().expect("a number")
        };
        let [own, other] = ["", TCH].map(|backend| nll(&format!("eval tch --data text.txt --json {backend}")));
        assert!((own - other).abs() < 1e-4, "{own} {other}");
        let text = |backend: &str| works(here, &format!("sample tch --prompt 'the quick' --temperature 0 --tokens 30 {backend}"));
        assert_eq!(text(""), text(TCH));
    }

    #[cfg(unix)]
    #[test]
    fn a_run_on_tch_that_was_interrupted_goes_on_as_if_it_never_stopped() {
        let (folder, steps) = (desk(), 60);
        let here = folder.path();
        let said = crate::program::stopping::interrupted(here, "parts", steps, TCH);
        assert!(said.contains(&format!("--resume parts {TCH}")), "it says how to go on: {said}");
        works(here, &format!("{TRAIN} --steps {steps} --log-every 1 --out whole {TCH}"));
        assert!(weights(here, "parts") != weights(here, "whole"), "it was interrupted before its end");
        works(here, &format!("train --resume parts {TCH}"));
        assert!(weights(here, "parts") == weights(here, "whole"));
    }

    #[test]
    fn a_conversation_goes_on_with_tch() {
        let folder = desk_with_run();
        let here = folder.path();
        let line = format!("sample run --prompt 'pack my' --seed 3 {TCH}");
        let whole = works(here, &format!("{line} --tokens 20"));
        let first = works(here, &format!("{line} --tokens 9 --state talk"));
        let second = works(here, &format!("sample run --seed 3 --tokens 11 --state talk {TCH}"));
        assert_eq!(whole.trim_end(), (first.trim_end_matches('\n').to_owned() + second.trim_end()).as_str());
    }

    #[test]
    fn a_device_that_is_not_there_is_refused() {
        let folder = desk();
        refused(folder.path(), &LINE.replace("tch", "tch:cuda:99"), &["cuda:99", "cpu"]);
        assert!(works(folder.path(), "doctor").contains("libtorch 2.11.0 sees"));
    }

    #[test]
    fn a_batch_that_has_no_room_is_refused() {
        let folder = desk();
        let line = format!("{TRAIN} --steps 1 --out run {TCH}").replace("--batch 2", "--batch 65536 --set ffn=262144");
        let output = command(folder.path(), &words(&line)).output().expect("the program starts");
        is_refusal(&line, &output, &["out of memory", "batch"]);
    }

    /// The real loader, with a library that is none in front of the real one.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_library_that_is_broken_is_refused() {
        let folder = desk();
        fs::write(folder.path().join("libtorch_cpu.so"), b"this is no library").expect("memory");
        let output = command(folder.path(), &words(LINE)).env("LD_LIBRARY_PATH", folder.path()).output().expect("the program starts");
        is_refusal(LINE, &output, &["libtorch does not load", "libtorch_cpu.so"]);
        assert!(!text_of(&output.stderr).contains("panicked"));
    }
}
