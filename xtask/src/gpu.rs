//! The suite and the measurements on a GPU, here or as a kit for a machine without Rust.

use crate::run::{cargo, output, program, root};
use std::{env, fs, path::Path};

/// The script that runs the kit.
const RUN: &str = include_str!("kit.sh");

/// `[ORDINAL] [ARGUMENTS OF THE EXAMPLE…]`, or `--kit`. The suite goes to the device where HH_CUDA names one.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    if let ["--kit", rest @ ..] = words {
        return kit(rest);
    }
    let ordinal = words.first().filter(|word| !word.starts_with("--")).copied().unwrap_or("0");
    cargo(["test", "--release", "-p", "hh-tests", "--features", "cuda", "--", "cuda::", "--test-threads=1"])
        .env("HH_CUDA", ordinal)
        .run()?;
    cargo(["run", "--release", "-p", "hh-cuda", "--example", "gpu", "--"].into_iter().chain(words.iter().copied())).run()
}

const PACKAGES: [&str; 7] = ["--release", "-p", "hh-cuda", "-p", "hh-tests", "--features", "hh-tests/cuda"];

/// Builds `kit/`: the suite, the measuring program, precompiled kernels, golden vectors, a script. Without cubins unless NVRTC is
/// found or with `--no-cubins`; `--reference FILE` is copied.
fn kit(words: &[&str]) -> Result<(), String> {
    let (mut cubins, mut reference) = (true, None);
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        match word {
            "--no-cubins" => cubins = false,
            "--reference" => reference = Some(words.next().ok_or("--reference needs a file name")?),
            other => return Err(format!("{other} is no option of `gpu --kit`: choose of --no-cubins and --reference FILE")),
        }
    }
    let folder = root().join("kit");
    let at = |name: &str| folder.join(name).to_string_lossy().into_owned();
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;

    let built = |command: &[&str]| executable(&[command, &PACKAGES, &["--message-format=json"]].concat());
    for (name, path) in [("all", built(&["test", "--no-run", "--test", "all"])?), ("gpu", built(&["build", "--example", "gpu"])?)] {
        copy(Path::new(&path), &folder.join(name))?;
        program("strip", [at(name).as_str()]).run()?;
    }
    if cubins {
        let (command, rest) = (["run", "--release", "-p", "hh-cuda", "--example", "precompile", "--"], [at("cubins")]);
        let step = cargo(command.into_iter().chain(rest.iter().map(String::as_str)));
        let step = match env::var("HH_NVRTC") {
            Ok(libraries) => step.env("LD_LIBRARY_PATH", &libraries),
            Err(_) => step,
        };
        step.run()?;
    }
    let golden = folder.join("golden");
    fs::create_dir_all(&golden).map_err(|e| format!("{}: {e}", golden.display()))?;
    for entry in fs::read_dir(root().join("tests/golden")).map_err(|e| e.to_string())? {
        let path = entry.map_err(|e| e.to_string())?.path();
        if let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|e| e == "safetensors")) {
            copy(&path, &golden.join(name))?;
        }
    }
    if let Some(reference) = reference {
        copy(&root().join(reference), &folder.join("reference.py"))?;
    }
    fs::write(folder.join("run.sh"), RUN).map_err(|e| e.to_string())?;
    println!("{}", output("du", &["-sh", &folder.to_string_lossy()])?.trim());
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to).map(drop).map_err(|e| format!("{} cannot be copied to {}: {e}", from.display(), to.display()))
}

/// The last executable that cargo says it has built.
fn executable(args: &[&str]) -> Result<String, String> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let messages = output(&cargo, args)?;
    last_executable(&messages).ok_or_else(|| format!("`cargo {}` built no executable", args.join(" ")))
}

fn last_executable(messages: &str) -> Option<String> {
    let path = messages.rsplit_once(r#""executable":""#)?.1;
    path.split_once('"').map(|(path, _)| path.to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_executable_is_the_last_that_was_built() {
        let messages = "{\"executable\":\"/a/one\"}\n{\"executable\":\"/a/two\",\"fresh\":true}\n{\"executable\":null}";
        assert_eq!(super::last_executable(messages).as_deref(), Some("/a/two"));
        assert_eq!(super::last_executable("{\"executable\":null}"), None);
    }
}
