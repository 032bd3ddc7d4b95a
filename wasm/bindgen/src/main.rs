//! `bindgen MODULE.wasm FOLDER NAME`: what `wasm-bindgen --target web` does.

use wasm_bindgen_cli_support::Bindgen;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [module, folder, name] = &args[..] else {
        eprintln!("usage: bindgen MODULE.wasm FOLDER NAME");
        std::process::exit(2);
    };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name(name).typescript(true).omit_default_module_path(true);
    if let Err(error) = bindgen.web(true).and_then(|bindgen| bindgen.generate(folder)) {
        eprintln!("bindgen: {error:#}");
        std::process::exit(1);
    }
}
