//! Folders with the libraries of CUDA 13, for messages about libraries that the loader does not find.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Starts the name of the library that libnvrtc loads by itself, and that is found least often.
const BUILTINS: &str = "libnvrtc-builtins.so.13";

/// The first folder with NVRTC's libraries: of the library that is loaded, of the toolkit, or of a Python environment.
pub(super) fn folder() -> Option<PathBuf> {
    let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let toolkits = ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT"].into_iter().filter_map(named);
    let toolkits = toolkits.chain(["/usr/local/cuda-13", "/usr/local/cuda"].map(PathBuf::from)).map(|toolkit| toolkit.join("lib64"));
    let local = named("HOME").map(|home| home.join(".local"));
    let environments = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(named).chain(local);
    let environments = environments.chain(["/usr/local", "/usr", "/opt/conda"].map(PathBuf::from));
    loaded().into_iter().chain(toolkits).chain(environments.flat_map(|environment| wheels(&environment))).find(|folder| complete(folder))
}

/// The folder that libnvrtc was loaded from.
fn loaded() -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.contains("/libnvrtc.so"))?;
    Path::new(&line[line.find('/')?..]).parent().map(Path::to_path_buf)
}

/// Folders of NVIDIA's wheels in a Python environment, `lib/python3.N/site-packages/nvidia/cu13/lib`.
fn wheels(environment: &Path) -> Vec<PathBuf> {
    let pythons = fs::read_dir(environment.join("lib")).into_iter().flatten().flatten().map(|entry| entry.path());
    let pythons = pythons.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python3")));
    pythons.flat_map(|python| ["site-packages", "dist-packages"].map(|packages| python.join(packages).join("nvidia/cu13/lib"))).collect()
}

fn complete(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with(BUILTINS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libraries_of_a_python_environment_are_found() {
        let root = env::temp_dir().join(format!("hh-toolkit-{}", std::process::id()));
        let lib = root.join("lib/python3.12/site-packages/nvidia/cu13/lib");
        fs::create_dir_all(&lib).unwrap();
        let found = || wheels(&root).into_iter().find(|folder| complete(folder));
        assert_eq!(found(), None, "without the library");
        fs::write(lib.join("libnvrtc-builtins.so.13.0"), "").unwrap();
        assert_eq!(found(), Some(lib));
        fs::remove_dir_all(root).unwrap();
    }
}
