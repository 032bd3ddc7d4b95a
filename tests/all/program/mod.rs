//! The program, driven as a user drives it.

mod ablate;
mod cuda;
mod disk;
mod embed;
mod embeddings;
mod episodic;
mod hugging_face;
mod input;
mod libtorch;
mod paths;
mod probe;
mod ranks;
mod refusals;
mod report;
mod server;
mod shared;
mod stopping;
mod task;
mod terminal;
mod work;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};
use tempfile::TempDir;

/// The program, built by the cargo that runs the tests, as they were built.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let here = std::env::current_exe().expect("this binary");
    // TARGET/PROFILE/deps/all-HASH
    let folder = here.parent().and_then(Path::parent).expect("a folder of the profile");
    let mut build = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    // With the tests among the packages, so that everything below has the features with which they were built.
    build.args(["build", "--quiet", "--package", "hh-runtime", "--package", "hh-tests", "--bin", "hh-runtime"]);
    if cfg!(feature = "tch") {
        build.args(["--features", "hh-tests/tch", "--bin", "hh-runtime-tch"]);
    }
    if cfg!(feature = "cuda") {
        build.args(["--features", "hh-tests/cuda"]);
    }
    build.arg("--target-dir");
    build.arg(folder.parent().expect("a target folder")).current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    assert!(build.status().expect("cargo runs").success(), "the program does not build");
    folder.join(format!("hh-runtime{}", std::env::consts::EXE_SUFFIX))
});

/// The program with these arguments, in this folder.
fn command(folder: &Path, args: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(&*PROGRAM);
    command.args(args).current_dir(folder);
    command
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs it; it must succeed. Returns what it wrote to its standard output.
fn works(folder: &Path, line: &str) -> String {
    let output = command(folder, &words(line)).output().expect("the program starts");
    assert!(output.status.success(), "`{line}` ended with {}: {}", output.status, text_of(&output.stderr));
    String::from_utf8(output.stdout).expect("the program writes UTF-8")
}

/// Words of a command line; `'a b'` is one word.
fn words(line: &str) -> Vec<String> {
    line.split('\'')
        .enumerate()
        .flat_map(|(i, part)| if i % 2 == 1 { vec![part.into()] } else { part.split_whitespace().map(String::from).collect::<Vec<_>>() })
        .collect()
}

/// Runs it; it must refuse in one sentence that has all of `said`, with exit code 2, and leave the folder as it was.
fn refused(folder: &Path, line: &str, said: &[&str]) {
    let before = listing(folder);
    let output = command(folder, &words(line)).output().expect("the program starts");
    is_refusal(line, &output, said);
    assert_eq!(before, listing(folder), "`{line}` left something behind, or took something away");
}

fn is_refusal(line: &str, output: &Output, said: &[&str]) {
    let stderr = text_of(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "`{line}` ended with {}: {stderr}", output.status);
    assert!(!stderr.contains("panicked"), "`{line}`: {stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|l| l.starts_with("error: ")).collect();
    let [error] = errors[..] else { panic!("`{line}` says {} errors: {stderr}", errors.len()) };
    // What stands after the sentence is the parser's hint at --help.
    let after = stderr.lines().skip_while(|l| *l != error).skip(1).find(|l| !l.trim().is_empty());
    assert!(
        after.is_none_or(|l| ["Usage:", "For more", "  "].iter().any(|hint| l.starts_with(hint))),
        "`{line}` says more than a sentence: {stderr}"
    );
    for word in said {
        assert!(stderr.contains(word), "`{line}` does not say {word:?}: {stderr}");
    }
}

/// Names and contents of all files below a folder.
fn listing(folder: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut all = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.expect("readable").path()) {
            if path.is_dir() {
                open.push(path.clone());
                all.push((path, None));
            } else {
                let content = if path.is_file() { fs::read(&path).ok() } else { None };
                all.push((path, content));
            }
        }
    }
    all.sort();
    all
}

/// A text of a few thousand characters, all of them in ASCII.
const TEXT: &str = "the quick brown fox jumps over the lazy dog.\npack my box with five dozen liquor jugs!\n";

/// A model of a few thousand weights with all three paths.
const TINY: &str = r#"{"width": 16, "layers": 2, "ffn": 16, "head_dim": 4, "ssm_width": 8, "hopfield_width": 8, "attention_width": 8,
    "hopfield_depths": [2, 1], "hopfield_slots": 2, "mixer_hidden": 8, "segments": 2, "controller_width": 8}"#;

/// How the tests train: seconds, with everything on that has a state.
const TRAIN: &str = "train --config tiny.json --data text.txt --batch 2 --context 16 --threads 1 --dropout 0.1";

/// A folder with a text and the configuration of a tiny model.
fn desk() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("text.txt"), TEXT.repeat(40)).expect("memory");
    fs::write(folder.path().join("tiny.json"), TINY).expect("memory");
    folder
}

/// The folder of a run of ten steps, made once: `run`, beside its text and configuration.
static RUN: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = desk();
    works(folder.path(), &format!("{TRAIN} --steps 10 --out run"));
    folder
});

/// A [`desk`] with a copy of the run of ten steps.
fn desk_with_run() -> TempDir {
    let folder = desk();
    fs::create_dir(folder.path().join("run")).expect("memory");
    for entry in fs::read_dir(RUN.path().join("run")).expect("the run") {
        let from = entry.expect("readable").path();
        fs::copy(&from, folder.path().join("run").join(from.file_name().expect("a name"))).expect("memory");
    }
    folder
}

/// The weights that a run ended with, without the words around them.
fn weights(folder: &Path, run: &str) -> Vec<u8> {
    tensors(folder, &format!("{run}/last.safetensors"))
}

/// The bytes of a checkpoint's tensors, without what it says of itself.
fn tensors(folder: &Path, file: &str) -> Vec<u8> {
    let bytes = fs::read(folder.join(file)).expect("the weights");
    let header = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
    bytes[8 + header..].to_vec()
}

/// Says why a test cannot be done here, where a reader of the log finds it.
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}
