//! `cargo xtask c`: the C interface, its programs compiled by a C compiler with its sanitizers and compared with the program.

use crate::run::{cargo, output, program, root, target};
use std::{env, fs, path::Path};

const MODEL: &str = "firmware/model.safetensors";
const PROMPT: &str = "ROMEO:\n";
/// What Rust's standard library needs of the system, which `rustc --print native-static-libs` says.
const SYSTEM: [&str; 3] = ["-lpthread", "-ldl", "-lm"];
/// The warnings of careful users, as errors, and the sanitizers for addresses, leaks and undefined behaviour.
const STRICT: [&str; 6] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-fsanitize=address,undefined"];

/// Builds the libraries, compiles and runs the programs of c/ with them; with `--go` the one in Go as well.
///
/// # Errors
/// The first command that fails, or an output that is not what the program on this machine prints.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let go = match words {
        [] => false,
        ["--go"] => true,
        _ => return Err("cargo xtask c takes --go or nothing".into()),
    };
    cargo(["test", "--release", "-p", "hh-c"]).run()?;
    cargo(["build", "--release", "-p", "hh-c"]).run()?;
    cargo(["build", "--release", "--bin", "hh-runtime"]).run()?;

    let folder = target().join("c");
    fs::create_dir_all(&folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
    let libraries = target().join("release");
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".into());
    let compile = |name: &str, source: &str, language: &[&str], library: &str| {
        let out = shown(&folder.join(name));
        let words = [language, &STRICT, &["-Ic/include", "-o", &out, source, "-x", "none", library], &SYSTEM].concat();
        program(&compiler, words).run().map(|()| out)
    };
    let (archive, shared) = (shown(&libraries.join("libhh.a")), shown(&libraries.join("libhh.so")));
    let c = ["-std=c99", "-x", "c"];
    let embed = compile("embed", "c/examples/embed.c", &c, &archive)?;
    let generate = compile("generate", "c/examples/generate.c", &c, &archive)?;
    let misuse = compile("misuse", "c/tests/misuse.c", &c, &archive)?;
    // The header in C++, and the shared library.
    let plus = compile("embed-cpp", "c/examples/embed.c", &["-std=c++17", "-x", "c++"], &shared)?;

    program(&misuse, [MODEL]).run()?;
    let scores = output(&embed, &[])?;
    print!("{scores}");
    expect("embed.c with the shared library", &output_with(&plus, &libraries)?, &scores)?;
    let cosine = |line: &str| line.split(' ').next().and_then(|number| number.parse::<f32>().ok()).unwrap_or(f32::NAN);
    let mut cosines = scores.lines().map(cosine);
    if !matches!((cosines.next(), cosines.next()), (Some(cat), Some(shares)) if cat > shares + 0.2) {
        return Err(format!("embed.c should find the cat:\n{scores}"));
    }

    let text = output(&generate, &[MODEL, PROMPT])?;
    print!("{text}");
    let runtime = shown(&libraries.join("hh-runtime"));
    let sample = ["sample", MODEL, "--prompt", PROMPT, "--tokens", "100", "--temperature", "0.8", "--seed", "1"];
    let (first, rest) = text.split_once("\n-- ").ok_or("generate.c ended before its state")?;
    expect("generate.c", first.trim_end(), output(&runtime, &sample)?.trim_end())?;
    let twice = rest.split_once('\n').map_or("", |(_, twice)| twice);
    let (one, other) = twice.split_at_checked(twice.len() / 2).ok_or("generate.c printed no UTF-8 twice")?;
    expect("generate.c after the second restore", other, one)?;

    if go {
        let step = program("go", ["run", ".", &shown(&root().join(MODEL)), PROMPT]).within("c/examples/go");
        step.env("CGO_LDFLAGS", &format!("-L{}", libraries.display())).env("LD_LIBRARY_PATH", &shown(&libraries)).run()?;
    }
    Ok(())
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The output of a program that is linked with the shared library of this folder.
fn output_with(name: &str, libraries: &Path) -> Result<String, String> {
    output("env", &[&format!("LD_LIBRARY_PATH={}", libraries.display()), name])
}

fn expect(what: &str, said: &str, wanted: &str) -> Result<(), String> {
    if said == wanted { Ok(()) } else { Err(format!("{what} printed\n{said}\nand this machine's program\n{wanted}")) }
}
