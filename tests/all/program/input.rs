//! Where a text comes from: bytes of any kind, the standard input and pipes; and texts that are given twice.

use super::{TEXT, TRAIN, command, desk, is_refusal, text_of, weights, words, works};
use std::{fs, io::Write, path::Path, process::Output, process::Stdio};

/// Runs a command with this standard input.
fn fed(here: &Path, line: &str, input: &[u8]) -> Output {
    let mut child = command(here, &words(line));
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    // A command that refuses earlier does not read it all.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    child.wait_with_output().expect("it ends")
}

#[test]
fn bytes_train_on_any_file() {
    let folder = desk();
    let here = folder.path();
    let all: Vec<u8> = (0..=255).cycle().take(5000).collect();
    fs::write(here.join("latin1.txt"), b"un caf\xe9 noir \r\n".repeat(200)).expect("memory");
    fs::write(here.join("program.bin"), &all).expect("memory");
    for file in ["latin1.txt", "program.bin", "tiny.json text.txt"] {
        let line = TRAIN.replace("text.txt", file);
        works(here, &format!("{line} --tokenizer bytes --steps 2 --out run"));
        works(here, "train --resume run --steps 3");
        works(here, &format!("eval run --data {file} --split all"));
        fs::remove_dir_all(here.join("run")).expect("a folder");
    }
    let shown = works(here, "tokenize --data program.bin --tokenizer bytes --out shards --show 3");
    assert!(shown.contains("\"\\u{1}\":1") && shown.contains("shards: 5000 tokens"), "{shown}");
    // As text it is what it was.
    works(here, &format!("{TRAIN} --tokenizer bytes --steps 2 --out bytes"));
    works(here, "tokenize --data text.txt --tokenizer bytes --out ids");
    works(here, &format!("{} --steps 2 --out shards2", TRAIN.replace("text.txt", "ids")));
    assert!(weights(here, "bytes") == weights(here, "shards2"));
}

#[test]
fn the_standard_input_is_a_text() {
    let folder = desk();
    let here = folder.path();
    let text = fs::read(here.join("text.txt")).expect("the text");
    works(here, &format!("{TRAIN} --steps 4 --out file"));
    let line = format!("{} --steps 4 --out piped", TRAIN.replace("text.txt", "-"));
    let output = fed(here, &line, &text);
    assert!(output.status.success(), "{}", text_of(&output.stderr));
    assert!(weights(here, "file") == weights(here, "piped"));
    // The same text again, and another one.
    assert!(fed(here, "train --resume piped --steps 6", &text).status.success());
    let other = fed(here, "train --resume piped --steps 8", &text[1..]);
    is_refusal("train --resume piped", &other, &["the text has changed"]);
    assert!(fed(here, "eval file --data -", &text).status.success());
    let output = fed(here, "tokenize --data - --out shards", &text);
    assert!(text_of(&output.stdout).contains("tokens, vocabulary"), "{}", text_of(&output.stderr));
    is_refusal("empty", &fed(here, "tokenize --data - --out none", b""), &["is empty"]);
    is_refusal("binary", &fed(here, "tokenize --data - --out none", b"a\0b"), &["not text"]);
}

#[cfg(unix)]
#[test]
fn a_pipe_is_a_text() {
    let folder = desk();
    let here = folder.path();
    let status = std::process::Command::new("mkfifo").arg(here.join("pipe.txt")).status();
    assert!(status.is_ok_and(|status| status.success()), "mkfifo is there");
    works(here, &format!("{TRAIN} --steps 3 --out file"));
    let pipe = here.join("pipe.txt");
    let writer = std::thread::spawn(move || fs::write(pipe, TEXT.repeat(40)).expect("it is read"));
    works(here, &format!("{} --steps 3 --out piped", TRAIN.replace("text.txt", "pipe.txt")));
    writer.join().expect("it was read");
    assert!(weights(here, "file") == weights(here, "piped"));
}

#[test]
fn a_text_that_is_given_twice_is_warned_of() {
    let folder = desk();
    let here = folder.path();
    fs::copy(here.join("text.txt"), here.join("copy.txt")).expect("memory");
    fs::write(here.join("other.txt"), TEXT.repeat(10)).expect("memory");
    let said = |data: &str| {
        let line = format!("{} --steps 1 --out run", TRAIN.replace("text.txt", data));
        let output = command(here, &words(&line)).output().expect("the program starts");
        assert!(output.status.success(), "{}", text_of(&output.stderr));
        fs::remove_dir_all(here.join("run")).expect("a folder");
        text_of(&output.stderr).lines().filter(|line| line.starts_with("warning: ")).map(String::from).collect::<Vec<_>>()
    };
    for (data, parts) in [
        ("text.txt text.txt", ["text.txt and ", "trained on twice"]),
        ("text.txt other.txt copy.txt", ["copy.txt have the same content", "trained on twice"]),
        ("text.txt --validation text.txt", ["the held-out ", "learned by heart"]),
        ("other.txt text.txt --validation copy.txt", ["copy.txt has the content of ", "learned by heart"]),
    ] {
        let warnings = said(data);
        assert!(warnings.len() == 1 && parts.iter().all(|part| warnings[0].contains(part)), "{data}: {warnings:?}");
    }
    for data in ["text.txt", "text.txt other.txt", "text.txt --validation other.txt"] {
        assert!(said(data).is_empty(), "{data}");
    }
}
