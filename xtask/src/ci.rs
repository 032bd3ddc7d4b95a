use crate::{
    STEPS,
    run::{Step, cargo, program},
};
use std::{path::PathBuf, time::Instant};

/// Runs the steps of these names, all if there are none.
///
/// # Errors
/// The first command that fails, or a name that no step has.
pub(crate) fn run(names: &[&str]) -> Result<(), String> {
    let known = STEPS.map(|(name, _)| name);
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        return Err(format!("no step is called {name}; there are {}", known.join(", ")));
    }
    let chosen: Vec<_> = STEPS.iter().filter(|(name, _)| names.is_empty() || names.contains(name)).collect();
    let mut minutes = Vec::new();
    for (i, (name, steps)) in chosen.iter().enumerate() {
        // The last job is the test runner's, whose closing lines stay the last that are printed.
        if i > 0 && i + 1 == chosen.len() {
            eprintln!("{}", table(&minutes));
        }
        let began = Instant::now();
        steps().into_iter().try_for_each(Step::run).inspect_err(|_| eprintln!("{}", table(&minutes)))?;
        minutes.push((*name, began.elapsed().as_secs_f64() / 60.0));
    }
    Ok(())
}

/// Minutes of each job so far, and their sum.
fn table(minutes: &[(&str, f64)]) -> String {
    let line = |name: &str, minutes: f64| format!("ci> {name:<14} {minutes:5.1} min\n");
    let lines: String = minutes.iter().map(|&(name, minutes)| line(name, minutes)).collect();
    lines + &line("so far", minutes.iter().map(|(_, minutes)| minutes).sum())
}

pub(crate) fn format() -> Vec<Step> {
    vec![cargo(["fmt", "--all", "--check"])]
}

/// Where there is no system: a microcontroller and a browser.
pub(crate) fn bare() -> Vec<Step> {
    let build = |target| cargo(["build", "-p", "hh-core", "-p", "hh-cpu", "--no-default-features", "--target", target]);
    ["thumbv7em-none-eabihf", "wasm32-unknown-unknown"].into_iter().map(build).collect()
}

/// A whole build with compilers that refuse: nothing that this workspace depends on may ask for one. rustc itself
/// links through `cc`, which stays. Of the profile that the tests use, so that they need not build it again.
pub(crate) fn no_c_compiler() -> Vec<Step> {
    let names = ["CC", "CXX", "HOST_CC", "HOST_CXX", "TARGET_CC", "TARGET_CXX"];
    vec![names.into_iter().fold(cargo(["build", "--release"]), |step, name| step.env(name, "false"))]
}

pub(crate) fn lint() -> Vec<Step> {
    vec![
        cargo(["clippy", "--workspace", "--exclude", "hh-tch", "--all-targets", "--", "-D", "warnings"]),
        cargo(["clippy", "-p", "hh-core", "--all-targets", "--features", "ndarray", "--", "-D", "warnings"]),
        cargo(["clippy", "-p", "hh-runtime", "--all-targets", "--", "-D", "warnings"]),
        cargo(["clippy", "-p", "hh-runtime", "--all-targets", "--no-default-features", "--", "-D", "warnings"]),
    ]
}

