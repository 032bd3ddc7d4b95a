"""Sentences per second through the Python package, against the program, and against sentence-transformers in the same engine.

    python benches/python.py PROGRAM [--rows N] [--runs N] [--threads N] [--minilm FOLDER]

This Python needs hh and polars; with --minilm, the folder of all-MiniLM-L6-v2, also sentence-transformers. PROGRAM has the feature tables.
Runs alternate (A B A B ...). Rates are of wall-clock time and of CPU time, which other work on the machine changes less; printed are medians.
"""
import argparse, os, resource, statistics, subprocess, sys, tempfile, time
from pathlib import Path

import hh
import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1] / "python/engines"))
import check
import polars_batches


def timed(work):
    """Seconds of wall-clock time and of CPU time, children's included."""
    def cpu():
        both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in both)

    wall, used = time.monotonic(), cpu()
    work()
    return time.monotonic() - wall, cpu() - used


def minilm(folder, threads):
    """all-MiniLM-L6-v2 as an engine calls it."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    model = SentenceTransformer(str(folder), device="cpu")

    class Encoder:
        dim = model.get_embedding_dimension()

        def embed_arrow(self, column):
            vectors = model.encode(column.to_list(), batch_size=64, show_progress_bar=False)
            return pl.Series(column.name, vectors, dtype=pl.Array(pl.Float32, self.dim))

    return Encoder()


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("program")
    args.add_argument("--rows", type=int, default=10_000)
    args.add_argument("--runs", type=int, default=5)
    args.add_argument("--threads", type=int, default=1)
    args.add_argument("--minilm", type=Path)
    args = args.parse_args()
    os.environ["POLARS_MAX_THREADS"] = str(args.threads)
    table = pl.from_arrow(check.rows(args.rows)).filter(pl.col("text").str.strip_chars() != "")
    texts, few = table["text"].to_list(), table.head(args.rows // 20)
    embedder = hh.Embedder("english", threads=args.threads)
    with tempfile.TemporaryDirectory() as folder:
        all_rows, one_row, few_rows = (f"{folder}/{name}.parquet" for name in ("all", "one", "few"))
        table.write_parquet(all_rows), table.head(1).write_parquet(one_row), few.write_parquet(few_rows)

        def program(rows):
            words = ["embed", "--input", rows, "--output", f"{folder}/out.npy", "--force", "--threads", str(args.threads)]
            subprocess.run([args.program, *words], check=True, capture_output=True)

        def engine(model, rows):
            polars_batches.embed(model, rows, f"{folder}/out.parquet")

        runs = {
            "hh-runtime embed": (len(texts), lambda: program(all_rows)),
            "its start": (0, lambda: program(one_row)),
            "Embedder.embed": (len(texts), lambda: embedder.embed(texts)),
            "polars, hh": (len(texts), lambda: engine(embedder, all_rows)),
        }
        if args.minilm:
            peer = minilm(args.minilm, args.threads)
            runs["polars, MiniLM"] = (len(few), lambda: engine(peer, few_rows))
        times = {name: [] for name in runs}
        for run in range(args.runs + 1):
            for name, (_, work) in runs.items():
                seconds = timed(work)
                if run:  # the first run warms up
                    times[name].append(seconds)
        middle = {name: [statistics.median(column) for column in zip(*seconds)] for name, seconds in times.items()}
        start = middle.pop("its start")
        middle["hh-runtime embed"] = [all - one for all, one in zip(middle["hh-runtime embed"], start)]
        rates = {name: [runs[name][0] / seconds for seconds in pair] for name, pair in middle.items()}
        print(f"{'':<18} {'per second':>10} {'per CPU second':>14}")
        for name, pair in rates.items():
            print(f"{name:<18} {pair[0]:>10.0f} {pair[1]:>14.0f}")
        pairs = [("Embedder.embed", "hh-runtime embed"), ("polars, hh", "polars, MiniLM")]
        for a, b in (pair for pair in pairs if pair[1] in rates):
            print(f"{a} / {b}: {rates[a][0] / rates[b][0]:.2f} x, of CPU time {rates[a][1] / rates[b][1]:.2f} x")


if __name__ == "__main__":
    main()
