"""The examples of docs/callbacks.md run as they stand."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "callbacks.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*resource_tracker")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: str(len(text)))
def test_example(example, tmp_path, monkeypatch):
    if "Wandb" in example:
        pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    (tmp_path / "run").mkdir()
    exec(compile(example, str(PAGE), "exec"), {"__name__": "example"})
    if "LiveView" in example:
        assert (tmp_path / "run/live.mp4").stat().st_size > 10_000


def test_there_are_examples():
    assert len(EXAMPLES) == 3