pub(crate) fn docs() -> Vec<Step> {
    vec![cargo(["doc", "--workspace", "--exclude", "hh-tch", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings")]
}

/// The package for the web: built, in node, and its demo in Chromium.
pub(crate) fn web() -> Vec<Step> {
    vec![cargo(["run", "--quiet", "--package", "xtask", "--", "web", "--test"])]
}

/// Everything that would be published, packed; after the web package, which it packs as well.
pub(crate) fn package() -> Vec<Step> {
    vec![cargo(["run", "--quiet", "--package", "xtask", "--", "package"])]
}

/// Makes a Python with these packages in the target folder; the folder of its programs.
fn venv(name: &str, packages: &[&str], steps: &mut Vec<Step>) -> PathBuf {
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    let venv = std::path::absolute(target).unwrap_or_default().join(name);
    let bin = venv.join("bin");
    steps.push(program("python3", ["-m", "venv", &venv.to_string_lossy()]));
    steps.push(program(&bin.join("pip").to_string_lossy(), [&["install", "--quiet"], packages].concat()));
    bin
}

/// The libtorch backend, which all else does without: on the libtorch that the environment names, or on one that is
/// installed for it.
pub(crate) fn libtorch() -> Vec<Step> {
    let mut steps = Vec::new();
    let mut path = std::env::var("PATH").unwrap_or_default();
    if ["LIBTORCH", "LIBTORCH_USE_PYTORCH"].iter().all(|name| std::env::var_os(name).is_none()) {
        let bin = venv("libtorch", &["torch==2.11.0", "numpy"], &mut steps);
        path = format!("{}:{path}", bin.display());
    }
    let on = |args: &[&str]| {
        let step = cargo(args.iter().copied()).env("PATH", &path);
        if std::env::var_os("LIBTORCH").is_some() { step } else { step.env("LIBTORCH_USE_PYTORCH", "1") }
    };
    let packages = ["-p", "hh-tch", "-p", "hh-runtime", "-p", "hh-tests", "--features", "hh-runtime/tch,hh-tests/tch"];
    let refused = ["--", "-D", "warnings"];
    steps.push(on(&[&["clippy", "--release", "--all-targets"][..], &packages, &refused].concat()));
    steps.push(on(&["doc", "--release", "-p", "hh-tch", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"));
    steps.push(on(&["test", "--release", "-p", "hh-tch"]));
    steps.push(on(&["test", "--release", "-p", "hh-tests", "--features", "tch", "--", "tch", "kernels"]));
    steps
}

/// A language model on a microcontroller, and that it says what it says here.
pub(crate) fn firmware() -> Vec<Step> {
    let manifest = ["--manifest-path", "firmware/Cargo.toml"];
    let all = [&["fmt"][..], &manifest, &["--check"]].concat();
    vec![cargo(all), cargo(["xtask", "firmware"])]
}

/// The cuda backend without a GPU: all kernels compiled for sm_80 and sm_90 by NVRTC, and run as C++ on the emulated machine; and
/// the program that measures on a GPU, on that machine.
/// Where `HH_NVRTC` names no folder with libnvrtc.so.13, the compiler is installed for it.
pub(crate) fn cuda() -> Vec<Step> {
    let mut steps = Vec::new();
    let target = std::path::absolute(std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into())).unwrap_or_default();
    let libraries = std::env::var("HH_NVRTC").unwrap_or_else(|_| {
        let folder = target.join("nvrtc");
        if !folder.exists() {
            venv("nvrtc-python", &["--target", &folder.to_string_lossy(), "nvidia-cuda-nvrtc==13.0.*"], &mut steps);
        }
        folder.join("nvidia/cu13/lib").to_string_lossy().into_owned()
    });
    let refused = ["--", "-D", "warnings"];
    let emulated = ["-p", "hh-cuda", "-p", "hh-tests", "--features", "hh-cuda/emulate,hh-tests/cuda"];
    steps.push(cargo([&["clippy", "--release", "--all-targets"][..], &emulated, &refused].concat()));
    let own = ["test", "--release", "-p", "hh-cuda", "--features", "emulate", "--", "--include-ignored"];
    steps.push(cargo(own).env("LD_LIBRARY_PATH", &libraries));
    steps.push(cargo(["test", "--release", "-p", "hh-tests", "--features", "cuda", "--", "cuda"]));
    let table = target.join("gpu.json");
    let measuring = ["run", "--quiet", "--release", "-p", "hh-cuda", "--features", "emulate", "--example", "gpu", "--", "emulated"];
    steps.push(cargo(measuring.into_iter().chain(["--out", &table.to_string_lossy()])));
    steps
}

/// What is off by default, then the command of the README: the last, so that its closing lines are the last to be read. Tables
/// are read back by the Python that `PYTHON` names, or by one that is made for it.
pub(crate) fn test() -> Vec<Step> {
    let mut steps = vec![cargo(["test", "--release", "-p", "hh-core", "--features", "ndarray"])];
    let python = std::env::var("PYTHON").unwrap_or_else(|_| {
        let bin = venv("tables", &["duckdb", "numpy", "polars", "pyarrow"], &mut steps);
        bin.join("python").to_string_lossy().into_owned()
    });
    steps.push(cargo(["test", "--release"]).env("PYTHON", &python));
    steps
}
