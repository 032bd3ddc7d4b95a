"""What `train --log` writes, read by TensorBoard and pandas."""

import json
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pandas as pd
import pytest
from conftest import PROGRAM, run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SMALL = ["--set", "layers=1", "--set", "hopfield_depths=[1]", "--log-every", "3", "--eval-every", "20", "--save-every", "10"]
TAGS = {"validation": "validation/loss", "validation_ema": "validation/loss_ema"}


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def expected(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values by tag, from metrics.jsonl."""
    tags = defaultdict(list)
    for record in records(folder):
        for name, value in (record | {f"gates/{path}": gate for path, gate in record.get("gates", {}).items()}).items():
            if name in ("step", "tokens", "scored", "whole", "gates"):
                continue
            tag = TAGS.get(name, f"train/{name}")
            tag = tag.replace("validation/", "validation_whole/") if record.get("whole") else tag
            tags[tag].append((record["step"], pytest.approx(value, rel=1e-6)))
    return tags


def check(folder: Path) -> None:
    """The files have every record of metrics.jsonl once, whether the reader drops what a restart makes void or not."""
    wanted = expected(folder)
    assert len(wanted) > 8
    for purge in (True, False):
        found = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0}, purge_orphaned_data=purge).Reload()
        assert set(found.Tags()["scalars"]) == set(wanted)
        for tag, values in wanted.items():
            assert [(event.step, event.value) for event in found.Scalars(tag)] == values, (tag, purge)
    table = pd.read_csv(folder / "metrics.csv")
    assert list(table.columns[:3]) == ["step", "tokens", "nll"] and len(table) == len(records(folder))
    assert list(table["step"]) == [record["step"] for record in records(folder)]
    assert list(table["gate_ssm"].dropna()) == [record["gates"]["ssm"] for record in records(folder) if "gates" in record]
    assert table["whole"].notna().sum() == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_killed_and_resumed_run_has_every_record_once(tmp_path):
    folder = tmp_path / "run"
    start = [*PROGRAM, "train", *SMALL, "--steps", "200", "--log", "tensorboard", "--log", "csv", "--out", folder]
    for attempt in range(3):
        process = subprocess.Popen(start, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        enough = 20 * (attempt + 1)
        deadline = time.monotonic() + 60
        while not (folder / "resume.safetensors").exists() or records(folder)[-1]["step"] < enough:
            assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        start = [*PROGRAM, "train", "--resume", folder]
    done = run("train", "--resume", folder)
    assert done.returncode == 0, done.stderr
    check(folder)
    assert len(list((folder / "tensorboard").iterdir())) == 4, "a file for each start"


def test_a_form_can_be_asked_for_later(tmp_path):
    folder = tmp_path / "run"
    assert run("train", *SMALL, "--steps", 30, "--out", folder).returncode == 0
    assert not (folder / "metrics.csv").exists() and not (folder / "tensorboard").exists()
    done = run("train", "--resume", folder, "--steps", 40, "--log", "csv", "--log", "tensorboard")
    assert done.returncode == 0, done.stderr
    check(folder)
