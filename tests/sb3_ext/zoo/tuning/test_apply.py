"""An entry is written into a file of which everything else stays, to the letter."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sb3_ext.zoo import hyperparams
from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.tuning import apply
from sb3_ext.zoo.tuning.apply import target_file, with_entry, write_entry

VALUES = {"gamma": 0.9, "n_timesteps": 1000, "policy_kwargs": "dict(net_arch=[64])"}
NEW = "{key}:\n  gamma: 0.9\n  n_timesteps: 1000\n  policy_kwargs: dict(net_arch=[64])\n"
FILE = """\
# Read by everybody.

A-v0:  # the first
  n_timesteps: !!float 1e5  # as tuned
  # a word on gamma
  gamma: 0.99

# B's own words.
B-v0:
  n_timesteps: 5

'C-v0@fast': {n_timesteps: 7, gamma: 0.5}
# the end
"""


def test_an_entry_in_the_middle_is_replaced() -> None:
    before, rest = FILE.split("B-v0:\n  n_timesteps: 5\n")
    assert with_entry(FILE, "B-v0", VALUES) == before + NEW.format(key="B-v0") + rest


def test_comments_inside_of_it_go_and_those_of_the_next_stay() -> None:
    new = NEW.format(key="A-v0")
    expected = "# Read by everybody.\n\n" + new + FILE[FILE.index("\n# B's own") :]
    assert with_entry(FILE, "A-v0", VALUES) == expected


def test_a_quoted_key_with_a_flow_mapping() -> None:
    expected = FILE[: FILE.index("'C-v0")] + NEW.format(key="C-v0@fast") + "# the end\n"
    assert with_entry(FILE, "C-v0@fast", VALUES) == expected


@pytest.mark.parametrize("text", ["", FILE, FILE.rstrip("\n"), "# nothing yet\n"])
def test_a_new_entry_goes_to_the_end(text: str) -> None:
    edited = with_entry(text, "D-v0", VALUES)
    assert edited.startswith(text)
    assert edited.endswith(NEW.format(key="D-v0"))
    assert yaml.safe_load(edited) == (yaml.safe_load(text) or {}) | {"D-v0": VALUES}


KEYS = st.sampled_from(["A-v0", "B-v1", "C-v0@fast"])
TEXTS = st.text(" #:-'\"\nab", max_size=8)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS)
ENTRIES = st.dictionaries(st.sampled_from("abc"), SCALARS | st.lists(SCALARS, max_size=3))


@given(st.dictionaries(KEYS, ENTRIES), KEYS, ENTRIES)
def test_whatever_the_file_only_this_entry_changes(content: dict, key: str, values: dict) -> None:
    text = yaml.safe_dump(content) if content else ""
    assert yaml.safe_load(with_entry(text, key, values)) == content | {key: values}


def test_the_shipped_file_keeps_its_other_lines() -> None:
    text = (hyperparams.own_folder() / "ppo.yml").read_text()
    edited = with_entry(text, "SimpleAim-v0@original", VALUES)
    first = text.index("SimpleAim-v0@original:")
    assert edited[:first] == text[:first]
    assert edited.endswith(text[text.index("\nTargetReach-v0:") :])


@pytest.mark.parametrize(
    "text",
    [
        "A-v0: &a\n  n_timesteps: 5\nB-v0:\n  <<: *a\n  gamma: 1\n",
        "{A-v0: {gamma: 1}, B-v0: {gamma: 1}}\n",
    ],
)
def test_a_file_that_would_be_damaged_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ppo.yml"
    path.write_text(text)
    with pytest.raises(ZooError, match=r"ppo\.yml"):
        write_entry(path, "A-v0", VALUES)
    assert path.read_text() == text


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(apply, "own_folder", lambda: tmp_path)
    return tmp_path


def test_the_file_is_the_one_that_is_looked_up_first(folder: Path) -> None:
    (folder / "ppo.yml").write_text("A-v0: {n_timesteps: 1}\n")
    (folder / "ppo_jax.yml").write_text("B-v0: {n_timesteps: 1}\n")
    assert target_file("ppo_jax", "A-v0", VALUES, "") == (folder / "ppo.yml", "A-v0")
    assert target_file("ppo_jax", "B-v0", VALUES, "")[0] == folder / "ppo_jax.yml"
    assert target_file("ppo_jax", "B-v0", VALUES, "fast") == (folder / "ppo.yml", "B-v0@fast")
    assert target_file("sac", "A-v0", VALUES, "")[0] == folder / "sac.yml"
    # SB3's ppo, which reads ppo.yml too, would refuse this one.
    extended = VALUES | {"extensions": {"std": "fixed"}}
    assert target_file("ppo_numpy", "C-v0", extended, "")[0] == folder / "ppo_numpy.yml"


def test_what_was_written_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, key = target_file("ppo_numpy", "Acrobot-v1", VALUES, "")
    write_entry(path, key, VALUES)
    monkeypatch.setattr(hyperparams, "own_folder", lambda: folder)
    assert hyperparams.find_entry("ppo_numpy", "Acrobot-v1").values == VALUES


def test_a_folder_that_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "own_folder", lambda: tmp_path / "absent")
    with pytest.raises(ZooError, match=r"--apply: .* cannot be written"):
        target_file("sac", "A-v0", VALUES, "")
