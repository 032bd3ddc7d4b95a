//! With libtorch, the program finds it where it was found when building; `LD_LIBRARY_PATH` goes before that.

fn main() {
    let Ok(folder) = std::env::var("DEP_HH_TCH_LIBTORCH") else { return };
    let argument = |argument: &str| println!("cargo::rustc-link-arg-bin=hh-runtime-tch={argument}");
    argument(&format!("-Wl,-rpath,{folder}"));
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        // Nothing here calls into libtorch's CUDA half; libtorch.so, which does nothing but name both halves, brings it.
        [&format!("-L{folder}"), "-Wl,--no-as-needed", "-ltorch", "-Wl,--as-needed"].into_iter().for_each(argument);
    }
}
