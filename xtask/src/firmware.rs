//! `cargo xtask firmware`: the firmware on emulated microcontrollers, compared with the program on this machine.

use crate::run::root;
use std::process::Command;

/// RAM that the firmware may use, in bytes.
const RAM: usize = 96 << 10;
/// Targets, with their emulators and the packages of Debian that have them.
const BOARDS: [(&str, &str, &str); 2] = [
    ("thumbv7em-none-eabihf", "qemu-system-arm", "qemu-system-arm"),
    ("riscv32imac-unknown-none-elf", "qemu-system-riscv32", "qemu-system-misc"),
];

/// Runs the firmware on each board, prints its output, and compares it with the text of `hh-runtime sample` from the same
/// checkpoint, prompt and seed.
///
/// # Errors
/// A text that differs, a step that allocates, more RAM than it may take, or a command that does not succeed.
pub(crate) fn run() -> Result<(), String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    for (target, emulator, package) in BOARDS {
        require(emulator, package)?;
        eprintln!("xtask> firmware on {target}");
        let run = ["run", "--release", "--quiet", "--target", target];
        let said = output(Command::new(&cargo).args(run).current_dir(root().join("firmware")))?;
        print!("{said}");
        compare(&cargo, &said)?;
    }
    Ok(())
}

fn compare(cargo: &str, said: &str) -> Result<(), String> {
    let (text, figures) = said.split_once("\n--\n").ok_or("the firmware stopped before its end")?;
    let (prompt, written) = text.split_once('\n').ok_or("the firmware wrote no text")?;
    let prompt = format!("{prompt}\n");

    let mut host = Command::new(cargo);
    host.args(["run", "--release", "--quiet", "--bin", "hh-runtime", "--", "sample", "firmware/model.safetensors", "--prompt", &prompt]);
    host.args(["--tokens", "96", "--temperature", "0.8", "--seed", "1", "--context", "32"]).current_dir(root());
    let here = output(&mut host)?;
    if here.trim_end() != written.trim_end() {
        return Err(format!("the program on this machine writes a different text:\n{here}"));
    }
    let figure = |before: &str| {
        let rest = figures.split_once(before).map(|(_, rest)| rest.trim_start())?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<usize>().ok()
    };
    match (figure("allocations in 96 steps:"), figure("RAM:")) {
        (Some(0), Some(ram)) if ram <= RAM => Ok(()),
        (Some(0), Some(ram)) => Err(format!("the firmware used {ram} bytes of RAM; {RAM} are allowed")),
        (Some(count), _) => Err(format!("steps of the firmware allocated {count} times")),
        _ => Err("the firmware printed no figures".into()),
    }
}

/// Says whether the emulator of the Cortex-M4 is there.
///
/// # Errors
/// One sentence where it is not.
pub(crate) fn require_emulator() -> Result<(), String> {
    let [(_, emulator, package), _] = BOARDS;
    require(emulator, package)
}

fn require(emulator: &str, package: &str) -> Result<(), String> {
    match Command::new(emulator).arg("--version").output() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("there is no {emulator}, which runs the firmware: install it (on Debian the package {package})")),
    }
}

fn output(command: &mut Command) -> Result<String, String> {
    let shown = format!("{command:?}");
    let done = command.output().map_err(|e| format!("{shown} does not start: {e}"))?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status.success() { Ok(said) } else { Err(format!("{shown} failed:\n{said}{}", String::from_utf8_lossy(&done.stderr))) }
}
