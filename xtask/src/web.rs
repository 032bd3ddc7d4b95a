//! `cargo xtask web`: the npm package and its demo, in `wasm/dist`.

use crate::firmware::require_emulator;
use crate::run::{Step, cargo, program, root, target};
use std::{fs, io, path::Path};

/// WebAssembly features of the module: those that all browsers have since 2023.
const FEATURES: &str = "-Ctarget-feature=+simd128,+bulk-memory,+nontrapping-fptoint,+sign-ext,+mutable-globals";
/// For the module with threads: shared memory, a stack and thread-local variables for each thread.
const SHARED: &str = "-Ctarget-feature=+atomics -Clink-arg=--shared-memory -Clink-arg=--import-memory -Clink-arg=--max-memory=2147483648 \
    -Clink-arg=--export=__wasm_init_tls -Clink-arg=--export=__tls_size -Clink-arg=--export=__tls_align -Clink-arg=--export=__tls_base";
/// The standard library is built with the module, small and without panic messages, which a page does not show.
const SMALL: &str = "-Zunstable-options -Cpanic=immediate-abort -Zlocation-detail=none -Zfmt-debug=shallow";
const STD: [&str; 2] = ["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"];
const TARGET: &str = "wasm32-unknown-unknown";

/// Builds the package and the demo; with `--test` tests them, with `--bundlers` in all bundlers, with
/// `--machines` a text that goes from machine to machine, the microcontroller too; with `--serve` serves the demo.
///
/// # Errors
/// The first command that fails, or a word that is none of these.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    if let Some(word) = words.iter().find(|word| !["--serve", "--test", "--bundlers", "--machines"].contains(word)) {
        return Err(format!("cargo xtask web has no option {word}; the options are --serve, --test, --bundlers and --machines"));
    }
    build()?;
    if words.contains(&"--test") {
        test("dist/test")?;
    }
    if words.contains(&"--bundlers") {
        let install = ["install", "--prefix", "test/bundlers", "--no-package-lock", "--no-fund", "--no-audit", "--ignore-scripts"];
        npm(&install).run()?;
        test("dist/test/bundlers")?;
    }
    if words.contains(&"--machines") {
        require_emulator()?;
        test("dist/test/machines")?;
    }
    if words.contains(&"--serve") { node(&["dist/serve.js"]).run() } else { Ok(()) }
}

fn build() -> Result<(), String> {
    let (wasm, target) = (root().join("wasm"), target());
    let bindgen = target.join("bindgen");
    let manifest = wasm.join("bindgen/Cargo.toml");
    cargo(["build", "--quiet", "--manifest-path", &shown(&manifest), "--target-dir", &shown(&bindgen)]).run()?;

    let written = |file: &str| fs::metadata(wasm.join(file)).and_then(|data| data.modified()).ok();
    if written("node_modules/.package-lock.json") < written("package-lock.json") {
        npm(&["ci", "--no-fund", "--no-audit"]).run()?;
    }
    let generated = wasm.join("js/generated");
    module(&bindgen, &target.join("web"), &generated, FEATURES)?;
    module(&bindgen, &target.join("web-threads"), &generated.join("threads"), &format!("{FEATURES} {SHARED}"))?;

    let dist = wasm.join("dist");
    if dist.exists() {
        fs::remove_dir_all(&dist).map_err(|e| failed(&dist, e))?;
    }
    node(&["node_modules/typescript/bin/tsc"]).run()?;
    node(&["dist/build.js"]).run()
}

/// The module with these features and the JavaScript beside it, in a folder.
fn module(bindgen: &Path, target: &Path, folder: &Path, flags: &str) -> Result<(), String> {
    let package = ["build", "--profile", "web", "--package", "hh-wasm", "--target", TARGET, "--target-dir", &shown(target)];
    cargo(package.into_iter().chain(STD)).env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", &format!("{flags} {SMALL}")).run()?;
    let module = target.join(TARGET).join("web/hh_wasm.wasm");
    program(&shown(&bindgen.join("debug/bindgen")), [&*shown(&module), &shown(folder), "hh_wasm"]).run()?;
    let module = shown(&folder.join("hh_wasm_bg.wasm"));
    let may =
        ["simd", "bulk-memory", "nontrapping-float-to-int", "sign-ext", "mutable-globals", "reference-types", "multivalue", "threads"];
    let may = may.map(|feature| format!("--enable-{feature}"));
    let smaller = ["node_modules/binaryen/bin/wasm-opt", "-Os", "--strip-debug", "--strip-producers", &module, "-o", &module];
    node(&smaller.into_iter().chain(may.iter().map(String::as_str)).collect::<Vec<_>>()).run()
}

/// Runs the tests of a folder: the package in node and in Chromium, against the native program.
fn test(folder: &str) -> Result<(), String> {
    // With the features of the default members, as `cargo build --release` builds it: compiled once in continuous integration.
    cargo(["build", "--release", "--bin", "hh-runtime"]).run()?;
    let program = target().join("release").join(format!("hh-runtime{}", std::env::consts::EXE_SUFFIX));
    let files = tests(folder)?;
    let flags = ["--test", "--expose-gc", "--test-concurrency=1"];
    let args: Vec<&str> = flags.into_iter().chain(files.iter().map(String::as_str)).collect();
    node(&args).env("HH_RUNTIME", &shown(&program)).run()
}

/// The test files of a folder without its subfolders, sorted.
fn tests(folder: &str) -> Result<Vec<String>, String> {
    let path = root().join("wasm").join(folder);
    let entries = fs::read_dir(&path).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(|e| failed(&path, e))?;
    let names = entries.iter().map(|entry| format!("{folder}/{}", entry.file_name().to_string_lossy()));
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".test.js")).collect();
    names.sort();
    Ok(names)
}

fn node(args: &[&str]) -> Step {
    program("node", args.iter().copied()).within("wasm")
}

fn npm(args: &[&str]) -> Step {
    program("npm", args.iter().copied()).within("wasm")
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn failed(path: &Path, e: io::Error) -> String {
    format!("{}: {e}", path.display())
}
