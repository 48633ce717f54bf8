"""What tests of several packages share."""

import os
import shutil
import subprocess

import pytest

# As the zoo sets them: small matrices lose by threads, and sums then come out alike everywhere.
for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")


@pytest.fixture
def x_display():
    """The name of a fresh X display."""
    yield from x_server()


@pytest.fixture(scope="module")
def shared_x_display():
    """The name of an X display that a file's tests share."""
    yield from x_server()


def x_server():
    """Runs an X server and yields its display's name."""
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed")
    read, write = os.pipe()
    # Without -noreset the server restarts, deaf for a moment, whenever its last client leaves.
    options = ["-screen", "0", "1280x900x24", "-nolisten", "tcp", "-noreset"]
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), *options],
        pass_fds=[write],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()  # the server writes it when it's ready
    assert number, "Xvfb did not start"
    yield f":{number}"
    server.terminate()
    server.wait(10)
