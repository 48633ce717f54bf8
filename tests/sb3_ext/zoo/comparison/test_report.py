"""The page opens offline and says what the runs' files say; the CSV files hold the same."""

import base64
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import imageio.v3
import numpy as np
import pandas as pd
import pytest

from sb3_ext.zoo.comparison.groups import group
from sb3_ext.zoo.comparison.measures import compare
from sb3_ext.zoo.comparison.report import Circumstances, as_text, write_report
from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.history import find_runs, read_history
from sb3_ext.zoo.styles import COLORS, styles
from tests.sb3_ext.zoo.comparison.records import write_run

CURVES = "learning_curves"


class Page(HTMLParser):
    """A page's text, and whatever it would load."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.sources: list[str] = []
        self.open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def report(runs: Path, folder: Path, circumstances: Circumstances | None = None) -> Path:
    histories = [read_history(path) for path in find_runs([str(runs)])]
    comparison = compare(group(histories))
    return write_report(comparison, folder, circumstances or Circumstances("zoo.py compare"))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report over three runs of two algorithms on two worlds."""
    folder = tmp_path_factory.mktemp("two")
    for env_id, scale in (("A-v0", 1), ("B-v0", 1000)):
        for seed in range(3):
            write_run(folder / "logs", "ppo", env_id, seed=seed, level=scale * (100 + seed))
            write_run(folder / "logs", "sac", env_id, seed=seed, level=scale * (50 - 9 * seed))
    circumstances = Circumstances("zoo.py <b>", "a & b", ["<script>alert(1)</script>"])
    return report(folder / "logs", folder / "out", circumstances)


def test_the_page_needs_nothing_else(two: Path) -> None:
    page = Page(two)
    assert not page.open, "every tag is closed"
    assert len(page.sources) == 5
    for source in page.sources:
        kind, _, content = source.partition(",")
        assert kind == "data:image/svg+xml;base64"
        assert ET.fromstring(base64.b64decode(content)).tag.endswith("svg")
    styling = re.findall(r"<style>.*?</style>", two.read_text(encoding="utf-8"), re.DOTALL)
    assert "url(" not in styling[0]
    assert "@import" not in styling[0]


def test_the_page_says_what_the_runs_say(two: Path) -> None:
    text = Page(two).text
    assert "ppo, sac on A-v0, B-v0" in text
    assert "101.00 100.00 to 102.00" in text, "the IQM of 100, 101 and 102, and its interval"
    assert "ppo above sac 1.00 1.00 to 1.00 0.10" in text
    assert "3 of 3 1,000" in text, "ppo reaches the threshold, at its end"
    assert "0 of 3 never" in text, "sac does not"
    assert "fewer than 10 runs are too narrow" in text
    assert "gamma: 0.9" in text


def test_csv_files_hold_the_same(two: Path) -> None:
    out = two.parent
    runs = pd.read_csv(out / "runs.csv")
    assert len(runs) == 12
    row = runs[(runs.label == "sac") & (runs.env == "A-v0") & (runs.seed == 1)].iloc[0]
    assert (row.final_return, row.steps, row.wall_seconds) == (41, 1000, 12)
    assert row.steps_to_threshold == np.inf
    finals = pd.read_csv(out / "finals.csv").set_index(["env", "label"])
    assert finals.loc[("A-v0", "ppo"), "final_iqm"] == 101
    assert finals.loc[("A-v0", "ppo"), "final_std"] == 1
    curves = pd.read_csv(out / "curves.csv")
    points = curves[(curves.env == "A-v0") & (curves.label == "ppo")]
    assert points.steps.tolist() == [200, 400, 600, 800, 1000]
    assert points.return_iqm.to_numpy() == pytest.approx(101 * np.arange(1, 6) / 5)
    assert (points.return_low <= points.return_iqm).all()
    assert set(pd.read_csv(out / "curves_wall_time.csv").columns) > {"seconds", "return_high"}
    pairs = pd.read_csv(out / "probability_of_improvement.csv")
    assert pairs.env.tolist() == ["A-v0", "B-v0", "all worlds"]
    assert pairs.probability_x_above_y.tolist() == [1, 1, 1]


def test_pictures_show_both_algorithms_in_their_colors(two: Path) -> None:
    out = two.parent
    for name in (CURVES, f"{CURVES}_wall_time", "final_returns", "efficiency"):
        picture = imageio.v3.imread(out / f"{name}.png")[..., :3].astype(int)
        for label, style in styles(["ppo", "sac"]).items():
            color = [int(style.color[i : i + 2], 16) for i in (1, 3, 5)]
            assert (abs(picture - color).sum(-1) < 20).sum() > 50, (name, label)
    assert (out / "probability_of_improvement.png").is_file()


def test_a_single_run_claims_no_certainty(tmp_path: Path) -> None:
    write_run(tmp_path / "logs", "ppo")
    write_run(tmp_path / "logs", "sac", level=50)
    path = report(tmp_path / "logs", tmp_path / "out")
    text = Page(path).text
    assert "A single run allows no interval" in text
    assert (
        " to " not in text.partition("Final return:")[0].partition("lowest to highest run")[2][:20]
    )
    assert not (path.parent / "probability_of_improvement.png").exists()
    assert pd.read_csv(path.parent / "finals.csv").final_iqm_low.isna().all()


def test_what_is_told_is_told_as_text(two: Path) -> None:
    assert "<script" not in two.read_text(encoding="utf-8")
    text = Page(two).text
    assert "Not in these results: <script>alert(1)</script>" in text
    assert "zoo.py <b>" in text
    assert "a & b" in text


def test_runs_of_other_versions_or_broken_off_are_told(tmp_path: Path) -> None:
    resumed = [{"steps": 5, "inexact": ["its dice were new"]}]
    here, there = {"cpu": "a Z80"}, {"cpu": "a 6502"}
    write_run(tmp_path / "logs", versions={"numpy": "1"}, resumed=resumed, machine=here)
    write_run(tmp_path / "logs", seed=1, versions={"numpy": "2"}, machine=there)
    text = Page(report(tmp_path / "logs", tmp_path / "out")).text
    assert "different versions of: numpy" in text
    assert "its dice were new" in text
    assert "a Z80 · a 6502" in text
    assert "different processors: times tell little" in text


def test_a_run_without_times_has_no_picture_over_them(tmp_path: Path) -> None:
    run = write_run(tmp_path / "logs")
    (run / "monitor.csv").unlink()
    (run / "summary.json").unlink()
    (run / "CartPole-v1.zip").touch()
    path = report(tmp_path / "logs", tmp_path / "out")
    assert not (path.parent / f"{CURVES}_wall_time.png").exists()
    assert "unknown" in Page(path).text


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    write_run(tmp_path / "logs")
    (tmp_path / "file").touch()
    with pytest.raises(ZooError, match="cannot write the report"):
        report(tmp_path / "logs", tmp_path / "file/out")


def test_as_text(tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path, level=100 + seed, seed=seed)
    histories = [read_history(path) for path in find_runs([str(tmp_path)])]
    text = as_text(compare(group(histories)))
    assert "101.00  (100.00 to 102.00)" in text
    assert "3 runs  100.0 steps/s" in text


def test_styles_are_an_algorithms_own() -> None:
    assert styles(["ppo", "sac"])["sac"] == styles(["sac"])["sac"]
    many = styles(["ppo", "x", "y", "sac", "a2c"])
    assert len(set(many.values())) == 5
    assert many["ppo"].color == COLORS[0]
