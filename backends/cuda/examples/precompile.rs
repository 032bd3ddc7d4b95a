//! Compiles all kernels for GPUs of some compute capabilities, without a GPU: `precompile FOLDER [ARCHITECTURE…]`, by default 80 and
//! 90. With `HH_CUDA_CACHE=FOLDER` in the environment these GPUs need no compilation at the first step.

use std::{path::PathBuf, process::ExitCode};

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let folder = words.next().map(PathBuf::from);
    let architectures: Option<Vec<i32>> = words.map(|word| word.trim_start_matches("sm_").parse().ok()).collect();
    let (Some(folder), Some(architectures)) = (folder, architectures) else {
        eprintln!("precompile FOLDER [ARCHITECTURE…], for example: precompile cubins 80 90");
        return ExitCode::from(2);
    };
    for architecture in if architectures.is_empty() { vec![80, 90] } else { architectures } {
        match hh_cuda::precompile(&folder, architecture, |line| println!("{line}")) {
            Ok(count) => println!("sm_{architecture}: {count} kernels in {}", folder.display()),
            Err(e) => {
                eprintln!("precompile: {e}");
                return ExitCode::from(2);
            }
        }
    }
    ExitCode::SUCCESS
}
