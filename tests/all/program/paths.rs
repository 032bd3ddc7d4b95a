//! Paths with every kind of character.

use super::{TINY, TRAIN, command, desk, is_refusal, listing, text_of, words, works};
use std::{ffi::OsString, fs, path::Path, process::Output};

/// Runs a command in which `@` stands for a path.
fn run(here: &Path, line: &str, path: &OsString) -> Output {
    let args = words(line).into_iter().map(|word| match word.split_once('@') {
        None => word.into(),
        Some((before, after)) => {
            let mut arg = OsString::from(before);
            arg.push(path);
            arg.push(after);
            arg
        }
    });
    command(here, &args.collect::<Vec<_>>()).output().expect("the program starts")
}

fn succeeds(here: &Path, line: &str, path: &OsString) -> String {
    let output = run(here, line, path);
    assert!(output.status.success(), "`{line}` with {path:?} ended with {}: {}", output.status, text_of(&output.stderr));
    text_of(&output.stdout)
}

#[test]
fn a_name_with_spaces_quotes_and_line_breaks_is_a_name() {
    let folder = desk();
    let here = folder.path();
    for name in ["my run", "it's \"one\"", "$HOME `x`", "-dash", "naïve 漢字", "two\nlines\t"] {
        if cfg!(windows) && name.contains(['"', '\n', '\t']) {
            continue;
        }
        let path = OsString::from(format!("./{name}"));
        fs::create_dir(here.join(name)).expect("memory");
        fs::copy(here.join("text.txt"), here.join(name).join("text.txt")).expect("memory");
        fs::write(here.join(name).join("tiny.json"), TINY).expect("memory");
        succeeds(here, "train --config @/tiny.json --data @/text.txt --batch 2 --context 16 --threads 1 --steps 2 --out @/run", &path);
        succeeds(here, "train --resume @/run --steps 3", &path);
        succeeds(here, "train --config @/run/config.toml --from @/run --steps 1 --out @/again", &path);
        succeeds(here, "sample @/run --tokens 3 --state @/state", &path);
        succeeds(here, "eval @/run --data @/text.txt", &path);
        succeeds(here, "info @/run/last.safetensors --json", &path);
        succeeds(here, "export @/run @/out.safetensors", &path);
        succeeds(here, "tokenize --data @/text.txt --out @/shards", &path);
        succeeds(here, "probe @/run --data @/text.txt --whole-only --tokens 64 --out @/probe", &path);
        succeeds(here, "report @ --out @/report.html", &path);
        succeeds(here, "man @/man", &path);
    }
}

/// What it prints can be pasted into a shell.
#[cfg(unix)]
#[test]
fn the_command_that_goes_on_is_quoted_for_a_shell() {
    let folder = desk();
    let here = folder.path();
    for name in ["my run", "it's $one", "two\nlines"] {
        let path = OsString::from(name);
        let line = format!("{TRAIN} --steps 100000 --log-every 1 --out @");
        let child = words(&line).into_iter().map(|word| if word == "@" { name.to_owned() } else { word }).collect::<Vec<_>>();
        let child =
            command(here, &child).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().expect("it starts");
        while fs::metadata(here.join(&path).join("metrics.jsonl")).map_or(0, |m| m.len()) == 0 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        super::stopping::signal("INT", child.id());
        let said = text_of(&child.wait_with_output().expect("it ends").stdout);
        let (_, word) = said.trim_end().rsplit_once("--resume ").unwrap_or_else(|| panic!("no command: {said}"));
        let echo = std::process::Command::new("bash").args(["-c", &format!("printf %s {word}")]).output().expect("bash is there");
        assert_eq!(text_of(&echo.stdout), name, "{word}");
    }
}

/// Names that are bytes, and no text.
#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_not_unicode_is_used_or_refused_in_a_sentence() {
    use std::os::unix::ffi::OsStringExt;
    let folder = desk();
    let here = folder.path();
    let path = OsString::from_vec(b"caf\xe9".to_vec());
    fs::create_dir(here.join(&path)).expect("memory");
    fs::copy(here.join("text.txt"), here.join(&path).join("text.txt")).expect("memory");
    fs::write(here.join(&path).join("tiny.json"), TINY).expect("memory");
    let stem = "--data text.txt --batch 2 --context 16 --threads 1 --steps 2";
    succeeds(here, &format!("train --config @/tiny.json {stem} --out @/run"), &path);
    for line in [
        "train --resume @/run --steps 3",
        "sample @/run --tokens 3 --prompt-file @/text.txt --state @/state",
        "sample @/run --tokens 3 --tokenizer bytes",
        "eval @/run --data @/text.txt --json",
        "info @/run",
        "info @/run --json",
        "export @/run @/out.safetensors",
        "tokenize --data @/text.txt --out @/shards",
        "probe @/run --data @/text.txt --whole-only --tokens 64",
        "report @ --out @/report.html",
        "data builtin --out @/corpus.txt",
        "man @/man",
    ] {
        let output = run(here, line, &path);
        let stderr = text_of(&output.stderr);
        // The tokenizer of another vocabulary is none of the model's.
        let expected = if line.contains("--tokenizer bytes") { 2 } else { 0 };
        assert_eq!(output.status.code(), Some(expected), "`{line}`: {stderr}");
        assert!(!stderr.contains("panicked"), "`{line}`: {stderr}");
    }
    let before = listing(here);
    for line in [
        "train --config tiny.json --data @/text.txt --context 16 --out x",
        "train --config tiny.json --data text.txt --validation @/text.txt --context 16 --out x",
        "train --from @/run --data text.txt --out x",
        "train --data text.txt --objective distill --teacher @/a.npy --out x",
    ] {
        is_refusal(line, &run(here, line, &path), &["is not Unicode", "rename it"]);
        assert!(before == listing(here), "`{line}` left something behind");
    }
    let inside = here.join(&path);
    let output = command(&inside, &words("train --config tiny.json --data text.txt --context 16 --out x")).output().expect("it starts");
    is_refusal("a folder that is not Unicode", &output, &["is not Unicode"]);
    works(&inside, "train --config tiny.json --steps 1 --context 16 --batch 1 --out built-in");
}
