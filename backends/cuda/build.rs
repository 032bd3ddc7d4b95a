//! With feature `emulate`, compiles the kernels as C++ for the emulated device.

#[cfg(not(feature = "emulate"))]
fn main() {}

#[cfg(feature = "emulate")]
fn main() {
    let files = ["src", "src/emulate"].into_iter().flat_map(|folder| std::fs::read_dir(folder).expect("the sources"));
    for path in files.map(|file| file.expect("a source").path()).filter(|path| path.is_file() && path.extension().is_none_or(|e| e != "rs"))
    {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let compiler = || {
        let mut build = cc::Build::new();
        build.cpp(true).std("c++17").opt_level(2).define("HH_EMULATE", None).include("src").warnings(true).extra_warnings(true);
        build.flag_if_supported("-Wno-unknown-pragmas").flag_if_supported("-Wno-unused-function").cargo_metadata(false);
        build
    };
    let mut objects = ["device", "kernels", "planted"]
        .iter()
        .fold(&mut compiler(), |build, stem| build.file(format!("src/emulate/{stem}.cpp")))
        .compile_intermediates();
    let heads = ["float", "bf16"].into_iter().flat_map(|real| ["16", "32", "64", "128"].map(|head| (real, head)));
    for (real, head) in heads {
        // All objects have the same source: each needs a separate folder.
        let folder = format!("{}/{real}-{head}", std::env::var("OUT_DIR").expect("cargo sets it"));
        std::fs::create_dir_all(&folder).expect("memory for objects");
        objects.extend(
            compiler().out_dir(folder).define("REAL", real).define("HEAD", head).file("src/emulate/heads.cpp").compile_intermediates(),
        );
    }
    let mut library = cc::Build::new();
    objects.iter().for_each(|object| {
        library.object(object);
    });
    library.cargo_metadata(false).compile("hh_emulate");
    println!("cargo::rustc-link-search=native={}", std::env::var("OUT_DIR").expect("cargo sets it"));
    // Kernels register themselves at program start and are not referenced by symbol: link the whole archive.
    println!("cargo::rustc-link-lib=static:+whole-archive=hh_emulate");
    println!("cargo::rustc-link-lib=stdc++");
}
