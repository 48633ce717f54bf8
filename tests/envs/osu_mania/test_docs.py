"""The examples of docs/osu-mania.md run as they stand, and its tables are those of the code."""

import re
from pathlib import Path

import pytest

from envs.osu_mania.rewards import WEIGHTS

PAGE = Path(__file__).parents[3] / "docs" / "osu-mania.md"
TEXT = PAGE.read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("number", [0, 1])
def test_example(number, tmp_path, monkeypatch):
    if "replay" in EXAMPLES[number]:
        pytest.importorskip("osrparse")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "example"}
    exec(compile(EXAMPLES[number], str(PAGE), "exec"), names)
    if "again" in names:
        assert names["again"].n_objects == names["beatmap"].n_objects > 100
    else:
        assert names["session"].score == names["info"]["score"] > 900_000


def test_there_are_no_more_examples():
    assert len(EXAMPLES) == 2


def test_the_table_of_rewards():
    stated = {}
    for terms, weights in re.findall(r"^\| ((?:`\w+`,? ?)+) \| ([-\d., ]+) \|", TEXT, re.MULTILINE):
        names = re.findall(r"`(\w+)`", terms)
        stated |= dict(zip(names, map(float, weights.split(",")), strict=True))
    assert stated == WEIGHTS
