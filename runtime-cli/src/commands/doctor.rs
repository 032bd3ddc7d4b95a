//! `hh-runtime doctor`: backends, features, CPU and speed of this machine and build.

use crate::features::Feature;
use crate::libtorch;
use crate::machine::Machine;
use crate::measure::{gemm, read_bandwidth};
use crate::stdout;
use anyhow::Result;
use hh_cpu::Level;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

const ABOUT: &str = "\
All measurements take about two seconds and depend on the load of the machine, so they are approximate. Decoding a token reads \
all weights once per segment, so `read bandwidth / bytes of weights` bounds tokens/s; training is bound by matrix products. All \
backends except cpu are optional.";

/// Arguments of `doctor`.
#[derive(clap::Args)]
#[command(after_help = ABOUT)]
pub struct Args {
    #[command(flatten)]
    machine: Machine,
}

/// Prints the report.
///
/// # Errors
/// Output that cannot be written.
pub fn run(args: Args) -> Result<()> {
    let mut out = stdout::lock();
    let (threads, level) = (args.machine.threads(), Level::detect());
    writeln!(out, "hh-runtime {} on {} {}\n", env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH)?;
    writeln!(out, "backends")?;
    writeln!(out, "  cpu    ready: {} in f32, {threads} threads", level.name())?;
    for line in gpus() {
        writeln!(out, "  cuda   {line}")?;
    }
    match libtorch::look() {
        Ok(sees) => writeln!(out, "  tch    ready: {sees}")?,
        Err(e) => writeln!(out, "  tch    unavailable (optional): {e:#}")?,
    }

    writeln!(out, "\nfeatures of this build")?;
    for feature in Feature::ALL {
        match feature.is_present() {
            true => writeln!(out, "  {:<11}{}", feature.name(), feature.gives())?,
            false => writeln!(out, "  {:<11}absent: {}", feature.name(), feature.absent())?,
        }
    }

    let mpi = "trains in processes that mpirun or mpiexec starts";
    match cfg!(feature = "mpi") {
        true => writeln!(out, "  mpi        {mpi}")?,
        false => writeln!(out, "  mpi        absent: {mpi}; build with --features mpi, which needs an MPI library")?,
    }

    writeln!(out, "\nCPU")?;
    let (there, missing): (Vec<_>, Vec<_>) = features().into_iter().partition(|(_, there, _)| *there);
    writeln!(out, "  has        {}", there.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(" "))?;
    for (name, _, effect) in missing {
        writeln!(out, "  lacks      {name}: {effect}")?;
    }
    match memory() {
        Some([total, free]) => writeln!(out, "  memory     {:.1} GiB, {:.1} GiB of it available", gib(total), gib(free))?,
        None => writeln!(out, "  memory     unknown on this system")?,
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
        Ok(()) => writeln!(out, "  this folder is writable: `train` writes to runs/ here")?,
        Err(e) => writeln!(out, "  this folder is not writable ({e}): give `train` another one with --out")?,
    }
    Ok(())
}

/// The status of the cuda backend, one line per device.
fn gpus() -> Vec<String> {
    match hh_cuda::look() {
        Err(e) => vec![format!("unavailable (optional): {e}")],
        Ok(found) if found.is_empty() => vec!["unavailable (optional): the NVIDIA driver reports no device".to_owned()],
        Ok(found) => found.iter().map(gpu).collect(),
    }
}

fn gpu(found: &hh_cuda::Found) -> String {
    let place = format!("cuda:{}: {}, {:.0} GiB", found.ordinal, found.name, gib(found.memory as u64));
    match hh_cuda::find(found.ordinal).and_then(|_| hh_cuda::check_compiler()) {
        Ok(_) => format!("ready: {place}, in f32 and bf16"),
        Err(e) => format!("not ready: {place}: {e}"),
    }
}

/// Relevant instruction sets: name, availability, and the effect of their absence.
#[cfg(target_arch = "x86_64")]
fn features() -> Vec<(&'static str, bool, &'static str)> {
    use std::arch::is_x86_feature_detected as has;
    vec![
        ("sse2", true, ""),
        ("avx2", has!("avx2"), "matrix products use vectors of 4 elements instead of 8, about half as fast"),
        ("fma", has!("fma"), "a multiply-add takes two instructions, so the AVX2 kernels are not used"),
        (
            "avx512",
            has!("avx512f") && has!("avx512vl") && has!("avx512bw") && has!("avx512dq"),
            "matrix products use vectors of 8 elements instead of 16",
        ),
    ]
}

/// Relevant instruction sets: name, availability, and the effect of their absence.
#[cfg(target_arch = "aarch64")]
fn features() -> Vec<(&'static str, bool, &'static str)> {
    vec![("neon", true, "")]
}

/// Relevant instruction sets: name, availability, and the effect of their absence.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn features() -> Vec<(&'static str, bool, &'static str)> {
    vec![("vector instructions", false, "none are supported on this architecture; the portable kernels are used")]
}

/// Total and available bytes of memory, on Linux.
fn memory() -> Option<[u64; 2]> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kib = |key: &str| -> Option<u64> { text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok()) };
    Some([kib("MemTotal:")? * 1024, kib("MemAvailable:")? * 1024])
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / (1u64 << 30) as f64
}

/// Checks that a file can be created in a folder.
fn tempfile_in(folder: &Path) -> io::Result<()> {
    tempfile::tempfile_in(folder).map(drop)
}
