"""``python -m hh`` and the command ``hh-runtime``: the program, in this process."""

import signal
import sys

from ._hh import program


def main() -> int:
    """Runs the program with the arguments of this process and returns its exit code."""
    # The program handles Ctrl-C itself, or is ended by it; Python's handler would only take note of it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return program(["hh-runtime", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
