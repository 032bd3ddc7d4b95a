//! Places that cannot be written to.

use super::{PROGRAM, TRAIN, command, desk_with_run, is_refusal, listing, skipped, words};
use std::{fs, path::Path, process::Command};

/// A disk of so many kilobytes at `folder`, if this user may mount one; it goes when this is dropped.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(folder: &'a Path, options: &str) -> Option<Self> {
        fs::create_dir_all(folder).expect("memory");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder).output();
        mount.is_ok_and(|o| o.status.success()).then_some(Self(folder))
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

/// Runs a command that must find no room, lose nothing of what is there, and leave nothing behind.
fn no_room(here: &Path, line: &str, mut command: Command, said: &[&str]) {
    let before = listing(here);
    let output = command.current_dir(here).output().expect("the program starts");
    is_refusal(line, &output, said);
    assert_eq!(before, listing(here), "`{line}` lost something, or left something behind");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_and_loses_nothing() {
    let folder = desk_with_run();
    let here = folder.path();
    let small = here.join("small");
    let Some(disk) = Disk::mount(&small, "size=8k") else {
        return skipped("a full disk needs the right to mount one");
    };
    for line in [
        "export run small/out.safetensors",
        "sample run --tokens 400 --state small/talk --context 4096",
        "tokenize --data text.txt --tokenizer chars --out small/shards",
        &format!("{TRAIN} --steps 4 --out small/run"),
        "data builtin --out small/corpus.txt",
    ] {
        no_room(here, line, command(here, &words(line)), &["the disk is full"]);
    }
    drop(disk);
}

/// What any user can have: files of two kilobytes at most, as the shell sets it, with and without a signal when one grows beyond.
#[cfg(unix)]
#[test]
fn a_file_that_may_not_grow_is_named_and_loses_nothing() {
    let folder = desk_with_run();
    let here = folder.path();
    for line in [
        "export run out.safetensors",
        "sample run --tokens 5 --state talk --context 4096",
        "tokenize --data text.txt --tokenizer chars --out shards",
        &format!("{TRAIN} --steps 4 --out again"),
        "data builtin --out corpus.txt",
    ] {
        for trap in ["trap '' XFSZ; ", ""] {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("{trap}ulimit -f 4; exec \"$@\""), "sh"]).arg(&*PROGRAM).args(words(line));
            no_room(here, line, shell, &["larger than this system allows"]);
        }
    }
}

/// Where not even the superuser makes files.
#[cfg(target_os = "linux")]
#[test]
fn a_place_of_the_kernels_own_is_no_place_for_a_run() {
    let folder = desk_with_run();
    let here = folder.path();
    for line in ["export run /sys/hh.safetensors", "sample run --state /sys/hh", &format!("{TRAIN} --steps 4 --out /sys/hh")] {
        no_room(here, line, command(here, &words(line)), &["cannot", "/sys/hh", "write to another"]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_standard_output_that_is_full_is_named() {
    let folder = desk_with_run();
    let here = folder.path();
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").expect("a full device");
    for line in [
        "sample run --tokens 5",
        "sample run --tokens 5 --batch 2",
        "info run --json",
        "eval run --data text.txt",
        "eval run --data text.txt --json",
        "tokenize --data text.txt --show 3",
        "completions bash",
        "data list",
        "doctor",
        "task",
    ] {
        let output = command(here, &words(line)).stdout(full()).output().expect("the program starts");
        is_refusal(line, &output, &["cannot write to the standard output: the disk is full"]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_checkpoint_on_a_disk_that_fills_up_stays_what_it_was() {
    let folder = desk_with_run();
    let here = folder.path();
    let disk = here.join("disk");
    let Some(mounted) = Disk::mount(&disk, "size=600k") else {
        return skipped("a full disk needs the right to mount one");
    };
    let copy = Command::new("cp").arg("-r").arg(here.join("run")).arg(&disk).status();
    assert!(copy.is_ok_and(|s| s.success()), "the run is smaller than the disk");
    // Whatever room is left, less than a checkpoint takes.
    let _ = fs::write(disk.join("filler"), vec![0u8; 1 << 20]);
    let line = "train --resume disk/run --steps 20";
    let weights = ["best", "last", "resume"].map(|name| disk.join(format!("run/{name}.safetensors")));
    let before = weights.each_ref().map(|path| fs::read(path).expect("a file of the run"));
    let output = command(here, &words(line)).output().expect("the program starts");
    is_refusal(line, &output, &["the disk is full"]);
    assert!(before == weights.each_ref().map(|path| fs::read(path).expect("a file of the run")), "a checkpoint was lost");
    drop(mounted);
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_is_read_only_is_named() {
    let folder = desk_with_run();
    let here = folder.path();
    let sealed = here.join("sealed");
    let Some(disk) = Disk::mount(&sealed, "ro,size=32k") else {
        return skipped("a read-only disk needs the right to mount one");
    };
    for line in [
        "export run sealed/out.safetensors",
        "sample run --tokens 5 --state sealed/talk",
        "tokenize --data text.txt --out sealed/shards",
        &format!("{TRAIN} --steps 4 --out sealed/run"),
    ] {
        no_room(here, line, command(here, &words(line)), &["read-only"]);
    }
    drop(disk);
}

#[cfg(unix)]
#[test]
fn a_folder_without_permission_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = desk_with_run();
    let here = folder.path();
    let locked = here.join("locked");
    fs::create_dir(&locked).expect("memory");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).expect("its owner may");
    if fs::write(locked.join("probe"), "").is_ok() {
        return skipped("permissions do not bind this user");
    }
    for line in ["export run locked/out.safetensors", "tokenize --data text.txt --out locked/shards"] {
        no_room(here, line, command(here, &words(line)), &["permissions"]);
    }
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o755)).expect("its owner may");
}
