//! Everything that is more than one cargo command: `cargo xtask ci`, `golden`, `oracle`, `gpu`, `package`, `c`, `firmware`, `fuzz`, `web`, `python`,
//! `engines`, `hugging-face`.

mod c;
mod ci;
mod firmware;
mod gpu;
mod jobs;
mod package;
mod python;
mod run;
mod web;

use run::{cargo, program, root};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask ci [JOB...]            what continuous integration runs, or the jobs named
cargo xtask golden REFERENCE.py    make the golden vectors of tests/golden again; needs a python with torch and safetensors
cargo xtask oracle CHECKPOINT REFERENCE.py
                                   compare a checkpoint's logits, losses and gradients between cpu, libtorch and the reference
cargo xtask gpu [ORDINAL] [--reference REFERENCE.py]
                                   run the suite on a GPU, then time its kernels and training steps, beside PyTorch's where the Python
                                   has it; prints a table, writes gpu.jsonl
cargo xtask gpu --kit [--no-cubins] [--reference REFERENCE.py]
                                   build all of that into kit/ for a machine without Rust: `bash kit/run.sh` there; HH_NVRTC names the
                                   folder of libnvrtc, which compiles the kernels beforehand
cargo xtask package [--verify]     pack every crate and the npm package without publishing, check sizes, licences, advisories and
                                   public interfaces; --verify also compiles the packed crates
cargo xtask c [--go]               compile the programs of c/ with sanitizers and run them, the one in Go as well; needs a C compiler
cargo xtask firmware               run the firmware on an emulated Cortex-M4 and RV32IMAC and compare its text with this machine's
cargo xtask fuzz TARGET [SECONDS]  run a target of fuzz/; needs cargo-fuzz and a nightly toolchain
cargo xtask web [--test] [--bundlers] [--machines] [--serve]
                                   build the package for the web and its demo in wasm/dist, test them, test the package in every
                                   bundler, take a text from machine to machine, serve the demo; needs node, npm, rust-src and, to
                                   test, Chromium; --machines also qemu-system-arm
cargo xtask python [PYTEST...]     build the Python wheel, install it into an environment of the target folder, test it there
cargo xtask engines [NAME...]      run 10,000 rows through every engine of python/engines, or those named, and compare each row with
                                   the program's; Spark needs Java 17
cargo xtask hugging-face [STS.csv] compare exported models in transformers and sentence-transformers with the program; with the test
                                   part of the STS Benchmark, in mteb as well";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["ci", ref steps @ ..] => ci::run(steps),
        ["golden", reference] => golden(reference),
        ["oracle", checkpoint, reference] => oracle(checkpoint, reference),
        ["c", ref words @ ..] => c::run(words),
        ["firmware"] => firmware::run(),
        ["package", ref words @ ..] => package::run(words),
        ["web", ref words @ ..] => web::run(words),
        ["gpu", ref words @ ..] => gpu::run(words),
        ["python", ref words @ ..] => python::test(words),
        ["engines", ref names @ ..] => python::engines(names),
        ["hugging-face"] => python::hugging_face(None),
        ["hugging-face", sts] => match std::path::absolute(sts) {
            Ok(sts) => python::hugging_face(Some(&sts.to_string_lossy())),
            Err(e) => Err(e.to_string()),
        },
        ["fuzz", target] => fuzz(target, "60"),
        ["fuzz", target, seconds] => fuzz(target, seconds),
        _ => {
            println!("{HELP}");
            return ExitCode::from(if args.is_empty() || args[0] == "help" || args[0] == "--help" { 0 } else { 2 });
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("xtask: {what}");
            ExitCode::FAILURE
        }
    }
}

/// `PYTHON` says which Python; the one on the path otherwise.
fn golden(reference: &str) -> Result<(), String> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let reference = std::path::absolute(reference).map_err(|e| e.to_string())?;
    program(&python, ["tests/golden/make.py", &reference.to_string_lossy(), "tests/golden"]).run()
}

/// Both paths as they are from here; the build finds libtorch as the README says.
fn oracle(checkpoint: &str, reference: &str) -> Result<(), String> {
    let [checkpoint, reference] =
        [checkpoint, reference].map(|path| std::path::absolute(path).map(|path| path.to_string_lossy().into_owned()));
    let (checkpoint, reference) = (checkpoint.map_err(|e| e.to_string())?, reference.map_err(|e| e.to_string())?);
    let args = ["run", "--quiet", "--release", "-p", "hh-tests", "--features", "tch", "--bin", "oracle", "--", &checkpoint, &reference];
    cargo(args).run()
}

/// The limits are those of docs/compatibility.md.
fn fuzz(target: &str, seconds: &str) -> Result<(), String> {
    let [corpus, seeds] = ["corpus", "seeds"].map(|folder| format!("fuzz/{folder}/{target}"));
    std::fs::create_dir_all(root().join(&corpus)).map_err(|e| format!("cannot make {corpus}: {e}"))?;
    let words = format!("fuzz/dictionaries/{target}.dict");
    let mut flags = vec![format!("-max_total_time={seconds}")];
    flags.extend(["-rss_limit_mb=2048", "-malloc_limit_mb=1024", "-timeout=20"].map(String::from));
    flags.extend(root().join(&words).exists().then(|| format!("-dict={words}")));
    let seeds = root().join(&seeds).exists().then_some(&seeds[..]);
    let paths = ["+nightly", "fuzz", "run", target, &corpus].into_iter().chain(seeds).chain(["--"]);
    cargo(paths.chain(flags.iter().map(String::as_str))).run()
}
