//! `include/hh.h` is what cbindgen makes of src/; `UPDATE=1` writes it.

use std::{env, fs, path::Path};

#[test]
fn the_header_is_that_of_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let mut made = Vec::new();
    cbindgen::Builder::new().with_crate(root).with_config(config).generate().unwrap().write(&mut made);
    let made = String::from_utf8(made).unwrap().replace("// # Safety\n", "// Required:\n");
    let header = root.join("include/hh.h");
    if env::var_os("UPDATE").is_some() {
        fs::write(&header, &made).unwrap();
    }
    let kept = fs::read_to_string(&header).unwrap_or_default().replace("\r\n", "\n");
    assert!(kept == made, "include/hh.h is stale: UPDATE=1 cargo test -p hh-c --test header");
}
