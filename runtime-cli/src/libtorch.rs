//! The program with libtorch, `hh-runtime-tch`, seen from the one without.
//!
//! libtorch is some gigabytes that the system's loader wants to have found before the first line of a program that is
//! linked with it, and that take a second to load. So the program that is linked is one of its own, beside `hh-runtime`,
//! which starts at once, runs everywhere, and can say in a sentence what is missing.

use anyhow::{Context, Result, bail};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program that is linked with libtorch.
pub const PROGRAM: &str = "hh-runtime-tch";
/// What it answers with its version, and a line on what it sees.
pub const QUESTION: &str = "--libtorch";

/// How to come by it.
const BUILD: &str = "LIBTORCH_USE_PYTORCH=1 cargo build --release -p hh-runtime --features tch, with a python3 that has torch 2.11";

/// What libtorch sees: its version, and its devices. Loads it, which takes a second.
///
/// # Errors
/// One sentence: that this build lacks it, that it does not load and why, or that it is of another build.
pub fn look() -> Result<String> {
    look_at(&beside()?)
}

fn look_at(program: &Path) -> Result<String> {
    if !program.exists() {
        bail!("{PROGRAM} is not beside this program, which was built without libtorch; build it: {BUILD}");
    }
    let answer = Command::new(program).arg(QUESTION).output().with_context(|| format!("cannot start {}", program.display()))?;
    let (said, failed) = (String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
    if !answer.status.success() {
        // The loader's own words: a library that is missing, or a symbol that another version of it lacks.
        let why = failed.lines().find(|line| !line.trim().is_empty()).unwrap_or("it does not say why").trim();
        bail!(
            "libtorch does not load ({why}); set LD_LIBRARY_PATH (macOS: DYLD_LIBRARY_PATH) to the folder torch/lib of a Python with torch 2.11, or build anew: {BUILD}"
        );
    }
    match said.trim().split_once(": ") {
        Some((env!("CARGO_PKG_VERSION"), sees)) => Ok(sees.to_owned()),
        _ => bail!("{} is of another build than this program; build both: {BUILD}", program.display()),
    }
}

fn beside() -> Result<PathBuf> {
    let own = env::current_exe().context("cannot tell where this program lies")?;
    Ok(own.with_file_name(format!("{PROGRAM}{}", env::consts::EXE_SUFFIX)))
}

/// Lets the program with libtorch do what this one was told to. Returns only if it cannot, or where the system has no such
/// thing as becoming another program.
///
/// # Errors
/// As [`look`].
pub fn hand_over() -> Result<std::process::ExitCode> {
    let program = beside()?;
    look_at(&program)?;
    let mut command = Command::new(&program);
    command.args(env::args_os().skip(1));
    become_it(command).with_context(|| format!("cannot start {}", program.display()))
}

#[cfg(unix)]
fn become_it(mut command: Command) -> std::io::Result<std::process::ExitCode> {
    use std::os::unix::process::CommandExt;
    Err(command.exec())
}

#[cfg(not(unix))]
fn become_it(mut command: Command) -> std::io::Result<std::process::ExitCode> {
    let code = command.status()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.unwrap_or(1).into())
}
