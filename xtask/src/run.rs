use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// One command, run in the root of the workspace.
pub(crate) struct Step {
    command: Command,
    shown: String,
}

/// `cargo` with these arguments.
pub(crate) fn cargo<'a>(args: impl IntoIterator<Item = &'a str>) -> Step {
    // Cargo runs the alias and sets CARGO to its own path; only the cargo of rustup understands `+toolchain`.
    let args: Vec<_> = args.into_iter().collect();
    let own = env::var("CARGO").ok().filter(|_| !args.first().is_some_and(|a| a.starts_with('+')));
    let mut step = program(own.as_deref().unwrap_or("cargo"), args.iter().copied());
    step.shown = format!("cargo {}", args.join(" "));
    step
}

/// Any program with these arguments.
pub(crate) fn program<'a>(program: &str, args: impl IntoIterator<Item = &'a str>) -> Step {
    let args: Vec<_> = args.into_iter().collect();
    let mut command = Command::new(program);
    command.args(&args).current_dir(root());
    Step { command, shown: format!("{program} {}", args.join(" ")) }
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace").into()
}

/// Where cargo puts what it builds, as an absolute path.
pub(crate) fn target() -> PathBuf {
    root().join(env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from))
}

/// The standard output of a command, run in the root of the workspace.
///
/// # Errors
/// The command, if it does not start or does not succeed.
pub(crate) fn output(program: &str, args: &[&str]) -> Result<String, String> {
    let shown = format!("{program} {}", args.join(" "));
    let done = Command::new(program).args(args).current_dir(root()).output().map_err(|e| format!("`{shown}` does not start: {e}"))?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status.success() {
        Ok(text)
    } else {
        Err(format!("`{shown}` failed ({}): {}", done.status, String::from_utf8_lossy(&done.stderr)))
    }
}

impl Step {
    /// In a folder of the workspace.
    pub(crate) fn within(mut self, folder: &str) -> Self {
        let root = self.command.get_current_dir().map(Path::to_path_buf).unwrap_or_default();
        self.command.current_dir(root.join(folder));
        self
    }

    /// With a variable of the environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self.shown = format!("{name}={value:?} {}", self.shown);
        self
    }

    /// Runs it and says how long it took.
    ///
    /// # Errors
    /// The command, if it does not start or does not succeed.
    pub(crate) fn run(mut self) -> Result<(), String> {
        eprintln!("xtask> {}", self.shown);
        let began = Instant::now();
        let status = self.command.status().map_err(|e| format!("`{}` does not start: {e}", self.shown))?;
        eprintln!("xtask> {:.0} s", began.elapsed().as_secs_f64());
        if status.success() { Ok(()) } else { Err(format!("`{}` failed ({status})", self.shown)) }
    }
}
