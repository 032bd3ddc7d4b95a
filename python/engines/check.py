"""Runs the same rows through engines and compares each row with the program's.

    python python/engines/check.py PROGRAM [ENGINE...]

An engine is a file of this folder with a function ``embed(embedder, source, target)``: reads the Parquet file `source` with the columns
id and text, and writes `target` with the column embedding besides. Those that run in several processes have one of them killed.
"""

from __future__ import annotations

import importlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import hh
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 10_000
# A multiple of the program's 512: parts of a file that an engine reads begin where batches do.
GROUP = 2048
SUBJECTS = "a cat|the old market|my neighbour|a river in spring|the young engineer|every second train|an orchestra".split("|")
VERBS = "sells|paints|waits for|has never seen|remembers|is far from|carries".split("|")
OBJECTS = "noodles|a blue guitar|the bank of England|warm bread|the last train to Zürich|a box of letters|nothing at all".split("|")


def rows(count: int) -> pa.Table:
    """Texts of one to five clauses, in which some are null, blank, or the same as another."""
    draw = random.Random(1)
    clause = lambda: " ".join(draw.choice(words) for words in (SUBJECTS, VERBS, OBJECTS))
    texts = [", and ".join(clause() for _ in range(draw.randint(1, 5))) + "." for _ in range(count)]
    for i in range(0, count, 97):
        texts[i] = (None, " ", "", texts[0])[i % 4]
    return pa.table({"id": pa.array(range(count), pa.int64()), "text": pa.array(texts, pa.string())})


class Killed:
    """An embedder whose process is killed once, in the middle of the rows."""

    def __init__(self, embedder: hh.Embedder, flag: Path) -> None:
        self.embedder, self.flag, self.dim = embedder, flag, embedder.dim

    def embed_arrow(self, column, **options):
        self._kill()
        return self.embedder.embed_arrow(column, **options)

    def embed(self, texts, **options):
        self._kill()
        return self.embedder.embed(texts, **options)

    def _kill(self) -> None:
        calls = os.open(self.flag, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(calls, b".")
        # The sixth call of all processes, each of which adds a byte.
        if os.fstat(calls).st_size == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        os.close(calls)


@contextmanager
def ray_of_two():
    import ray

    # Its workers would have the lowest priority, and their rate would be that of what else runs.
    os.environ["RAY_worker_niceness"] = "0"
    ray.init(num_cpus=4, object_store_memory=1 << 30, include_dashboard=False, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def spark_of_two():
    from pyspark.sql import SparkSession

    # Workers in this environment, not in that of the first python3 on the path.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    # Two threads; a task may fail three times.
    settings = {
        "spark.ui.enabled": "false",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "512",
        "spark.sql.files.maxPartitionBytes": "200000",
        "spark.driver.host": "127.0.0.1",
    }
    session = SparkSession.builder.master("local[2,4]").config(map=settings).getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    try:
        yield
    finally:
        session.stop()


@contextmanager
def dask_of_two():
    from dask.distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        yield


# Where each engine runs, and whether one of its processes is killed.
ENGINES = {
    "ray_data": (ray_of_two, True),
    "spark_arrow": (spark_of_two, True),
    "spark_pandas": (spark_of_two, True),
    "dask_frame": (dask_of_two, True),
    "daft_udf": (nullcontext, False),
    "duckdb_udf": (nullcontext, False),
    "polars_batches": (nullcontext, False),
    "lance_table": (nullcontext, False),
}


def read(path: Path) -> pl.DataFrame:
    """A file, or the files of a folder, in the order of the ids. Not with pyarrow, which before 26 does not read nulls of an array."""
    return pl.read_parquet(path / "**/*.parquet" if path.is_dir() else path, columns=["id", "embedding"]).sort("id")


def vectors(table: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Which embeddings are present, and their numbers."""
    column = table["embedding"]
    numbers = column.drop_nulls().explode().cast(pl.Float32).to_numpy()
    return column.is_not_null().to_numpy(), numbers.reshape(-1, 384)


def check(name: str, folder: Path, wanted: pl.DataFrame) -> dict[str, object]:
    """Runs an engine over ``rows.parquet`` in a folder; what became of the rows, and how long it took."""
    place, kill = ENGINES[name]
    embedder, flag, target = hh.Embedder("english", threads=1), folder / f"{name}.calls", folder / f"{name}.parquet"
    sys.path.insert(0, str(Path(__file__).parent))
    engine = importlib.import_module(name)
    context: AbstractContextManager = place()
    with context:
        began = time.monotonic()
        engine.embed(Killed(embedder, flag) if kill else embedder, str(folder / "rows.parquet"), str(target))
        seconds = time.monotonic() - began
    killed = kill and flag.stat().st_size >= 6
    assert killed == kill, f"{name} made {flag.stat().st_size} calls, too few to be killed in the middle"
    made = read(target)
    ids = made["id"].to_list()
    found = {"rows": len(ids), "lost": len(wanted) - len(set(ids)), "doubled": len(ids) - len(set(ids))}
    (present, numbers), (wanted_present, wanted_numbers) = vectors(made), vectors(wanted)
    same = not found["lost"] and not found["doubled"] and np.array_equal(present, wanted_present)
    difference = float(np.abs(numbers - wanted_numbers).max()) if same else float("inf")
    return {**found, "nulls": int((~present).sum()), "difference": difference, "killed": killed, "seconds": seconds}


def prepare(folder: Path, program: list[str], count: int) -> pl.DataFrame:
    """Writes the rows, and reads what the program makes of them."""
    pq.write_table(rows(count), folder / "rows.parquet", row_group_size=GROUP)
    command = [*program, "embed", "--input", "rows.parquet", "--output", "wanted.parquet", "--threads", "1"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return read(folder / "wanted.parquet")


def main(program: str, names: list[str]) -> int:
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        wanted = prepare(Path(folder), [program], ROWS)
        seconds = time.monotonic() - began
        print(f"{'engine':<16} {'rows':>6} {'lost':>5} {'doubled':>7} {'nulls':>5} {'difference':>10} {'killed':>6} {'rows/s':>7}")
        nulls = wanted["embedding"].null_count()
        print(f"{'hh-runtime':<16} {len(wanted):>6} {'':>5} {'':>7} {nulls:>5} {'':>10} {'':>6} {ROWS / seconds:>7.0f}")
        for name in names or ENGINES:
            row = check(name, Path(folder), wanted)
            print(
                f"{name:<16} {row['rows']:>6} {row['lost']:>5} {row['doubled']:>7} {row['nulls']:>5} {row['difference']:>10.1e} "
                f"{'one' if row['killed'] else '':>6} {ROWS / row['seconds']:>7.0f}",
                flush=True,
            )
            failed |= row["difference"] != 0
    return 1 if failed else 0


if __name__ == "__main__":
    unknown = [name for name in sys.argv[2:] if name not in ENGINES]
    if len(sys.argv) < 2 or unknown:
        sys.exit(f"usage: check.py PROGRAM [{'|'.join(ENGINES)} ...]")
    sys.exit(main(os.path.abspath(sys.argv[1]), sys.argv[2:]))
