"""A training that ends with the process that started it, and saves what it has.

``python -m sb3_ext.zoo.comparison.worker LOCK train ...``: standard input is a pipe from that
process; when it closes, however that process ended, the training is interrupted as by SIGTERM. The
lock is held as long as the training lives.
"""

import os
import signal
import sys
import threading

from filelock import FileLock

from sb3_ext.zoo.cli import main


def _interrupt_when_alone() -> None:
    # Not sys.stdin: its buffer's lock, held here, would break Python's exit.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    lock, *arguments = sys.argv[1:]
    # What the run's command.txt says should be of use without the grid.
    sys.orig_argv = [sys.executable, "-m", "sb3_ext.zoo", *arguments]
    with FileLock(lock):
        threading.Thread(target=_interrupt_when_alone, daemon=True).start()
        sys.exit(main(arguments))
