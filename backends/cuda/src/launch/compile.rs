//! Compiles kernels by NVRTC, with a cache on disk: once for each source, variant and architecture.

use super::{
    Variant, detect,
    images::{Compiler, Key, on_all_cores},
    sources::{all, inlined},
    toolkit,
};
use crate::error::DeviceError;
use cudarc::nvrtc::{result, sys};
use sha2::{Digest, Sha256};
use std::{
    ffi::{CString, c_char},
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

/// What NVRTC compiles to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Target {
    /// Machine code of an architecture.
    Cubin(i32),
    /// PTX of an architecture, which the driver compiles for newer ones.
    Ptx(i32),
}

impl Target {
    /// PTX if the architecture is newer than all `known` to the compiler.
    fn of(architecture: i32, known: &[i32]) -> Self {
        match known.iter().copied().filter(|&n| n <= architecture).max() {
            Some(newest) if newest < architecture => Self::Ptx(newest),
            _ => Self::Cubin(architecture),
        }
    }

    fn option(self) -> String {
        match self {
            Self::Cubin(architecture) => format!("--gpu-architecture=sm_{architecture}"),
            Self::Ptx(architecture) => format!("--gpu-architecture=compute_{architecture}"),
        }
    }
}

/// Options for NVRTC.
fn options(variant: Variant, target: Target) -> Vec<String> {
    let defines = variant.defines();
    let defines = defines.split_whitespace().map(|define| format!("-D{define}"));
    [target.option(), "--std=c++17".into(), "--disable-warnings".into()].into_iter().chain(defines).collect()
}

/// NVRTC with a cache on disk.
pub(crate) struct Nvrtc {
    /// Compute capability times ten.
    pub(crate) architecture: i32,
    /// Folder of the cache.
    pub(crate) cache: Option<PathBuf>,
}

impl Nvrtc {
    /// With the user's cache.
    pub(crate) fn new(architecture: i32) -> Self {
        Self { architecture, cache: cache() }
    }

    /// File of an image, named by its source and options: images of one name are interchangeable.
    fn path(&self, (source, variant): Key, target: Target) -> Option<PathBuf> {
        let mut hash = Sha256::new();
        for part in [inlined(source), options(variant, target).join(" ")] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let name: String = hash.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect();
        Some(self.cache.as_ref()?.join(format!("{source}-{name}.cubin")))
    }

    fn target(&self) -> Target {
        Target::of(self.architecture, &known())
    }
}

impl Compiler for Nvrtc {
    /// Machine code for the architecture is looked for before NVRTC is asked what it can compile to, so that precompiled kernels are
    /// used whatever NVRTC is installed.
    fn cached(&self, key: Key) -> Option<Vec<u8>> {
        let read = |target| fs::read(self.path(key, target)?).ok().filter(|image| is_image(image));
        read(Target::Cubin(self.architecture)).or_else(|| read(self.target()))
    }

    fn compile(&self, key: Key) -> Result<Vec<u8>, DeviceError> {
        let target = self.target();
        let image = compile(key.0, &inlined(key.0), &options(key.1, target), target)?;
        // A cache that cannot be written to costs time, not the run.
        if let Some(path) = self.path(key, target) {
            let _ = keep(&path, &image);
        }
        Ok(image)
    }

    /// Lookups of heads of a width are used together; all else is used by every model.
    fn along(&self, key: Key) -> Vec<Key> {
        match key.1 {
            Variant::Head(..) => ["attend", "recall"].map(|stem| (stem, key.1)).into_iter().filter(|&other| other != key).collect(),
            _ => {
                let mut keys = all();
                keys.retain(|&other| other != key && !matches!(other.1, Variant::Head(..)));
                keys.sort_by_key(|(_, variant)| matches!(variant, Variant::Vec(1 | 4)));
                keys
            }
        }
    }
}

/// Whether a file is machine code or PTX, and not cut short at its start.
fn is_image(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF") || bytes.starts_with(b"//")
}

