//! `cargo xtask package`: everything that is published, packed without publishing it.

use crate::run::{cargo, output, program, root, target};
use std::{env, fs};

/// The published crates, each after those that it depends on.
const CRATES: [&str; 7] = ["hh-core", "hh-cpu", "hh-cuda", "hh-tch", "hh-english", "hh", "hh-runtime"];
/// The crates whose public interface follows semantic versioning.
const INTERFACES: [&str; 3] = ["hh-core", "hh-cpu", "hh"];
/// Largest package that the registry of crates takes, in bytes.
const LARGEST: u64 = 10 << 20;

/// Packs every crate as `cargo publish` does and checks sizes; packs the npm package if it is built; checks licences,
/// advisories and public interfaces if the tools for that are installed. With `--verify`, compiles what was packed.
///
/// # Errors
/// The first command that fails, a package that is too large, or a word other than `--verify`.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    match words {
        [] => crates(true)?,
        ["--verify"] => crates(false)?,
        _ => return Err(format!("cargo xtask package takes --verify or nothing, not `{}`", words.join(" "))),
    }
    npm()?;
    dependencies()?;
    interfaces()
}

fn crates(as_packed: bool) -> Result<(), String> {
    let flags = ["--allow-dirty", "--quiet"].into_iter().chain(as_packed.then_some("--no-verify"));
    cargo(["package"].into_iter().chain(flags).chain(CRATES.iter().flat_map(|name| ["-p", name]))).run()?;
    for name in CRATES {
        let file = target().join(format!("package/{name}-{}.crate", env!("CARGO_PKG_VERSION")));
        let bytes = fs::metadata(&file).map_err(|e| format!("{}: {e}", file.display()))?.len();
        eprintln!("xtask> {name}: {:.2} MB", bytes as f64 / 1e6);
        if bytes >= LARGEST {
            return Err(format!("the package of {name} has {bytes} bytes; the registry takes fewer than {LARGEST}"));
        }
    }
    Ok(())
}

fn npm() -> Result<(), String> {
    if root().join("wasm/dist/js/index.js").is_file() {
        return program("npm", ["pack", "--dry-run"]).within("wasm").run();
    }
    eprintln!("xtask> the npm package is not packed: build it first with `cargo xtask web`");
    Ok(())
}

/// Licences, advisories and sources of all dependencies, as `deny.toml` has them.
fn dependencies() -> Result<(), String> {
    if is_installed("cargo-deny") {
        return cargo(["deny", "--workspace", "check"]).run();
    }
    eprintln!("xtask> licences and advisories are not checked: install cargo-deny with `cargo install cargo-deny --locked`");
    Ok(())
}

/// Public interfaces against those of the last release.
fn interfaces() -> Result<(), String> {
    let Ok(tag) = output("git", &["describe", "--tags", "--abbrev=0", "--match", "v*"]) else {
        eprintln!("xtask> public interfaces are not compared: there is no tag of a release yet");
        return Ok(());
    };
    if !is_installed("cargo-semver-checks") {
        eprintln!(
            "xtask> public interfaces are not compared with {}: install cargo-semver-checks with `cargo install cargo-semver-checks --locked`",
            tag.trim()
        );
        return Ok(());
    }
    let packages = INTERFACES.iter().flat_map(|name| ["-p", name]);
    cargo(["semver-checks", "--baseline-rev", tag.trim()].into_iter().chain(packages)).run()
}

fn is_installed(name: &str) -> bool {
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(&file).is_file())
}
