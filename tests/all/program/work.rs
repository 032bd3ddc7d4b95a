//! What the commands do when all is well.

use super::{RUN, TRAIN, command, desk, desk_with_run, text_of, weights, words, works};
use std::{fs, io::Write, process::Stdio};

#[test]
fn a_run_leaves_what_it_promises() {
    let run = RUN.path().join("run");
    for name in ["config.toml", "best.safetensors", "last.safetensors", "resume.safetensors", "metrics.jsonl", "curve.svg"] {
        assert!(fs::metadata(run.join(name)).is_ok_and(|m| m.len() > 0), "{name} is missing");
    }
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).expect("the metrics");
    assert!(metrics.lines().count() >= 3 && metrics.lines().all(|l| serde_json::from_str::<serde_json::Value>(l).is_ok()), "{metrics}");
    assert!(fs::read_to_string(run.join("curve.svg")).expect("the curve").contains("<svg"));
}

#[test]
fn training_writes_the_same_bytes_on_one_thread_and_on_two() {
    let folder = desk();
    let here = folder.path();
    works(here, &format!("{TRAIN} --steps 6 --out one"));
    works(here, &format!("{} --steps 6 --out two", TRAIN.replace("--threads 1", "--threads 2")));
    assert!(weights(here, "one") == weights(here, "two"));
}

#[test]
fn a_recipe_that_was_saved_trains_the_same_again() {
    let folder = desk_with_run();
    let here = folder.path();
    works(here, "train --config run/config.toml --out again");
    assert!(weights(here, "run") == weights(here, "again"));
}

/// What the sentence about a run that diverged advises.
#[test]
fn a_run_starts_again_from_the_best_weights_of_another_with_its_recipe() {
    let folder = desk_with_run();
    let here = folder.path();
    works(here, "train --config run/config.toml --from run --lr 5e-3 --out again");
    let recipe = fs::read_to_string(here.join("again/config.toml")).expect("a recipe");
    assert!(recipe.contains("lr = 0.005\n") && recipe.contains("run\"\n"), "{recipe}");
}

/// A learning rate so small that no weight changes: no validation is better than the first.
#[test]
fn a_run_that_gets_no_better_ends_early() {
    let folder = desk();
    let here = folder.path();
    let line = format!("{TRAIN} --steps 50 --eval-every 2 --lr 1e-30 --min-lr 0 --ema 0 --patience 3 --out run");
    let output = command(here, &words(&line)).output().expect("the program starts");
    let (said, steps) = (text_of(&output.stderr), |run: &str| {
        let metrics = fs::read_to_string(here.join(run).join("metrics.jsonl")).expect("metrics");
        let last: serde_json::Value = serde_json::from_str(metrics.lines().last().expect("a line")).expect("JSON");
        assert_eq!(last["whole"], true, "it ends with the whole held-out text");
        last["step"].as_u64()
    });
    assert!(output.status.success() && said.contains("no validation after that of step 2 is better"), "{said}");
    assert!(text_of(&output.stdout).contains("weights of step 2"), "{}", text_of(&output.stdout));
    assert_eq!(steps("run"), Some(8));
    works(here, "train --resume run");
    assert_eq!(steps("run"), Some(8), "it stays at its end");
    works(here, "train --resume run --patience 5");
    assert_eq!(steps("run"), Some(12), "until its patience is longer");
}

