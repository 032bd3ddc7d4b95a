"""Shared by the benchmark scripts: run a command and measure its memory."""
import functools, os, subprocess, sys

print = functools.partial(print, flush=True)  # A run takes minutes: print each line immediately.
HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def run(command, cwd=HERE):
    """Runs a command and returns its standard output and peak resident memory in MB; exits if it fails."""
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"failed: {' '.join(command)}\n{out}{err}")
    return out, usage.ru_maxrss / 1024
