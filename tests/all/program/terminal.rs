//! Progress on a terminal, and where it must be plain text.

use super::{PROGRAM, TRAIN, desk, skipped, text_of};
use std::process::Command;

/// What a short run writes to a terminal whose environment has these variables.
fn on_a_terminal(variables: &[(&str, &str)]) -> Option<String> {
    let folder = desk();
    let line = format!("'{}' {TRAIN} --steps 3 --eval-every 1 --out run", PROGRAM.display());
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).current_dir(folder.path()).env("TERM", "xterm-256color");
    script.env_remove("NO_COLOR").env_remove("CI").envs(variables.iter().copied());
    let output = script.output().ok()?;
    let said = text_of(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("validation"), "{said}");
    Some(said)
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_without_colour_or_cursor_has_plain_lines() {
    let Some(bar) = on_a_terminal(&[]) else { return skipped("no program `script`, which makes a terminal") };
    assert!(bar.contains('\x1b'), "a terminal has a bar: {bar:?}");
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb"), ("CI", "1")] {
        let said = on_a_terminal(&[variable]).expect("it was there");
        assert!(!said.contains('\x1b'), "{variable:?}: {said:?}");
        assert_eq!(said.matches("step 3/3").count(), 1, "{said}");
    }
}
