//! With libtorch, the tests and the oracle link as `hh-runtime-tch` does; see there.

fn main() {
    let Ok(folder) = std::env::var("DEP_HH_TCH_LIBTORCH") else { return };
    let argument = |argument: &str| println!("cargo::rustc-link-arg={argument}");
    argument(&format!("-Wl,-rpath,{folder}"));
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        [&format!("-L{folder}"), "-Wl,--no-as-needed", "-ltorch", "-Wl,--as-needed"].into_iter().for_each(argument);
    }
}
