//! `--backend cuda`: what the program says where there is no NVIDIA driver, or not that device.

use super::{command, desk, is_refusal, refused, words, works};
use std::path::Path;

const LINE: &str = "train --config tiny.json --data text.txt --backend cuda:99 --out run";

#[test]
fn a_gpu_that_is_not_there_is_refused() {
    let folder = desk();
    let driver = Path::new("/dev/nvidiactl").exists();
    refused(folder.path(), LINE, if driver { &["cuda:99"] } else { &["NVIDIA driver", "--backend cpu"] });
    refused(folder.path(), &LINE.replace("cuda:99", "cuda:x"), &["cuda:N"]);
    let doctor = works(folder.path(), "doctor");
    let line = doctor.lines().find(|line| line.trim_start().starts_with("cuda")).expect("a line on cuda");
    assert!(driver || line.contains("NVIDIA driver"), "{line}");
}

/// A driver that is no library, in front of all others: no panic, and the same sentence as without one.
#[cfg(target_os = "linux")]
#[test]
fn a_broken_driver_is_no_driver() {
    let folder = desk();
    for name in ["libcuda.so", "libcuda.so.1"] {
        std::fs::write(folder.path().join(name), b"this is no library").expect("memory");
    }
    let output = command(folder.path(), &words(LINE)).env("LD_LIBRARY_PATH", folder.path()).output().expect("the program starts");
    // On a machine with a driver the loader goes on to the next one.
    let said = if Path::new("/dev/nvidiactl").exists() { "cuda:99" } else { "NVIDIA driver" };
    is_refusal(LINE, &output, &[said]);
}
