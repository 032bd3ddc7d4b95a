//! With libtorch, the test binary finds it where it was found when building.

fn main() {
    if let Ok(folder) = std::env::var("DEP_HH_TCH_LIBTORCH") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
