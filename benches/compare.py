"""Compares hh with its peers, in one run on one machine.

    python benches/compare.py REFERENCE_DIR [--data TINYSHAKESPEARE] [--runs N] [--threads N]

REFERENCE_DIR holds reference.py and configs/; this Python needs torch, safetensors, numpy. Builds the release programs,
then runs hh and the peer alternating (A B A B …), prints medians, ratios and peak memory, and writes them to figures.json.
With --data it also trains char-0.8m for 2000 steps of 12 x 64 (minutes).
"""
import argparse, json, os, re, statistics, subprocess, sys, tempfile, time

from measure import HERE, print, run


def alternate(runs, **commands):
    """Runs the commands alternating. Returns, by name, the median of the first tokens/s or steps/s printed and the peak memory in MB."""
    rates, memory = {k: [] for k in commands}, {k: 0.0 for k in commands}
    for _ in range(runs):
        for name, command in commands.items():
            out, peak = run(command)
            rates[name].append(float(re.search(r"([\d.]+) (?:tokens|steps)/s", out).group(1)))
            memory[name] = max(memory[name], peak)
    return {k: (statistics.median(v), memory[k]) for k, v in rates.items()}


def has_bf16():
    """Whether the CPU has bf16 instructions; without them the peer takes minutes per step."""
    with open("/proc/cpuinfo") as f:
        flags = f.read()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def first_token(program, threads):
    """Milliseconds from program start to the first token of a 4.5M checkpoint: the median of 20 starts."""
    with tempfile.TemporaryDirectory() as folder:
        text = os.path.join(folder, "corpus.txt")
        run([program, "data", "builtin", "--out", text])
        run([program, "train", "--preset", "char-4.5m", "--data", text, "--steps", "1", "--batch", "1", "--context", "32",
             "--eval-tokens", "64", "--out", os.path.join(folder, "run"), "--threads", str(threads)])
        times = []
        for _ in range(20):
            start = time.perf_counter()
            child = subprocess.Popen([program, "sample", os.path.join(folder, "run"), "--prompt", "The", "--tokens", "64"],
                                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            child.stdout.read(4)
            times.append((time.perf_counter() - start) * 1e3)
            child.stdout.read(); child.wait()
        return statistics.median(times)


def main():
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("reference"); top.add_argument("--data"); top.add_argument("--runs", type=int, default=3)
    top.add_argument("--threads", type=int, default=2)
    a = top.parse_args()
    run(["cargo", "build", "--release", "-p", "hh-benches", "-p", "hh-runtime"])
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(HERE, "target"))
    ours, program = os.path.join(target, "release", "throughput"), os.path.join(target, "release", "hh-runtime")
    reference, n = os.path.join(a.reference, "reference.py"), str(a.threads)
    config = lambda name: os.path.join(a.reference, "configs", name + ".json")
    shape = ["--batch", "8", "--len", "256", "--threads", n]
    peer = [sys.executable, reference, "bench"]
    figures = {}

    commands = dict(hh=[ours, "train", "char-4.5m", *shape], reference=[*peer, config("char-4.5m"), *shape],
                    hh_gpt=[ours, "train", "gpt-4.5m", *shape], gpt=[*peer, config("gpt-4.5m"), *shape])
    if has_bf16():
        commands["bf16"] = [*peer, config("char-4.5m"), *shape, "--bf16"]
    r = alternate(a.runs, **commands)
    for name, (rate, memory) in r.items():
        figures["train " + name] = {"tokens/s": rate, "peak MB": round(memory)}
        print(f"train 8x256  {name:10} {rate:8.0f} tokens/s  {memory:6.0f} MB")
    bf16 = f", {r['hh'][0] / r['bf16'][0]:.2f} x in bf16" if "bf16" in r else " (no bf16 instructions on this machine)"
    print(f"char-4.5m: {r['hh'][0] / r['reference'][0]:.2f} x the reference in f32{bf16}; memory {r['hh'][1] / r['reference'][1]:.2f} x; "
          f"gpt-4.5m: {r['hh_gpt'][0] / r['gpt'][0]:.2f} x")

    for name, threads in [("bpe-97m", n), ("bpe-97m", "1"), ("char-4.5m", n)]:
        out, _ = run([ours, "decode", name, "--threads", threads, "--steps", "40" if name == "bpe-97m" else "400"])
        figures[f"decode {name} {threads} threads"] = out.strip()
        print(f"decode {name}: {out.strip()}")

    figures["start to first token, ms"] = first_token(program, a.threads)
    print(f"start to first token, char-4.5m: {figures['start to first token, ms']:.1f} ms")

    if a.data:
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "run")
            start = time.perf_counter()
            run([program, "train", "--preset", "char-0.8m", "--data", a.data, "--steps", "2000", "--batch", "12", "--context", "64",
                 "--out", out, "--threads", n])
            seconds = time.perf_counter() - start
            text, _ = run([program, "eval", out, "--data", a.data, "--context", "64", "--json"])
            figures["char-0.8m, 2000 x 12 x 64"] = {"eval": json.loads(text), "seconds": round(seconds, 1)}
            print(f"char-0.8m, 2000 steps of 12 x 64: {text.strip()} in {seconds:.0f} s (nanoGPT, same budget: 1.88)")
    with open("figures.json", "w") as f:
        json.dump(figures, f, indent=1)


main()
