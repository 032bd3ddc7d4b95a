//! `hh-runtime completions` and `hh-runtime man`: what packages install beside the program.

use super::Cli;
use crate::stdout;
use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Arguments of `completions`.
#[derive(clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Arguments of `man`.
#[derive(clap::Args)]
pub struct ManArgs {
    /// The folder to write, which is created where it is absent
    folder: PathBuf,
}

/// Prints the completions of a shell.
///
/// # Errors
/// A standard output that is closed or full.
pub fn completions(args: &CompletionsArgs) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "hh-runtime", &mut text);
    Ok(stdout::lock().write_all(&text)?)
}

/// Writes a manual page for the program and one for each command.
///
/// # Errors
/// A folder that cannot be written to.
pub fn man(args: &ManArgs) -> Result<()> {
    let write = |folder: &Path| {
        std::fs::create_dir_all(folder)?;
        clap_mangen::generate_to(Cli::command(), folder)
    };
    write(&args.folder).with_context(|| format!("cannot write manual pages to {}", args.folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn completions_of_every_shell_name_every_command() {
        for &shell in Shell::value_variants() {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "hh-runtime", &mut text);
            let text = String::from_utf8(text).unwrap();
            for command in Cli::command().get_subcommands() {
                assert!(text.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }

    #[test]
    fn every_command_has_a_manual_page() {
        let folder = tempfile::tempdir().unwrap();
        man(&ManArgs { folder: folder.path().join("man") }).unwrap();
        let page = |name: &str| std::fs::read_to_string(folder.path().join("man").join(name)).unwrap();
        assert!(page("hh-runtime.1").contains(".TH hh-runtime 1"));
        for command in Cli::command().get_subcommands() {
            assert!(page(&format!("hh-runtime-{}.1", command.get_name())).contains(".SH"), "{}", command.get_name());
        }
    }
}
