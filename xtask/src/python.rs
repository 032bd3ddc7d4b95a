//! The Python wheel: built, installed into an environment of the target folder, tested; the engines that it runs in; and models in the
//! libraries of Hugging Face.

use crate::run::{Step, cargo, program, root, target};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Largest wheel, in bytes.
const LARGEST: u64 = 15_000_000;
/// What the tests read columns and event files with.
const TESTED: [&str; 7] = ["pytest", "numpy", "pyarrow", "pandas", "polars", "duckdb", "tensorboard"];
/// The engines of python/engines, with what they need.
const ENGINES: [&str; 8] = ["ray[data]", "pyspark", "dask[dataframe,distributed]", "daft", "duckdb", "polars", "lancedb", "pandas"];

/// What an exported model is loaded with. Torch is the one that the crate `tch` belongs to.
const HUB: [&str; 4] = ["torch==2.11.0", "numpy", "transformers", "sentence-transformers"];
/// Evaluates it, where there is data.
const HUB_EVALUATION: &str = "mteb";

/// A Python environment in the target folder, made where it is absent; the path of its Python.
pub(crate) fn environment(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    let venv = target().join(name);
    let python = venv.join("bin/python");
    if !python.exists() {
        program("python3", ["-m", "venv", &shown(&venv)]).run()?;
    }
    pip(&python, packages).run()?;
    Ok(python)
}

fn pip(python: &Path, packages: &[&str]) -> Step {
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    program(&shown(python), install.into_iter().chain(packages.iter().copied()))
}

/// Builds the wheel from the root, as `pip install .` does, and installs it.
///
/// # Errors
/// A command that fails, or a wheel that is too large.
fn wheel(python: &Path) -> Result<(), String> {
    let folder = target().join("wheels");
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    for old in wheels(&folder)? {
        fs::remove_file(&old).map_err(|e| format!("{}: {e}", old.display()))?;
    }
    // With maturin in the environment: an isolated one would fetch it again each time.
    let build = ["-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--wheel-dir", &shown(&folder), "."];
    let bin = python.parent().unwrap_or(python);
    let path = format!("{}:{}", bin.display(), env::var("PATH").unwrap_or_default());
    program(&shown(python), build).env("PATH", &path).run()?;
    let [wheel] = &wheels(&folder)?[..] else { return Err(format!("{} does not hold one wheel", folder.display())) };
    let bytes = fs::metadata(wheel).map_err(|e| e.to_string())?.len();
    eprintln!("xtask> {}: {:.2} MB", wheel.file_name().unwrap_or_default().display(), bytes as f64 / 1e6);
    if bytes > LARGEST {
        return Err(format!("the wheel has {bytes} bytes; at most {LARGEST} are wanted"));
    }
    pip(python, &["--force-reinstall", "--no-deps", &shown(wheel)]).run()
}

fn wheels(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()).map_err(|e| e.to_string()));
    let wheels = paths.filter(|path| path.as_ref().map_or(true, |path| path.extension().is_some_and(|e| e == "whl")));
    wheels.collect()
}

/// The program as `cargo build --release` builds it, for comparison.
fn native() -> Result<PathBuf, String> {
    cargo(["build", "--release", "--bin", "hh-runtime"]).run()?;
    Ok(target().join("release").join(format!("hh-runtime{}", env::consts::EXE_SUFFIX)))
}

/// `cargo xtask python [PYTEST ARGUMENTS…]`: builds, installs and tests the wheel.
///
/// # Errors
/// The first command that fails.
pub(crate) fn test(words: &[&str]) -> Result<(), String> {
    let python = environment("python", &[&["maturin>=1.9,<2"], &TESTED[..]].concat())?;
    wheel(&python)?;
    let pytest = ["-m", "pytest", "--quiet", "-p", "no:cacheprovider"];
    program(&shown(&python), pytest.into_iter().chain(words.iter().copied())).env("HH_RUNTIME", &shown(&native()?)).run()
}

/// `cargo xtask engines [NAME…]`: the same rows through every engine, or through those named, each row compared with the program's.
///
/// # Errors
/// The first command that fails.
pub(crate) fn engines(names: &[&str]) -> Result<(), String> {
    let python = environment("engines", &[&["maturin>=1.9,<2"], &ENGINES[..]].concat())?;
    wheel(&python)?;
    let (check, native) = (root().join("python/engines/check.py"), native()?);
    program(&shown(&python), [&*shown(&check), &shown(&native)].into_iter().chain(names.iter().copied())).run()
}

/// `cargo xtask hugging-face [STS.csv]`: exports models for the Hugging Face libraries and compares them there with the program; in the
/// environment of the job `libtorch`, which has PyTorch.
///
/// # Errors
/// The first command that fails.
pub(crate) fn hugging_face(sts: Option<&str>) -> Result<(), String> {
    let mteb = sts.map(|_| HUB_EVALUATION);
    let python = environment("libtorch", &[&HUB[..], mteb.as_slice()].concat())?;
    let (check, native) = (root().join("python/hugging_face/check.py"), native()?);
    program(&shown(&python), [&*shown(&check), &*shown(&native)].into_iter().chain(sts)).run()
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