/// Blocks that keep their inputs alone: less is announced, and the same is learned.
#[test]
fn recomputing_takes_less_memory_and_trains_the_same_weights() {
    let folder = desk();
    let here = folder.path();
    let activations = |flags: &str, out: &str| {
        // Large enough to be told in tenths of a MiB, and all blocks alike, so that they share.
        let large = TRAIN.replace("--batch 2 --context 16", "--batch 16 --context 64 --set layers=6 --set hopfield_depths=[2,2,2,2,2,2]");
        let line = format!("{large} --steps 3 {flags} --out {out}");
        let output = command(here, &words(&line)).output().expect("the program starts");
        let said = text_of(&output.stderr);
        assert!(output.status.success(), "{said}");
        let (_, rest) = said.split_once("activations ").unwrap_or_else(|| panic!("no word on memory: {said}"));
        rest.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).unwrap_or_else(|| panic!("no number: {said}"))
    };
    let (kept, anew) = (activations("", "kept"), activations("--recompute", "anew"));
    assert!(anew < 0.6 * kept, "{anew} of {kept}");
    assert!(weights(here, "kept") == weights(here, "anew"));
}

#[test]
fn sampling_is_a_function_of_the_seed() {
    let here = RUN.path();
    let line = "sample run --prompt 'the quick' --tokens 40 --seed";
    let [one, again, other] = [1, 1, 2].map(|seed| works(here, &format!("{line} {seed}")));
    assert!(one == again && one != other, "{one:?} {other:?}");
    assert!(one.trim_end_matches('\n').chars().count() >= 40 - 1, "{one:?}");
    assert!(works(here, &format!("{line} 1 --echo")).starts_with("the quick"));
    let mut piped = command(here, &words("sample run --prompt-file - --tokens 40 --seed 1"));
    let mut piped = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
    piped.stdin.take().expect("a pipe").write_all(b"the quick").expect("it reads");
    assert_eq!(text_of(&piped.wait_with_output().expect("it ends").stdout), one, "a prompt from a pipe is the same prompt");
}

#[test]
fn texts_side_by_side_are_those_that_their_seeds_write_alone() {
    let here = RUN.path();
    for line in ["sample run --prompt 'the quick' --tokens 40", "sample run --tokens 30 --stop o --top-k 5 --repetition-penalty 1.2"] {
        let together = works(here, &format!("{line} --batch 3 --seed 7"));
        let mut alone = String::new();
        for (k, seed) in (1..).zip(7..10) {
            let text = works(here, &format!("{line} --seed {seed}"));
            let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            alone += &format!("--- {k} of 3, seed {seed} ---\n{text}{end}");
        }
        assert_eq!(together, alone);
    }
    let echoed = works(here, "sample run --prompt 'the quick' --tokens 0 --batch 2 --echo");
    assert_eq!(echoed, "--- 1 of 2, seed 0 ---\nthe quick\n--- 2 of 2, seed 1 ---\nthe quick\n");
}

#[test]
fn a_conversation_that_is_saved_goes_on_where_it_was() {
    let folder = desk_with_run();
    let here = folder.path();
    let whole = works(here, "sample run --prompt 'the ' --tokens 40 --seed 3");
    let first = works(here, "sample run --prompt 'the ' --tokens 15 --seed 3 --state talk");
    let rest = works(here, "sample run --tokens 25 --seed 3 --state talk");
    assert_eq!(first + &rest, whole);
}

#[test]
fn evaluation_scores_every_number_of_segments() {
    let said = works(RUN.path(), "eval run --data text.txt --segments 1,2 --json");
    let report: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert!(said.contains("nll") && said.contains("perplexity") && said.contains("bits_per_byte"), "{report}");
    works(RUN.path(), "eval run --data text.txt --split all");
}

#[test]
fn information_is_given_of_runs_checkpoints_and_presets() {
    let here = RUN.path();
    for what in ["run", "run/last.safetensors"] {
        let said: serde_json::Value = serde_json::from_str(&works(here, &format!("info {what} --json"))).expect("JSON");
        assert!(said["total"].as_u64().is_some_and(|n| n > 1000), "{said}");
    }
    assert!(works(here, "info char-4.5m").contains("4.5"));
    assert!(works(here, "info run --tensors").contains("blocks.1.ssm.log_decay"));
}

