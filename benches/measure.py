"""What the scripts beside this one measure with."""
import functools, os, subprocess, sys

print = functools.partial(print, flush=True)  # A run takes minutes: each line appears when it is known.
HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def run(command, cwd=HERE):
    """Standard output, and the peak resident memory in MB, of a command that must succeed."""
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"failed: {' '.join(command)}\n{out}{err}")
    return out, usage.ru_maxrss / 1024
