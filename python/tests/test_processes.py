"""Threads, processes and Ctrl-C."""

import multiprocessing
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import hh
from conftest import ENGLISH, sentences


def in_worker(pickled: bytes, texts: list[str]):
    """Unpickles twice and embeds."""
    began = time.monotonic()
    first = pickle.loads(pickled)
    loaded = time.monotonic() - began
    return first is pickle.loads(pickled), repr(first), first.embed(texts), loaded


@pytest.mark.parametrize("start", ["spawn", "fork"])
def test_a_worker_unpickles_one_model(start, texts, tmp_path, monkeypatch):
    monkeypatch.chdir(ENGLISH.parent)
    embedder = hh.Embedder("english.safetensors", threads=1, truncate_dim=64)
    monkeypatch.chdir(tmp_path)
    wanted = embedder.embed(texts)
    context = multiprocessing.get_context(start)
    with context.Pool(2) as pool:
        for same, shown, made, _ in pool.starmap(in_worker, [(pickle.dumps(embedder), texts)] * 2):
            assert same and shown == repr(embedder) and np.array_equal(made, wanted)


def test_another_model_at_the_same_path_is_refused(tmp_path, checkpoint):
    path = tmp_path / "model.safetensors"
    path.write_bytes(ENGLISH.read_bytes())
    pickled = pickle.dumps(hh.Embedder(path))
    path.write_bytes(checkpoint.read_bytes())
    with pytest.raises(hh.InputError, match="model.safetensors is not the model that was pickled"):
        pickle.loads(pickled)


def test_other_threads_of_python_run_while_texts_are_embedded(embedder):
    texts, times, stop = sentences(3000), [], threading.Event()

    def watch():
        while not stop.wait(0.001):
            times.append(time.monotonic())

    thread = threading.Thread(target=watch)
    thread.start()
    began = time.monotonic()
    # In one batch: between two, Python's lock is free anyway.
    hh.Embedder("english", threads=1).embed(texts, batch_size=len(texts))
    took = time.monotonic() - began
    stop.set()
    thread.join()
    during = [began, *(t for t in times if began < t < began + took), began + took]
    assert max(b - a for a, b in zip(during, during[1:])) < took / 2, f"{len(during)} looks in {took:.2f} s"


def test_threads_share_an_embedder(embedder, texts):
    wanted, made = embedder.embed(texts), [None] * 4

    def work(i):
        made[i] = embedder.embed(texts)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert all(np.array_equal(some, wanted) for some in made)


EMBED_FOR_EVER = """
import hh
embedder = hh.Embedder("english")
try:
    embedder.embed(["some words of a text that is embedded again and again"] * 2_000_000, batch_size=128)
except KeyboardInterrupt:
    print("interrupted", embedder.embed(["still works"]).shape)
"""
PREFILL_FOR_EVER = """
import hh, sys
session = hh.TextModel(sys.argv[1]).session()
try:
    session.prefill("the cat sat on the mat and " * 1_000_000)
except KeyboardInterrupt:
    print("interrupted", 0 < session.position < 20_000_000)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("program", "said"), [(EMBED_FOR_EVER, "interrupted (1, 384)"), (PREFILL_FOR_EVER, "interrupted True")])
def test_ctrl_c_interrupts_between_batches(program, said, checkpoint):
    process = subprocess.Popen([sys.executable, "-c", program, checkpoint], stdout=subprocess.PIPE, text=True)
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    out, _ = process.communicate(timeout=30)
    assert out.strip() == said and time.monotonic() - began < 5