/// Compiles all kernels for GPUs of an architecture (compute capability times ten) into a folder, on all cores; with
/// `HH_CUDA_CACHE` set to the folder nothing is compiled on those GPUs. Needs NVRTC, but no driver and no GPU. `each` is called
/// with the description of each kernel once it is there. Files that are there already are kept. Returns the number of files.
///
/// # Errors
/// [`DeviceError`]: no NVRTC, an architecture that it does not know, or a folder that cannot be written to.
pub fn precompile(folder: &Path, architecture: i32, each: impl Fn(&str) + Sync) -> Result<usize, DeviceError> {
    detect::compiler()?;
    if !known().contains(&architecture) {
        return Err(DeviceError::Unsupported(format!("sm_{architecture}: NVRTC knows {:?}", known())));
    }
    let (keys, nvrtc) = (all(), Nvrtc { architecture, cache: Some(folder.into()) });
    on_all_cores(&keys, |key| {
        let began = Instant::now();
        if nvrtc.cached(key).is_none() {
            nvrtc.compile(key)?;
            let path = nvrtc.path(key, nvrtc.target()).filter(|path| path.exists());
            path.ok_or_else(|| DeviceError::Driver(format!("{} cannot be written to", folder.display())))?;
        }
        each(&format!("sm_{architecture}: {}.cu {}, {:.1} s", key.0, key.1.defines(), began.elapsed().as_secs_f64()));
        Ok(())
    })?;
    Ok(keys.len())
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
fn keep(path: &Path, image: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension(format!("{}.part", std::process::id()));
    fs::write(&temporary, image)?;
    fs::rename(&temporary, path)
}

/// Architectures that the compiler knows; none if it is missing.
fn known() -> Vec<i32> {
    let mut count = 0;
    // SAFETY: presence of the library is checked first; NVRTC writes one integer, then as many as that.
    unsafe {
        if !sys::is_culib_present() || sys::nvrtcGetNumSupportedArchs(&mut count).result().is_err() {
            return Vec::new();
        }
        let mut known = vec![0; count.max(0) as usize];
        if sys::nvrtcGetSupportedArchs(known.as_mut_ptr()).result().is_ok() { known } else { Vec::new() }
    }
}

/// Compiles a source that uses nothing, to find out whether the compiler works.
///
/// # Errors
/// [`DeviceError`]: no NVRTC, or NVRTC without its built-in functions.
pub fn check_compiler() -> Result<(), DeviceError> {
    detect::compiler()?;
    let target = Target::Cubin(80);
    compile("empty", "", &options(Variant::Plain, target), target).map(drop)
}

/// Compiles a source.
fn compile(source: &str, text: &str, options: &[String], target: Target) -> Result<Vec<u8>, DeviceError> {
    detect::compiler()?;
    let [text, name] = [text.to_owned(), format!("{source}.cu")].map(|s| CString::new(s).expect("no zeros in sources"));
    let error = |e: result::NvrtcError| DeviceError::Driver(format!("NVRTC: {e}"));
    let program = result::create_program(&text, Some(&name)).map_err(error)?;
    // SAFETY: the program is the one just created, destroyed once; sizes are NVRTC's own.
    unsafe {
        let outcome = result::compile_program(program, options);
        let image = outcome.map_err(|e| {
            let log = result::get_program_log(program).unwrap_or_default();
            let log: String = log.iter().take_while(|&&c| c != 0).map(|&c| c as u8 as char).collect();
            if e.0 == sys::nvrtcResult::NVRTC_ERROR_BUILTIN_OPERATION_FAILURE || log.contains("libnvrtc-builtins") {
                return DeviceError::NoLibrary { name: "libnvrtc-builtins, which libnvrtc loads,", folder: toolkit::folder() };
            }
            DeviceError::Driver(format!("NVRTC cannot compile {source}.cu with {}: {e}: {}", options.join(" "), log.trim()))
        });
        let image = image.and_then(|()| {
            let mut size = 0;
            match target {
                Target::Cubin(_) => sys::nvrtcGetCUBINSize(program, &mut size),
                Target::Ptx(_) => sys::nvrtcGetPTXSize(program, &mut size),
            }
            .result()
            .map_err(error)?;
            let mut image = vec![0u8; size];
            let to = image.as_mut_ptr().cast::<c_char>();
            match target {
                Target::Cubin(_) => sys::nvrtcGetCUBIN(program, to),
                Target::Ptx(_) => sys::nvrtcGetPTX(program, to),
            }
            .result()
            .map_err(error)?;
            Ok(image)
        });
        let _ = result::destroy_program(program);
        image
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::sources::{SOURCES, variants};

    #[test]
    fn a_gpu_newer_than_the_compiler_gets_ptx_of_the_newest_known() {
        let known = [75, 80, 90, 120];
        assert_eq!(Target::of(90, &known), Target::Cubin(90));
        assert_eq!(Target::of(130, &known), Target::Ptx(120));
        assert_eq!(Target::of(86, &known).option(), "--gpu-architecture=compute_80");
        assert_eq!(Target::of(90, &[]), Target::Cubin(90), "without a compiler, precompiled kernels are looked for");
    }

    #[test]
    fn a_precompiled_kernel_is_read_and_a_broken_file_is_not() {
        let folder = std::env::temp_dir().join(format!("hh-cuda-{}", std::process::id()));
        let nvrtc = Nvrtc { architecture: 90, cache: Some(folder.clone()) };
        let key = ("norm", Variant::Vec(8));
        let path = nvrtc.path(key, Target::Cubin(90)).unwrap();
        assert_eq!(nvrtc.cached(key), None);
        keep(&path, b"").unwrap();
        assert_eq!(nvrtc.cached(key), None);
        keep(&path, b"\x7fELF").unwrap();
        assert_eq!(nvrtc.cached(key).unwrap(), b"\x7fELF");
        assert_eq!(Nvrtc { architecture: 80, cache: Some(folder.clone()) }.cached(key), None, "of another architecture");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn every_source_has_its_variants_and_the_slowest_come_first() {
        let keys = all();
        assert!(SOURCES.iter().all(|(stem, _)| keys.iter().any(|(of, _)| of == stem)));
        assert_eq!(keys[0].1, Variant::Head(false, 128));
        let nvrtc = Nvrtc { architecture: 90, cache: None };
        assert_eq!(nvrtc.along(("recall", Variant::Head(true, 64))), [("attend", Variant::Head(true, 64))]);
        assert_eq!(nvrtc.along(("norm", Variant::Vec(8))).len(), keys.len() - 3 * 8 - 1);
    }

    /// Called by one test per architecture, which run in parallel.
    fn compiles_for(architecture: i32) {
        for (source, _) in SOURCES {
            let few = |variant: &Variant| {
                !matches!(variant, Variant::Head(..)) || [Variant::Head(false, 32), Variant::Head(true, 64)].contains(variant)
            };
            for variant in variants(source).into_iter().filter(few) {
                let target = Target::Cubin(architecture);
                let options = options(variant, target);
                let image = compile(source, &inlined(source), &options, target).unwrap_or_else(|e| panic!("{e}"));
                assert!(image.starts_with(b"\x7fELF"), "{source} with {}", options.join(" "));
            }
        }
    }

    #[test]
    #[ignore = "needs NVRTC: `cargo xtask ci cuda` installs it"]
    fn the_compiler_says_what_it_knows_and_writes_ptx() {
        check_compiler().unwrap();
        assert!(known().contains(&80) && known().contains(&90), "{:?}", known());
        let target = Target::Ptx(90);
        let image = compile("norm", &inlined("norm"), &options(Variant::Vec(8), target), target).unwrap();
        assert!(is_image(&image) && image.ends_with(&[0]), "the driver wants a zero at the end");
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
