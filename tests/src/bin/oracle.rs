//! `cargo xtask oracle CHECKPOINT REFERENCE.py`: one checkpoint through the cpu backend, libtorch and the reference, and how
//! far each is from it, tensor by tensor. Fails where one is farther than the tolerance table allows.

use hh_cpu::{Cpu, Threads};
use hh_tch::{Compute, DeviceKind, Tch};
use hh_tests::{
    against::{results, wanted},
    compare::{F32, F64, distance},
    golden::Golden,
};
use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

type Results = Vec<(String, Vec<f64>)>;

fn main() -> ExitCode {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [checkpoint, reference] = &args[..] else {
        eprintln!("usage: oracle CHECKPOINT REFERENCE.py");
        return ExitCode::from(2);
    };
    let told = ask(checkpoint, reference).and_then(|golden| {
        let tch = |compute| Tch::new(DeviceKind::Best, compute).map_err(|e| e.to_string());
        let cpu = Threads::new(std::thread::available_parallelism().map_or(1, |n| n.get()));
        let found = [
            ("cpu f64", F64.model, results(Cpu::<f64>::new(cpu.clone()), &golden)),
            ("tch f64", F64.model, results(tch(Compute::F64)?, &golden)),
            ("cpu f32", F32.model, results(Cpu::<f32>::new(cpu), &golden)),
            ("tch f32", F32.model, results(tch(Compute::F32)?, &golden)),
        ];
        Ok(tell(&golden, &found))
    });
    match told {
        Ok(0) => ExitCode::SUCCESS,
        Ok(far) => {
            eprintln!("error: {far} results are farther from the reference than the tolerance table allows");
            ExitCode::FAILURE
        }
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(2)
        }
    }
}

/// What the reference says of the checkpoint.
fn ask(checkpoint: &Path, reference: &Path) -> Result<Golden, String> {
    let folder = tempfile::tempdir().map_err(|e| format!("cannot create a temporary folder: {e}"))?;
    let (script, out) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/oracle.py"), folder.path().join("golden.safetensors"));
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let status = Command::new(&python).arg(script).args([checkpoint, reference]).arg(&out).status();
    let status = status.map_err(|e| format!("{python} does not start ({e}); PYTHON says which one has torch and safetensors"))?;
    if !status.success() {
        return Err(format!("the reference cannot read {}: see what {python} says above", checkpoint.display()));
    }
    Ok(Golden::open(&out))
}

/// Prints a row for each result, and says how many are too far.
fn tell(golden: &Golden, found: &[(&str, f64, Results)]) -> usize {
    // A gradient that is small beside the whole one is small because much cancels in it: it counts as a hundredth of that.
    let gradient: Vec<f64> =
        found[0].2.iter().filter(|(name, _)| name.starts_with("grad.")).flat_map(|(name, _)| wanted(golden, name)).copied().collect();
    let floor = 0.01 * (gradient.iter().map(|g| g * g).sum::<f64>() / gradient.len().max(1) as f64).sqrt();
    println!("{:<36}{}", "relative RMS from the reference", found.iter().map(|(name, ..)| format!("{name:>10}")).collect::<String>());
    let (mut too_far, mut worst) = (0, vec![0.0f64; found.len()]);
    for (row, (name, _)) in found[0].2.iter().enumerate() {
        print!("{name:<36}");
        for ((_, bound, results), worst) in found.iter().zip(&mut worst) {
            let far = distance(&results[row].1, wanted(golden, name), floor);
            // Losses of a training step come to the host as f32.
            let bound = if name.starts_with("trained.") { bound.max(3e-7) } else { *bound };
            *worst = worst.max(far);
            too_far += usize::from(far > bound);
            print!("{far:>9.1e}{}", if far > bound { "!" } else { " " });
        }
        println!();
    }
    println!("{:<36}{}", "worst", worst.iter().map(|far| format!("{far:>9.1e} ")).collect::<String>());
    println!("{:<36}{}", "allowed", found.iter().map(|(_, bound, _)| format!("{bound:>9.1e} ")).collect::<String>());
    too_far
}
