"""What a newcomer waits for: the first command of the README, and a program of one's own that embeds a sentence.

    python benches/first_use.py [train] [app]       both without arguments; in a clone whose work is committed

train   clones the repository into an empty folder and runs the README's first command there: minutes until it ends
app     makes a program that depends on hh with the feature `english` and embeds one sentence: crates below it, CPU seconds to
        build it from nothing, and milliseconds from its start to its embedding, median of 30 runs with one thread

Downloads of crates are not counted: `cargo fetch` precedes the clock. Needs git, cargo and nothing else.
"""

import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
MANIFEST = """[package]
name = "app"
edition = "2024"

[dependencies]
hh = {{ path = "{root}/hh", features = ["english"] }}

[workspace]
"""
PROGRAM = """fn main() -> Result<(), hh::Error> {
    let embedder = hh::Embedder::english()?.with_threads(1);
    let embedding = embedder.embed(&["Where is the cat?"], &hh::EmbedOptions::default())?;
    println!("{:?}", &embedding.as_f32().expect("f32 is the default")[..4]);
    Ok(())
}
"""


def run(*command, cwd, **more):
    """Runs a command; returns its seconds, and the CPU seconds of it and its children."""
    environment = os.environ | {"CARGO_TARGET_DIR": str(cwd / "target"), "CARGO_INCREMENTAL": "0"}
    cpu = lambda: (lambda used: used.ru_utime + used.ru_stime)(resource.getrusage(resource.RUSAGE_CHILDREN))
    before, began = cpu(), time.perf_counter()
    done = subprocess.run(command, cwd=cwd, env=environment, check=True, text=True, **more)
    return time.perf_counter() - began, cpu() - before, done.stdout


def train(folder):
    clone = folder / "hh"
    run("git", "clone", "--quiet", str(ROOT), str(clone), cwd=folder)
    run("cargo", "fetch", "--quiet", cwd=clone)
    build, cpu, _ = run("cargo", "build", "--quiet", "--release", "-p", "hh-runtime", cwd=clone)
    rest, _, text = run("cargo", "run", "--quiet", "--release", "-p", "hh-runtime", "--", "train", cwd=clone, stdout=subprocess.PIPE)
    print(f"README's first command: {(build + rest) / 60:.1f} min; building {build:.0f} s ({cpu:.0f} s of CPU), the rest {rest:.0f} s")
    print("its last lines:", *text.strip().splitlines()[-3:], sep="\n    ")


def app(folder):
    (folder / "src").mkdir()
    (folder / "Cargo.toml").write_text(MANIFEST.format(root=ROOT))
    (folder / "src/main.rs").write_text(PROGRAM)
    (folder / "Cargo.lock").write_bytes((ROOT / "Cargo.lock").read_bytes())
    run("cargo", "fetch", "--quiet", cwd=folder)
    tree = run("cargo", "tree", "-e", "normal", "--prefix", "none", cwd=folder, stdout=subprocess.PIPE)[2]
    crates = {line.removesuffix(" (*)") for line in tree.splitlines() if line and not line.startswith("app ")}
    wall, cpu, _ = run("cargo", "build", "--quiet", "--release", cwd=folder)
    print(f"an app with hh and english: {len(crates)} crates, built in {cpu:.0f} s of CPU ({wall:.0f} s)")
    program = str(folder / "target/release/app")
    times = [run(program, cwd=folder, stdout=subprocess.PIPE)[0] for _ in range(30)]
    print(f"its start to its embedding: {1e3 * statistics.median(times):.1f} ms (least {1e3 * min(times):.1f} ms)")


if __name__ == "__main__":
    chosen = sys.argv[1:] or ["train", "app"]
    if unknown := set(chosen) - {"train", "app"}:
        sys.exit(f"{', '.join(sorted(unknown))}: no such part\n\n{__doc__}")
    for part in chosen:
        with tempfile.TemporaryDirectory() as folder:
            {"train": train, "app": app}[part](pathlib.Path(folder))
