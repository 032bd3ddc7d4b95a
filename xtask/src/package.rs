//! Packs crates and the npm package without publishing them.

use crate::run::{cargo, program};
use std::{fs, path::Path};

/// The crates, each after those that it depends on.
const CRATES: [&str; 7] = ["hh-core", "hh-cpu", "hh-cuda", "hh-tch", "hh-english", "hh", "hh-runtime"];
/// Largest package that registries take, in bytes.
const LARGEST: u64 = 10_000_000;

/// Packs every crate as `cargo publish` would and checks the sizes; packs the npm package where it is built; checks
/// licences and advisories, and the public interfaces against the last tag, where the tools are installed.
///
/// # Errors
/// The first command that fails, or a package that is too large.
pub(crate) fn run() -> Result<(), String> {
    let packages = CRATES.iter().flat_map(|name| ["-p", name]);
    cargo(["package", "--no-verify", "--allow-dirty"].into_iter().chain(packages)).run()?;
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace");
    for name in CRATES {
        let file = root.join(&target).join(format!("package/{name}-{}.crate", env!("CARGO_PKG_VERSION")));
        let bytes = fs::metadata(&file).map_err(|e| format!("{} is missing: {e}", file.display()))?.len();
        eprintln!("xtask> {name}: {:.2} MB", bytes as f64 / 1e6);
        if bytes > LARGEST {
            return Err(format!("the package of {name} has {bytes} bytes; {LARGEST} are allowed"));
        }
    }
    if root.join("wasm/dist/package.json").is_file() {
        program("npm", ["pack", "--dry-run"]).within("wasm/dist").run()?;
    } else {
        eprintln!("xtask> the npm package is not built: run `cargo xtask web` first");
    }
    if has("cargo-deny") {
        cargo(["deny", "check"]).run()?;
    } else {
        eprintln!("xtask> cargo-deny is not installed: licences and advisories are not checked");
    }
    match last_tag() {
        None => eprintln!("xtask> there is no tag yet: public interfaces are not compared"),
        Some(_) if !has("cargo-semver-checks") => {
            eprintln!("xtask> cargo-semver-checks is not installed: public interfaces are not compared")
        }
        Some(tag) => cargo(["semver-checks", "-p", "hh", "-p", "hh-core", "-p", "hh-cpu", "--baseline-rev", &tag]).run()?,
    }
    Ok(())
}

/// Whether a program is on the path.
fn has(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// The newest tag of a version.
fn last_tag() -> Option<String> {
    let out = std::process::Command::new("git").args(["describe", "--tags", "--abbrev=0", "--match", "v*"]).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
}
