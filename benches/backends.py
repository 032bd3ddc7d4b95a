"""Compares the backends with each other and with the reference, in one run on one machine.

    python benches/backends.py REFERENCE_DIR --data TINYSHAKESPEARE [--backends cpu,tch:cpu] [--runs N] [--threads N]

REFERENCE_DIR holds reference.py and configs/; this Python needs torch and safetensors. The environment variable PROGRAM names an
hh-runtime built with the backends (`cargo build --release -p hh-runtime --features tch`); default target/release/hh-runtime.
Trains char-4.5m at 8 x 256 for a few steps on each backend, alternating (A B A B ...), and prints median tokens/s and peak memory.
Then trains char-0.8m for 200 steps on each backend from one seed, at a learning rate without loss spikes (a spike would amplify
rounding), and prints the largest difference between the validation curves.
"""
import argparse, json, os, re, statistics, sys, tempfile

from measure import HERE, print, run

PROGRAM = os.environ.get("PROGRAM", os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(HERE, "target")), "release", "hh-runtime"))


def lines(folder):
    with open(os.path.join(folder, "metrics.jsonl")) as f:
        return [json.loads(line) for line in f]


def train(backend, a, folder, *flags):
    """The lines of metrics.jsonl of a short run, and its peak memory in MB."""
    out = os.path.join(folder, "run")
    _, memory = run([PROGRAM, "train", "--data", a.data, "--backend", backend, "--threads", str(a.threads), "--out", out, *flags])
    return lines(out), memory


def speed(backend, a):
    """Median tokens/s of the second half of the steps (after warm-up), and peak memory in MB."""
    shape = ["--preset", "char-4.5m", "--batch", "8", "--context", "256", "--steps", "8", "--log-every", "1", "--eval-tokens", "300",
             "--eval-every", "8", "--holdout", "0.001"]
    with tempfile.TemporaryDirectory() as folder:
        steps, memory = train(backend, a, folder, *shape)
        return statistics.median(l["tokens_per_second"] for l in steps if "tokens_per_second" in l and l["step"] > 4), memory


def reference(a):
    config = os.path.join(a.reference, "configs", "char-4.5m.json")
    out, memory = run([sys.executable, os.path.join(a.reference, "reference.py"), "bench", config, "--batch", "8", "--len", "256",
                       "--threads", str(a.threads)])
    return float(re.search(r"([\d.]+) tokens/s", out).group(1)), memory


def curve(backend, a):
    shape = ["--preset", "char-0.8m", "--batch", "8", "--context", "64", "--steps", "200", "--eval-every", "20", "--eval-tokens", "5000",
             "--holdout", "0.02", "--lr", "1e-3", "--warmup", "20"]
    with tempfile.TemporaryDirectory() as folder:
        return {l["step"]: l["validation"] for l in train(backend, a, folder, *shape)[0] if "validation" in l and not l.get("whole")}


def main():
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("reference"); top.add_argument("--data", required=True); top.add_argument("--backends", default="cpu,tch:cpu")
    top.add_argument("--runs", type=int, default=3); top.add_argument("--threads", type=int, default=2)
    a = top.parse_args()
    a.data = os.path.abspath(a.data)
    backends = a.backends.split(",")

    found = {name: [] for name in [*backends, "reference"]}
    for _ in range(a.runs):
        for name in found:
            found[name].append(reference(a) if name == "reference" else speed(name, a))
    base = statistics.median(rate for rate, _ in found["reference"])
    for name, runs in found.items():
        rate = statistics.median(rate for rate, _ in runs)
        print(f"train char-4.5m 8x256  {name:10} {rate:8.0f} tokens/s  {rate / base:.2f} x the reference  {max(m for _, m in runs):6.0f} MB")

    curves = {name: curve(name, a) for name in backends}
    first = curves[backends[0]]
    print("step       " + "  ".join(f"{step:6}" for step in first))
    for name, points in curves.items():
        print(f"{name:10} " + "  ".join(f"{nll:.5f}" for nll in points.values()))
        if name != backends[0]:
            worst = max(abs(points[step] - first[step]) for step in first)
            print(f"largest difference of validation nll from {backends[0]}: {worst:.1e} over {max(first)} steps")


main()
