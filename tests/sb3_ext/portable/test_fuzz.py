"""A few damaged files of each kind; ``fuzz_files --count 10000`` tries as many as one likes."""

import os
import random
import sys
from pathlib import Path

import pytest

from tests.sb3_ext.portable import fuzz_files

pytest.importorskip("safetensors")


def test_damaged_files_are_refused_and_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    for kind, found in fuzz_files.fuzz(fuzz_files.KINDS, 60, seed=1).items():
        assert not found.faults, found.faults[0][0]
        assert sum(found.outcomes.values()) == 60, kind
        assert found.outcomes["refused"] >= 20, kind
        assert found.outcomes["loaded"], kind
        assert len(found.reasons) >= 6, kind  # they fail in many ways


@pytest.mark.parametrize("kind", fuzz_files.KINDS)
def test_a_case_is_always_the_same(kind: str) -> None:
    files = [b"a: 1\nb: [2, 3]\n" * 9] if kind == "yaml" else fuzz_files.seeds(kind)
    for number in range(20):
        first, second = (
            fuzz_files.mutated(kind, files, random.Random(f"{number}")) for _ in range(2)
        )
        assert first == second


def test_the_watch_hears(tmp_path: Path) -> None:
    """What it is there for, done before its eyes; in a process of its own, since a hook stays."""
    import subprocess

    code = """
import pickle, sys
from pathlib import Path
from tests.sb3_ext.portable.fuzz_files import Breach, Watch, _try
watch = Watch(Path(sys.argv[1]))
acts = {
    "pickle": lambda path: pickle.loads(pickle.dumps(Path)),
    "eval": lambda path: eval("1 + 1"),
    "system": lambda path: __import__("os").system("true"),
    "import": lambda path: __import__("this"),
    "write": lambda path: open("/tmp/never", "w"),
    "hang": lambda path: [None for _ in iter(int, 1)],
    "type": lambda path: path.nothing,
}
import tests.sb3_ext.portable.fuzz_files as f
f.SECONDS = 0.5
for name, act in acts.items():
    outcome, text = _try(act, Path("x"), ValueError, watch)
    print(name, outcome, text.splitlines()[-1].partition(":")[0])
print(_try(lambda path: open(path).read(), Path(sys.argv[0] or __file__), OSError, watch)[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    breach = "tests.sb3_ext.portable.fuzz_files.Breach"
    assert done.stdout.splitlines() == [
        *(f"{name} fault {breach}" for name in ("pickle", "eval", "system", "import", "write")),
        "hang fault tests.sb3_ext.portable.fuzz_files.Hang",
        "type fault AttributeError",
        "refused",
    ]
