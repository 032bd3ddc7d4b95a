//! Compiles kernels by NVRTC, with a cache on disk: once for each source, variant, architecture and driver.

use super::Variant;
use crate::error::DeviceError;
use cudarc::nvrtc::{result, sys};
use sha2::{Digest, Sha256};
use std::{
    ffi::{CString, c_char},
    fs,
    path::PathBuf,
};

/// The sources by their stems.
pub(crate) const SOURCES: [(&str, &str); 20] = [
    ("attend", include_str!("../attend.cu")),
    ("conv", include_str!("../conv.cu")),
    ("convert", include_str!("../convert.cu")),
    ("cross_entropy", include_str!("../cross_entropy.cu")),
    ("embed", include_str!("../embed.cu")),
    ("flow", include_str!("../flow.cu")),
    ("gate", include_str!("../gate.cu")),
    ("hebbian", include_str!("../hebbian.cu")),
    ("memory", include_str!("../memory.cu")),
    ("mix", include_str!("../mix.cu")),
    ("norm", include_str!("../norm.cu")),
    ("optimise", include_str!("../optimise.cu")),
    ("pool", include_str!("../pool.cu")),
    ("random", include_str!("../random.cu")),
    ("recall", include_str!("../recall.cu")),
    ("rotate", include_str!("../rotate.cu")),
    ("scan", include_str!("../scan.cu")),
    ("step", include_str!("../step.cu")),
    ("sums", include_str!("../sums.cu")),
    ("swiglu", include_str!("../swiglu.cu")),
];

const HEADERS: [(&str, &str); 7] = [
    ("common.cuh", include_str!("../common.cuh")),
    ("tile.cuh", include_str!("../tile.cuh")),
    ("pipeline.cuh", include_str!("../pipeline.cuh")),
    ("mask.cuh", include_str!("../mask.cuh")),
    ("lookup.cuh", include_str!("../lookup.cuh")),
    ("carry.cuh", include_str!("../carry.cuh")),
    ("refine.cuh", include_str!("../refine.cuh")),
];

/// The source with its headers inlined.
fn inlined(source: &str) -> String {
    let text = SOURCES.iter().find(|(stem, _)| *stem == source).map_or("", |(_, text)| text);
    let mut out = String::new();
    paste(text, &mut Vec::new(), &mut out);
    out
}

