"""``python -m hh`` and ``hh-runtime`` are the program."""

import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

import hh

SCRIPT = shutil.which("hh-runtime", path=sysconfig.get_path("scripts"))
PROGRAMS = {"module": [sys.executable, "-m", "hh"], "script": [SCRIPT]}


def run(program, *args, **options):
    return subprocess.run([*PROGRAMS[program], *args], capture_output=True, text=True, timeout=60, **options)


@pytest.mark.parametrize("program", PROGRAMS)
def test_it_is_the_program(program, checkpoint):
    assert run(program, "--version").stdout == f"hh-runtime {hh.__version__}\n"
    assert "Usage: hh-runtime" in run(program, "--help").stdout
    done = run(program, "sample", checkpoint, "--prompt", "Anna ", "--tokens", "40", "--seed", "7")
    assert done.returncode == 0
    assert done.stdout == "".join(hh.TextModel(checkpoint).generate("Anna ", max_tokens=40, seed=7)) != ""


@pytest.mark.parametrize("program", PROGRAMS)
def test_exit_codes_and_sentences_are_the_programs(program, tmp_path):
    wrong = run(program, "sample", "absent.safetensors", cwd=tmp_path)
    assert wrong.returncode == 2 and wrong.stderr == "error: cannot read absent.safetensors: there is no such file; check the name\n"
    assert run(program, "nonsense").returncode == 2


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("program", PROGRAMS)
def test_ctrl_c_saves_and_a_run_resumes(program, tmp_path):
    small = ["--set", "layers=2", "--set", "hopfield_depths=[2,1]", "--out", "run"]
    process = subprocess.Popen(
        [*PROGRAMS[program], "train", "--steps", "100000", *small], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not any(Path(tmp_path).glob("run/metrics*")) and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "finishing the current step and saving" in err, (process.returncode, out, err)
    assert "Traceback" not in err and any(tmp_path.glob("run/*.safetensors"))


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("program", PROGRAMS)
def test_ctrl_c_ends_a_command_that_has_nothing_to_save(program, checkpoint):
    command = [*PROGRAMS[program], "sample", checkpoint, "--tokens", "1000000000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.read(1), "it generates"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT and err == b""
