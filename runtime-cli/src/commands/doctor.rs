//! `hh-runtime doctor`: what this machine and this build can do, what is missing, and what follows from it.

use crate::features::Feature;
use crate::libtorch;
use crate::machine::Machine;
use crate::measure::{gemm, read_bandwidth};
use anyhow::Result;
use hh_cpu::Level;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

const ABOUT: &str = "\
Everything here is measured within two seconds on whatever else the machine is doing: compare by ratio, not by digits. \
Decoding one token reads all weights once for each segment, so `read bandwidth / bytes of weights` bounds tokens/s; \
training is bound by the matrix products. A missing backend is never an error: what is there is used.";

/// Arguments of `doctor`.
#[derive(clap::Args)]
#[command(after_help = ABOUT)]
pub struct Args {
    #[command(flatten)]
    machine: Machine,
}

/// Looks, measures and tells.
pub fn run(args: Args) -> Result<()> {
    let mut out = io::stdout().lock();
    let (threads, level) = (args.machine.threads(), Level::detect());
    writeln!(out, "hh-runtime {} on {} {}\n", env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH)?;
    writeln!(out, "backends")?;
    writeln!(out, "  cpu    ready: {} in f32, {threads} threads", level.name())?;
    for line in gpus() {
        writeln!(out, "  cuda   {line}")?;
    }
    match libtorch::look() {
        Ok(sees) => writeln!(out, "  tch    ready: {sees}")?,
        Err(e) => writeln!(out, "  tch    not here, and never needed: {e:#}")?,
    }

    writeln!(out, "\nfeatures of this build")?;
    for feature in Feature::ALL {
        match feature.is_present() {
            true => writeln!(out, "  {:<11}{}", feature.name(), feature.gives())?,
            false => writeln!(out, "  {:<11}absent: {}", feature.name(), feature.absent())?,
        }
    }

    writeln!(out, "\nprocessor")?;
    let (there, missing): (Vec<_>, Vec<_>) = features().into_iter().partition(|(_, there, _)| *there);
    writeln!(out, "  has        {}", there.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(" "))?;
    for (name, _, effect) in missing {
        writeln!(out, "  lacks      {name}: {effect}")?;
    }
    match memory() {
        Some([total, free]) => writeln!(out, "  memory     {:.1} GiB, {:.1} GiB of it available", gib(total), gib(free))?,
        None => writeln!(out, "  memory     unknown: this system does not say")?,
    }

    writeln!(out, "\nmeasured")?;
    out.flush()?;
    let mut counts = vec![1, threads];
    counts.dedup();
    for n in counts {
        let (bandwidth, speed) = (read_bandwidth(n), gemm(n, Duration::from_millis(300)));
        let word = if n == 1 { "thread " } else { "threads" };
        writeln!(
            out,
            "  {n} {word}  reads {:.1} GB/s, multiplies matrices at {:.0} GFLOP/s (f32, 512 x 512)",
            bandwidth / 1e9,
            speed / 1e9
        )?;
        out.flush()?;
    }

    writeln!(out, "\nfiles")?;
    match tempfile_in(Path::new(".")) {
        Ok(()) => writeln!(out, "  this folder can be written to: `train` makes runs/ here")?,
        Err(e) => writeln!(out, "  this folder cannot be written to ({e}): give `train` another with --out")?,
    }
    Ok(())
}

/// What the cuda backend has to say of this machine, a line a device.
fn gpus() -> Vec<String> {
    match hh_cuda::look() {
        Err(e) => vec![format!("not here, and never needed: {e}")],
        Ok(found) if found.is_empty() => vec!["not here, and never needed: the NVIDIA driver sees no device".to_owned()],
        Ok(found) => found.iter().map(gpu).collect(),
    }
}

fn gpu(found: &hh_cuda::Found) -> String {
    let place = format!("cuda:{}: {}, {:.0} GiB", found.ordinal, found.name, gib(found.memory as u64));
    match hh_cuda::find(found.ordinal) {
        Ok(_) => format!("ready: {place}, in f32 and bf16"),
        Err(e) => format!("not ready: {place}: {e}"),
    }
}

/// Instructions that matter: name, whether they are there, and what follows if not.
#[cfg(target_arch = "x86_64")]
fn features() -> Vec<(&'static str, bool, &'static str)> {
    use std::arch::is_x86_feature_detected as has;
    vec![
        ("sse2", true, ""),
        ("avx2", has!("avx2"), "products run on 4 numbers at a time in place of 8, about half as fast"),
        ("fma", has!("fma"), "a multiply-add takes two instructions, so the AVX2 kernels are not used"),
        (
            "avx512",
            has!("avx512f") && has!("avx512vl") && has!("avx512bw") && has!("avx512dq"),
            "products run on 8 numbers at a time in place of 16",
        ),
    ]
}

/// Instructions that matter: name, whether they are there, and what follows if not.
#[cfg(target_arch = "aarch64")]
fn features() -> Vec<(&'static str, bool, &'static str)> {
    vec![("neon", true, "")]
}

/// Instructions that matter: name, whether they are there, and what follows if not.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn features() -> Vec<(&'static str, bool, &'static str)> {
    vec![("vector instructions", false, "this program knows none of this architecture; the portable kernels are used")]
}

/// Bytes of memory, and of those that are available, where Linux says so.
fn memory() -> Option<[u64; 2]> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kib = |key: &str| -> Option<u64> { text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok()) };
    Some([kib("MemTotal:")? * 1024, kib("MemAvailable:")? * 1024])
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / (1u64 << 30) as f64
}

/// Whether a file can be made there.
fn tempfile_in(folder: &Path) -> io::Result<()> {
    tempfile::tempfile_in(folder).map(drop)
}
