"""What the tests share: texts, the program, a small language model."""

import os
import random
import subprocess
from pathlib import Path

import hh
import pytest

ROOT = Path(__file__).parents[2]
# The checkpoint of the English model, as a file.
ENGLISH = ROOT / "hh/english/english.safetensors"
# The program as cargo built it, with all features, which that of the wheel lacks.
if "HH_RUNTIME" not in os.environ:
    pytest.exit("HH_RUNTIME must name an hh-runtime with the feature tables: run `cargo xtask python`", returncode=2)
PROGRAM = [os.environ["HH_RUNTIME"]]

WORDS = "the a old young cat bank river market guitar noodle sells finds plays under over near café Zürich 東京 quickly 42 .".split()


def sentences(count: int, seed: int = 1) -> list[str]:
    """Texts of 1 to some 60 words, all different."""
    draw = random.Random(seed)
    return [f"{i} " + " ".join(draw.choices(WORDS, k=draw.randint(1, 8) ** 2)) for i in range(count)]


def run(*args: object, **options: object) -> subprocess.CompletedProcess:
    """Runs the program."""
    return subprocess.run([*PROGRAM, *map(str, args)], capture_output=True, text=True, timeout=120, **options)


def sentence_of(*args: object) -> str:
    """What the program says of an error."""
    done = run(*args)
    assert done.returncode == 2, done.stderr
    return done.stderr.strip().removeprefix("error: ")


@pytest.fixture(scope="session")
def embedder() -> hh.Embedder:
    return hh.Embedder("english")


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """More than two batches."""
    return sentences(1100)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """A language model after two steps of training."""
    folder = tmp_path_factory.mktemp("model") / "run"
    done = run("train", "--steps", 2, "--out", folder, "--set", "layers=2", "--set", "hopfield_depths=[2,1]")
    assert done.returncode == 0, done.stderr
    return folder / "best.safetensors"
