//! Passes the folder of the linked libtorch to dependent crates, so that their programs find it at run time.

fn main() {
    if let Ok(folder) = std::env::var("DEP_TCH_LIBTORCH_LIB").or_else(|_| std::env::var("DEP_TORCH_SYS_LIBTORCH_LIB")) {
        println!("cargo::metadata=libtorch={folder}");
        // For this crate's own tests.
        println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
