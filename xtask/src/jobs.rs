//! The jobs of continuous integration, each a list of commands.
//!
//! Compiling is most of their time, so they are written to share it. Cargo compiles a crate again when its profile, its
//! features or those of a dependency differ, and features are unified over the packages that a command selects. Hence:
//!
//! - all commands use `--release`, so a dependency is compiled at most twice: checked (lints, documentation) and built;
//! - commands that need a feature of one backend select `hh-tests` as well, which has the features of everything else on:
//!   only what depends on that backend is compiled again;
//! - `cargo build --release` comes early, and what follows uses what it has built.
//!
//! `cargo build --unit-graph -Z unstable-options` prints what a command would compile.

use crate::run::{Step, cargo, output, program, target};
use std::{env, path::PathBuf};

/// A name and the commands it stands for, or why they cannot be given.
type Job = (&'static str, fn() -> Result<Vec<Step>, String>);

/// The jobs in the order in which they run: what fails fastest is first, the tests are last.
pub(crate) const JOBS: [Job; 16] = [
    ("format", format),
    ("bare", bare),
    ("no-c-compiler", no_c_compiler),
    ("lint", lint),
    ("features", features),
    ("docs", docs),
    ("msrv", msrv),
    ("web", web),
    ("python", python),
    ("c", c),
    ("package", package),
    ("cuda", cuda),
    ("libtorch", libtorch),
    ("firmware", firmware),
    ("mpi", mpi),
    ("test", test),
];

const DENY: [&str; 3] = ["--", "-D", "warnings"];
/// What is compiled for this host without libtorch; the packages for the web and for Python are linted by themselves, since
/// their macros need features of `syn` with which all other procedural macros would be compiled again.
const WORKSPACE: [&str; 7] = ["--workspace", "--exclude", "hh-tch", "--exclude", "hh-wasm", "--exclude", "hh-python"];

/// Rustfmt over all workspaces.
fn format() -> Result<Vec<Step>, String> {
    let outside = ["firmware/Cargo.toml", "fuzz/Cargo.toml", "hh/datafusion/Cargo.toml", "wasm/bindgen/Cargo.toml"];
    let outside = outside.map(|manifest| cargo(["fmt", "--manifest-path", manifest, "--check"]));
    Ok([cargo(["fmt", "--all", "--check"])].into_iter().chain(outside).collect())
}

/// hh-core and hh-cpu without an operating system. Checks suffice: the firmware and the web package link them.
fn bare() -> Result<Vec<Step>, String> {
    let check = |target| cargo(["check", "--release", "-p", "hh-core", "-p", "hh-cpu", "--no-default-features", "--target", target]);
    Ok(["thumbv7em-none-eabihf", "riscv32imac-unknown-none-elf", "wasm32-unknown-unknown"].into_iter().map(check).collect())
}

/// A whole build with C and C++ compilers that fail: no default dependency may need one. rustc links through `cc`, which
/// stays. Later jobs use what is built here.
fn no_c_compiler() -> Result<Vec<Step>, String> {
    let names = ["CC", "CXX", "HOST_CC", "HOST_CXX", "TARGET_CC", "TARGET_CXX"];
    Ok(vec![names.into_iter().fold(cargo(["build", "--release"]), |step, name| step.env(name, "false"))])
}

/// Clippy over everything but the libtorch backend, then over the program as most users build it and at its smallest.
fn lint() -> Result<Vec<Step>, String> {
    let clippy = |args: &[&str]| cargo([&["clippy", "--release", "--all-targets"], args, &DENY].concat());
    Ok(vec![
        clippy(&[&WORKSPACE[..], &["--features", "hh-tests/cuda"]].concat()),
        clippy(&["-p", "hh-wasm"]),
        clippy(&["-p", "hh-runtime"]),
        clippy(&["-p", "hh-runtime", "--no-default-features"]),
    ])
}

/// The error messages of the smallest program, which has none of the features.
fn features() -> Result<Vec<Step>, String> {
    Ok(vec![cargo(["test", "--release", "-p", "hh-runtime", "--no-default-features", "--lib", "absent"])])
}

fn docs() -> Result<Vec<Step>, String> {
    let doc = |args: &[&str]| cargo([&["doc", "--release", "--no-deps"], args].concat()).env("RUSTDOCFLAGS", "-D warnings");
    Ok(vec![doc(&[&WORKSPACE[..], &["--features", "hh-tests/cuda"]].concat()), doc(&["-p", "hh-wasm"])])
}

/// The workspace with the oldest toolchain that `rust-version` promises, where the active one is newer.
fn msrv() -> Result<Vec<Step>, String> {
    let oldest = env!("CARGO_PKG_RUST_VERSION");
    let active = output("rustc", &["--version"])?;
    if active.split_whitespace().nth(1).is_some_and(|version| version.starts_with(&format!("{oldest}."))) {
        eprintln!("xtask> the active toolchain is {oldest}, the oldest supported one: other jobs build with it");
        return Ok(Vec::new());
    }
    let toolchain = format!("+{oldest}");
    Ok(vec![cargo([&[&toolchain[..], "check", "--release"], &WORKSPACE[..]].concat())])
}

/// The package for the web: built, tested in node, its demo page tested in Chromium; and a text that goes from the program through
/// both and the firmware back to the program.
fn web() -> Result<Vec<Step>, String> {
    Ok(vec![cargo(["xtask", "web", "--test", "--machines"])])
}

/// The Python wheel: linted, built, installed and tested, in two engines as well. Its documentation is that of its stubs.
fn python() -> Result<Vec<Step>, String> {
    let lint = [&["clippy", "--release", "-p", "hh-python"], &DENY[..]].concat();
    Ok(vec![cargo(lint), cargo(["xtask", "python"])])
}

/// The C interface: its header is current, and its programs run under the sanitizers of the C compiler.
fn c() -> Result<Vec<Step>, String> {
    Ok(vec![cargo(["xtask", "c"])])
}

/// Every package that is published, packed but not published; after `web`, whose package is one of them.
fn package() -> Result<Vec<Step>, String> {
    Ok(vec![cargo(["xtask", "package"])])
}

/// The CUDA backend without a GPU: all kernels compiled for sm_80 and sm_90 by NVRTC, then run as C++ on the emulated
/// device, and the program that measures on a GPU, on that device.
/// If `HH_NVRTC` names no folder with libnvrtc.so.13, the compiler is installed into the target folder.
fn cuda() -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let libraries = env::var("HH_NVRTC").unwrap_or_else(|_| {
        let folder = target().join("nvrtc");
        if !folder.exists() {
            venv("nvrtc-python", &["--target", &folder.to_string_lossy(), "nvidia-cuda-nvrtc==13.0.*"], &mut steps);
        }
        folder.join("nvidia/cu13/lib").to_string_lossy().into_owned()
    });
    let emulated = |command: &str, rest: &[&str]| {
        let packages = ["--release", "-p", "hh-cuda", "-p", "hh-tests", "--features", "hh-tests/cuda"];
        cargo([&[command], &packages[..], rest].concat())
    };
    steps.push(emulated("test", &["--lib", "--", "--include-ignored"]).env("LD_LIBRARY_PATH", &libraries));
    steps.push(emulated("test", &["--test", "all", "--", "cuda"]));
    steps.push(emulated("test", &["--example", "gpu"]));
    steps.push(emulated("build", &["--example", "gpu"]));
    let (gpu, table) = (target().join("release/examples/gpu"), target().join("gpu.jsonl"));
    steps.push(program(&gpu.to_string_lossy(), ["emulated", "--out", &table.to_string_lossy()]));
    Ok(steps)
}

