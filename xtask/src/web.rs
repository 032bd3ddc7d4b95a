//! `cargo xtask web`: the npm package and its demo, in `wasm/dist`.

use crate::run::{Step, cargo, found, program};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What the module may use of WebAssembly: all that browsers of 2023 and later have.
const FEATURES: &str = "-Ctarget-feature=+simd128,+bulk-memory,+nontrapping-fptoint,+sign-ext,+mutable-globals";
/// The standard library is built along, small and without the words of its panics, which nobody in a page could read.
const SMALL: &str = "-Zunstable-options -Cpanic=immediate-abort -Zlocation-detail=none -Zfmt-debug=shallow";
const STD: [&str; 2] = ["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"];
const TARGET: &str = "wasm32-unknown-unknown";

/// Builds the package, then does what the words ask for: `--serve` the demo, `--test` all of it.
///
/// # Errors
/// The first command that fails, or a word that is none of these.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    if let Some(word) = words.iter().find(|word| !["--serve", "--test"].contains(word)) {
        return Err(format!("cargo xtask web knows no {word}; there are --serve and --test"));
    }
    build()?;
    if words.contains(&"--test") {
        test()?;
    }
    if words.contains(&"--serve") { node(&["dist/serve.js"]).run() } else { Ok(()) }
}

fn build() -> Result<(), String> {
    let (wasm, target) = (root().join("wasm"), target());
    let bindgen = target.join("bindgen");
    let manifest = wasm.join("bindgen/Cargo.toml");
    cargo(["build", "--quiet", "--manifest-path", &shown(&manifest), "--target-dir", &shown(&bindgen)]).run()?;

    let web = target.join("web");
    let package = ["build", "--profile", "web", "--package", "hh-wasm", "--target", TARGET, "--target-dir", &shown(&web)];
    cargo(package.into_iter().chain(STD)).env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", &format!("{FEATURES} {SMALL}")).run()?;

    let (module, generated) = (web.join(TARGET).join("web/hh_wasm.wasm"), wasm.join("js/generated"));
    program(&shown(&bindgen.join("debug/bindgen")), [&*shown(&module), &shown(&generated), "hh_wasm"]).run()?;
    let module = shown(&generated.join("hh_wasm_bg.wasm"));
    if found("wasm-opt") {
        program("wasm-opt", ["--all-features", "-Os", "--strip-debug", "--strip-producers", &module, "-o", &module]).run()?;
    } else {
        eprintln!("xtask: wasm-opt is not here, so the module stays a tenth larger; it comes with binaryen");
    }

    if !wasm.join("node_modules").exists() {
        npm(&["ci", "--no-fund", "--no-audit"]).run()?;
    }
    let dist = wasm.join("dist");
    if dist.exists() {
        fs::remove_dir_all(&dist).map_err(|e| failed(&dist, e))?;
    }
    node(&["node_modules/typescript/bin/tsc"]).run()?;
    copy(&generated, &dist.join("js/generated"), |name| !name.ends_with(".wasm.d.ts"))?;
    copy(&wasm.join("demo"), &dist.join("demo"), |name| !name.ends_with(".ts"))
}

/// The package in node, the page in Chromium; both against the native program.
fn test() -> Result<(), String> {
    cargo(["build", "--release", "--package", "hh-runtime"]).run()?;
    let program = target().join("release").join(format!("hh-runtime{}", std::env::consts::EXE_SUFFIX));
    node(&["--test", "--expose-gc", "--test-concurrency=1", "dist/test/"]).env("HH_RUNTIME", &shown(&program)).run()
}

fn node(args: &[&str]) -> Step {
    program("node", args.iter().copied()).within("wasm")
}

fn npm(args: &[&str]) -> Step {
    program("npm", args.iter().copied()).within("wasm")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").into()
}

/// Where cargo puts what it builds.
fn target() -> PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    root().join(named.unwrap_or_else(|| "target".into()))
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn failed(path: &Path, e: io::Error) -> String {
    format!("{}: {e}", path.display())
}

/// Copies the files of a folder whose names are wanted.
fn copy(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) -> Result<(), String> {
    fs::create_dir_all(to).map_err(|e| failed(to, e))?;
    for entry in fs::read_dir(from).map_err(|e| failed(from, e))? {
        let entry = entry.map_err(|e| failed(from, e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if wanted(&name) {
            fs::copy(entry.path(), to.join(&name)).map_err(|e| failed(&entry.path(), e))?;
        }
    }
    Ok(())
}
