//! Tells who depends on this crate where the libtorch lies that it was linked with, for their programs to find it.

fn main() {
    if let Ok(folder) = std::env::var("DEP_TCH_LIBTORCH_LIB").or_else(|_| std::env::var("DEP_TORCH_SYS_LIBTORCH_LIB")) {
        println!("cargo::metadata=libtorch={folder}");
        // And for the tests of this crate itself.
        println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