/// The libtorch backend, which everything else does without, and models that are exported for PyTorch: with the libtorch that `LIBTORCH` or
/// `LIBTORCH_USE_PYTORCH` names, or with one that is installed into the target folder.
fn libtorch() -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut path = env::var("PATH").unwrap_or_default();
    let mut own = false;
    if ["LIBTORCH", "LIBTORCH_USE_PYTORCH"].iter().all(|name| env::var_os(name).is_none()) {
        let bin = venv("libtorch", &["torch==2.11.0", "numpy"], &mut steps);
        path = format!("{}:{path}", bin.display());
        own = true;
    }
    let on = |command: &[&str], rest: &[&str]| {
        let packages = ["--release", "-p", "hh-tch", "-p", "hh-tests", "--features", "hh-tests/tch"];
        let step = cargo([command, &packages[..], rest].concat()).env("PATH", &path);
        if env::var_os("LIBTORCH").is_some() { step } else { step.env("LIBTORCH_USE_PYTORCH", "1") }
    };
    // The benchmarks are along because `lint` has them: their dependencies change features that are checked there.
    steps.push(on(&["clippy", "--all-targets", "-p", "hh-runtime", "-p", "hh-benches"], &DENY));
    steps.push(on(&["doc", "--no-deps"], &[]).env("RUSTDOCFLAGS", "-D warnings"));
    steps.push(on(&["test"], &["--lib"]));
    steps.push(on(&["test"], &["--test", "all", "--", "tch", "kernels"]));
    // Exported models, in the same environment.
    steps.extend(own.then(|| cargo(["xtask", "hugging-face"])));
    Ok(steps)
}

/// A language model on emulated microcontrollers, whose text must be the program's.
fn firmware() -> Result<Vec<Step>, String> {
    Ok(vec![cargo(["xtask", "firmware"])])
}

/// Training under mpirun: the feature `mpi` built, and two ranks that must have the bits of one. Without other features,
/// since the bindings of MPI ask for a feature of `syn` with which all procedural macros are compiled again; in a folder of its
/// own, so that the program of the other jobs stays.
fn mpi() -> Result<Vec<Step>, String> {
    let folder = target().join("mpi").to_string_lossy().into_owned();
    let of =
        ["--release", "-p", "hh-runtime", "--no-default-features", "--features", "mpi", "--target-dir", &folder, "--bin", "hh-runtime"];
    let program_with_mpi = target().join("mpi/release/hh-runtime");
    Ok(vec![cargo([&["build"], &of[..]].concat()), program("tests/launchers/mpi.sh", [&*program_with_mpi.to_string_lossy()])])
}

/// The command of the README. It is last, so that its closing lines end the output. Tables are read back by the Python
/// that `PYTHON` names, or by one that is installed into the target folder.
fn test() -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let python = env::var("PYTHON").unwrap_or_else(|_| {
        let bin = venv("tables", &["duckdb", "numpy", "polars", "pyarrow"], &mut steps);
        bin.join("python").to_string_lossy().into_owned()
    });
    steps.push(cargo(["test", "--release"]).env("PYTHON", &python));
    Ok(steps)
}

/// Makes a Python environment with these packages in the target folder; returns the folder of its programs.
fn venv(name: &str, packages: &[&str], steps: &mut Vec<Step>) -> PathBuf {
    let venv = target().join(name);
    let bin = venv.join("bin");
    steps.push(program("python3", ["-m", "venv", &venv.to_string_lossy()]));
    steps.push(program(&bin.join("pip").to_string_lossy(), [&["install", "--quiet"], packages].concat()));
    bin
}