fn paste(text: &str, seen: &mut Vec<&'static str>, out: &mut String) {
    for line in text.lines() {
        let header = HEADERS.iter().find(|(name, _)| line.strip_prefix("#include \"").and_then(|l| l.strip_suffix('"')) == Some(name));
        match header {
            Some((name, _)) if seen.contains(name) => {}
            Some((name, text)) => {
                seen.push(name);
                paste(text, seen, out);
            }
            None if line.starts_with("#pragma once") => {}
            None => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
}

/// Options for NVRTC.
fn options(variant: Variant, architecture: i32) -> Vec<String> {
    let defines = variant.defines();
    let defines = defines.split_whitespace().map(|define| format!("-D{define}"));
    [format!("--gpu-architecture=sm_{architecture}"), "--std=c++17".into(), "--disable-warnings".into()]
        .into_iter()
        .chain(defines)
        .collect()
}

/// The compiled source (a cubin), from the cache if present.
pub(crate) fn cubin(source: &str, variant: Variant, architecture: i32, driver: i32) -> Result<Vec<u8>, DeviceError> {
    let (text, options) = (inlined(source), options(variant, architecture));
    let mut hash = Sha256::new();
    for part in [&text, &options.join(" "), &format!("driver {driver}, compiler {:?}", compiler()?)] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let name: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    let path = cache().map(|folder| folder.join(format!("{source}-{name}.cubin")));
    if let Some(kept) = path.as_ref().and_then(|path| fs::read(path).ok()) {
        return Ok(kept);
    }
    let image = compile(source, &text, &options)?;
    // A cache that cannot be written to costs time, not the run.
    if let Some(path) = path {
        let _ = keep(&path, &image);
    }
    Ok(image)
}

/// Folder of the cache.
fn cache() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("HH_CUDA_CACHE")
        .or_else(|| named("XDG_CACHE_HOME").map(|folder| folder.join("hh-cuda")))
        .or_else(|| named("HOME").map(|home| home.join(".cache").join("hh-cuda")))
        .or_else(|| named("LOCALAPPDATA").map(|folder| folder.join("hh-cuda")))
}

/// Writes a temporary file and renames it: other processes see the whole file or none.
fn keep(path: &std::path::Path, image: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension(format!("{}.part", std::process::id()));
    fs::write(&temporary, image)?;
    fs::rename(&temporary, path)
}

/// Version of the compiler.
fn compiler() -> Result<[i32; 2], DeviceError> {
    let [mut major, mut minor] = [0; 2];
    // SAFETY: NVRTC writes two integers.
    unsafe { sys::nvrtcVersion(&mut major, &mut minor) }.result().map_err(|e| DeviceError::Driver(format!("NVRTC: {e}")))?;
    Ok([major, minor])
}

/// Compiles a source.
pub(crate) fn compile(source: &str, text: &str, options: &[String]) -> Result<Vec<u8>, DeviceError> {
    let [text, name] = [text.to_owned(), format!("{source}.cu")].map(|s| CString::new(s).expect("no zeros in sources"));
    let error = |e: result::NvrtcError| DeviceError::Driver(format!("NVRTC: {e}"));
    let program = result::create_program(&text, Some(&name)).map_err(error)?;
    // SAFETY: the program is the one just created, destroyed once; sizes are NVRTC's own.
    unsafe {
        let outcome = result::compile_program(program, options);
        let image = outcome.map_err(|e| {
            let log = result::get_program_log(program).unwrap_or_default();
            let log: String = log.iter().take_while(|&&c| c != 0).map(|&c| c as u8 as char).collect();
            DeviceError::Driver(format!("NVRTC cannot compile {source}.cu with {}: {e}: {}", options.join(" "), log.trim()))
        });
        let image = image.and_then(|()| {
            let mut size = 0;
            sys::nvrtcGetCUBINSize(program, &mut size).result().map_err(error)?;
            let mut image = vec![0u8; size];
            sys::nvrtcGetCUBIN(program, image.as_mut_ptr().cast::<c_char>()).result().map_err(error)?;
            Ok(image)
        });
        let _ = result::destroy_program(program);
        image
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Variants of a source that the backend launches.
    fn variants(source: &str) -> Vec<Variant> {
        let text = inlined(source);
        if text.contains("HEAD") {
            vec![Variant::Head(false, 32), Variant::Head(true, 64)]
        } else if text.contains("KERNEL") && SOURCES.iter().any(|(stem, text)| *stem == source && text.contains("VEC")) {
            [1, 4, 8].map(Variant::Vec).into()
        } else {
            vec![Variant::Plain]
        }
    }

    #[test]
    fn a_source_has_its_headers_once() {
        let text = inlined("recall");
        assert_eq!(text.matches("struct Tensor {").count(), 1);
        assert!(!text.contains("#include \"common.cuh\"") && text.contains("KERNEL(recall_rows"));
    }

    /// Called by one test per architecture, which run in parallel.
    fn compiles_for(architecture: i32) {
        for (source, _) in SOURCES {
            for variant in variants(source) {
                let options = options(variant, architecture);
                let image = compile(source, &inlined(source), &options).unwrap_or_else(|e| panic!("{e}"));
                assert!(image.starts_with(b"\x7fELF"), "{source} with {}", options.join(" "));
            }
        }
    }

    #[test]
    #[ignore = "needs NVRTC: `cargo xtask ci cuda` installs it"]
    fn every_source_compiles_for_ampere() {
        compiles_for(80);
    }

    #[test]
    #[ignore = "needs NVRTC: `cargo xtask ci cuda` installs it"]
    fn every_source_compiles_for_hopper() {
        compiles_for(90);
    }
}