#[test]
fn an_export_is_smaller_and_still_speaks() {
    let folder = desk_with_run();
    let here = folder.path();
    let size = |name: &str| fs::metadata(here.join(name)).expect("a file").len();
    for dtype in ["f32", "f16", "bf16"] {
        works(here, &format!("export run {dtype}.safetensors --dtype {dtype}"));
        works(here, &format!("sample {dtype}.safetensors --tokens 5"));
    }
    assert!(["f16", "bf16"].iter().all(|half| size(&format!("{half}.safetensors")) < size("f32.safetensors")));
    let line = "--prompt 'the quick' --tokens 40 --seed 1";
    assert_eq!(works(here, &format!("sample run {line}")), works(here, &format!("sample f32.safetensors {line}")));
}

#[test]
fn shards_train_as_their_text_does() {
    let folder = desk();
    let here = folder.path();
    works(here, "tokenize --data text.txt --tokenizer chars --out shards --shard-tokens 1000");
    assert!(works(here, "tokenize --data text.txt --show 3").contains("\"t\""));
    works(here, &format!("{TRAIN} --steps 4 --out text"));
    works(here, &format!("{} --steps 4 --out ids", TRAIN.replace("text.txt", "shards")));
    let last = |run: &str| {
        let metrics = fs::read_to_string(here.join(run).join("metrics.jsonl")).expect("metrics");
        let mut line: serde_json::Value = serde_json::from_str(metrics.lines().last().expect("a line")).expect("JSON");
        // What depends on the clock is another each time.
        for key in ["tokens_per_second", "seconds", "time"] {
            line.as_object_mut().expect("an object").remove(key);
        }
        line
    };
    assert_eq!(last("text"), last("ids"));
}

#[test]
fn every_tokenizer_trains() {
    let folder = desk();
    for (i, tokenizer) in ["bytes", "words:20", "bpe-train:270"].iter().enumerate() {
        works(folder.path(), &format!("{TRAIN} --steps 2 --tokenizer {tokenizer} --out run{i}"));
        works(folder.path(), &format!("sample run{i} --tokens 8"));
    }
}

#[test]
fn packed_texts_train_as_they_do_unpacked() {
    let folder = desk();
    let here = folder.path();
    let text = fs::read_to_string(here.join("text.txt")).expect("the text");
    let lines: String = text.lines().map(|line| serde_json::json!({ "text": line, "id": 1 }).to_string() + "\n").collect();
    let gzip = |text: &str| {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(text.as_bytes()).and_then(|()| gz.finish()).expect("memory")
    };
    let zstd = |text: &str| ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest);
    for (name, content) in [
        ("packed.txt.gz", gzip(&text)),
        ("packed.txt.zst", zstd(&text)),
        ("lines.jsonl", lines.clone().into_bytes()),
        ("lines.jsonl.gz", gzip(&lines)),
        ("lines.jsonl.zst", zstd(&lines)),
    ] {
        fs::write(here.join(name), content).expect("memory");
    }
    let trained = |file: &str| {
        works(here, &format!("{} --steps 3 --out {file}.run", TRAIN.replace("text.txt", file)));
        weights(here, &format!("{file}.run"))
    };
    let (plain, documents) = (trained("text.txt"), trained("lines.jsonl"));
    for (file, same) in
        [("packed.txt.gz", &plain), ("packed.txt.zst", &plain), ("lines.jsonl.gz", &documents), ("lines.jsonl.zst", &documents)]
    {
        assert!(trained(file) == *same, "{file}");
    }
}

#[test]
fn the_doctor_and_the_help_need_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(works(folder.path(), "doctor").contains("cpu"));
    for command in ["", "train", "sample", "eval", "info", "export", "tokenize", "data", "doctor"] {
        assert!(works(folder.path(), &format!("{command} --help")).len() > 200, "{command}");
    }
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let mut child =
        command(RUN.path(), &words("sample run --tokens 500")).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(!text_of(&output.stderr).contains("panicked"), "{}", text_of(&output.stderr));
    assert!(output.status.success(), "{}", output.status);
}
