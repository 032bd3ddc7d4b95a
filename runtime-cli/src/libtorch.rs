//! Starting the program with libtorch, `hh-runtime-tch`, from the one without.
//!
//! A program linked with libtorch, which has some gigabytes, does not start where the loader cannot find it, and takes a second
//! to load it. So the linked program is a separate one in the same folder; `hh-runtime` itself starts immediately, runs
//! everywhere, and can report what is missing.

use anyhow::{Context, Result, bail};
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program that is linked with libtorch.
pub const PROGRAM: &str = "hh-runtime-tch";
/// The argument with which it prints its version and its devices.
pub const QUESTION: &str = "--libtorch";

/// How to build it.
const BUILD: &str = "LIBTORCH_USE_PYTORCH=1 cargo build --release -p hh-runtime --features tch, with a python3 that has torch 2.11";

/// The version and devices of libtorch. Loads it, which takes a second.
///
/// # Errors
/// A program that is missing, does not load, or is of another build.
pub fn look() -> Result<String> {
    look_at(&sibling()?)
}

fn look_at(program: &Path) -> Result<String> {
    if !program.exists() {
        bail!("{PROGRAM} is not in the folder of this program, which was built without libtorch; build it: {BUILD}");
    }
    let answer = Command::new(program).arg(QUESTION).output().with_context(|| format!("cannot start {}", program.display()))?;
    let (said, failed) = (String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
    if !answer.status.success() {
        // The message of the loader: a missing library, or a missing symbol of another version.
        let why = failed.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given").trim();
        bail!(
            "libtorch does not load ({why}); set LD_LIBRARY_PATH (macOS: DYLD_LIBRARY_PATH) to the folder torch/lib of a Python with torch 2.11, or build again: {BUILD}"
        );
    }
    match said.trim().split_once(": ") {
        Some((env!("CARGO_PKG_VERSION"), sees)) => Ok(sees.to_owned()),
        _ => bail!("{} is from another build than this program; build both: {BUILD}", program.display()),
    }
}

fn sibling() -> Result<PathBuf> {
    let own = env::current_exe().context("cannot find the path of this program")?;
    Ok(own.with_file_name(format!("{PROGRAM}{}", env::consts::EXE_SUFFIX)))
}

/// Runs the program with libtorch with these arguments, replacing this process on Unix, where it returns only on failure.
///
/// # Errors
/// As [`look`].
pub fn hand_over(args: &[OsString]) -> Result<u8> {
    let program = sibling()?;
    look_at(&program)?;
    let mut command = Command::new(&program);
    command.args(args);
    replace_process(command).with_context(|| format!("cannot start {}", program.display()))
}

#[cfg(unix)]
fn replace_process(mut command: Command) -> std::io::Result<u8> {
    use std::os::unix::process::CommandExt;
    Err(command.exec())
}

#[cfg(not(unix))]
fn replace_process(mut command: Command) -> std::io::Result<u8> {
    let code = command.status()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.unwrap_or(1))
}
