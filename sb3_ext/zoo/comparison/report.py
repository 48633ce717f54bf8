"""The report's files: one page that opens offline, its pictures, and its figures as CSV."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import yaml
from matplotlib.figure import Figure

from callbacks.checkpoint import save_atomically
from sb3_ext.zoo.comparison.pictures import draw_all
from sb3_ext.zoo.comparison.results import Comparison, Result
from sb3_ext.zoo.comparison.statistics import Estimate
from sb3_ext.zoo.comparison.tables import csv_tables, figure, interval
from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.styles import rendered, styles

# Below so many runs a bootstrap's intervals are known to be too narrow.
FEW_RUNS = 10
RETURN_DIGITS = 5
# Files that some comparisons do not have.
NOT_ALWAYS = (
    *("learning_curves_wall_time.png", "curves_wall_time.csv"),
    *("probability_of_improvement.png", "probability_of_improvement.csv"),
)


@dataclass(frozen=True)
class Circumstances:
    """What a report tells besides results.

    Attributes:
        command: What was typed.
        jobs: How many runs shared the machine, if that is known.
        left_out: Runs that are not in the results, and why.
    """

    command: str
    jobs: str = ""
    left_out: list[str] = field(default_factory=list)


def write_report(comparison: Comparison, folder: Path, circumstances: Circumstances) -> Path:
    """Writes ``report.html``, a PNG per picture and a CSV file per table.

    Args:
        comparison: The results.
        folder: Made if it is not there.
        circumstances: What else to tell.

    Returns:
        The page's path.

    Raises:
        ZooError: If the folder cannot be written.
    """
    pictures, page = draw_all(comparison), folder / "report.html"
    files = {
        f"{name}.csv": table.to_csv(index=False).encode()
        for name, table in csv_tables(comparison).items()
    }
    files |= {f"{name}.png": rendered(picture, "png") for name, picture in pictures.items()}
    files[page.name] = _page(comparison, pictures, circumstances, folder).encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            _write(folder / name, content)
        for name in NOT_ALWAYS:
            if name not in files:  # an earlier report's
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise ZooError(
            f"-o/--output: cannot write the report to {str(folder)!r} ({error.strerror})"
        ) from error
    return page


def _write(path: Path, content: bytes) -> None:
    save_atomically(path, lambda file: file.write(content))


def as_text(comparison: Comparison) -> str:
    """The results in a few lines, for the terminal."""
    width = max(len(label) for label in comparison.labels)
    lines = []
    for world in comparison.worlds:
        lines.append(f"{world.env_id}: final return, interquartile mean over runs (95 % interval)")
        for result in world.results:
            value = figure(float(result.final_iqm.value[0]), RETURN_DIGITS)
            between = interval(result.final_iqm, RETURN_DIGITS)
            lines.append(
                f"  {result.label:<{width}}  {value:>9}  {f'({between})' if between else '':<22}"
                f"  {result.n_runs} run{'s' if result.n_runs > 1 else ''}"
                f"  {_told(result.steps_per_second.estimate)['value']} steps/s"
            )
    return "\n".join(lines)


def _page(
    comparison: Comparison,
    pictures: dict[str, Figure],
    circumstances: Circumstances,
    folder: Path,
) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sb3_ext.zoo.comparison", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    look = styles(comparison.labels)
    return environment.get_template("report.html").render(
        title=_title(comparison),
        comparison=comparison,
        circumstances=circumstances,
        when=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        colors={label: style.color for label, style in look.items()},
        pictures={name: _embedded(picture) for name, picture in pictures.items()},
        worlds=[
            {"world": world, "rows": [_result_row(result) for result in world.results]}
            for world in comparison.worlds
        ],
        overall=_overall_rows(comparison),
        improvements=_improvement_rows(comparison),
        cautions=_cautions(comparison),
        configs=_configs(comparison),
        versions=_recorded(comparison, "versions"),
        processors=_recorded(comparison, "machine").get("cpu", []),
        figure=figure,
        place=lambda path: os.path.relpath(path, folder),
        digits=RETURN_DIGITS,
    )


def _title(comparison: Comparison) -> str:
    worlds = ", ".join(world.env_id for world in comparison.worlds)
    return f"{', '.join(comparison.labels)} on {worlds}"


def _embedded(picture: Figure) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(rendered(picture, "svg")).decode()


def _told(estimate: Estimate | None, digits: int = 4) -> dict[str, str]:
    if estimate is None:
        return {"value": "unknown", "interval": ""}
    value = figure(float(estimate.value[0]), digits)
    return {"value": value, "interval": interval(estimate, digits)}


def _result_row(result: Result) -> dict[str, Any]:
    finals = result.final.values
    reached = int(np.isfinite(result.steps_to_threshold.values).sum())
    low, high = (figure(float(value), RETURN_DIGITS) for value in (finals.min(), finals.max()))
    return {
        "result": result,
        "label": result.label,
        "n_runs": result.n_runs,
        "final": _told(result.final_iqm, RETURN_DIGITS),
        "mean": figure(float(finals.mean()), RETURN_DIGITS),
        "std": figure(float(finals.std(ddof=1))) if result.n_runs > 1 else "",
        "median": figure(float(np.median(finals)), RETURN_DIGITS),
        "range": f"{low} to {high}",
        "reached": f"{reached} of {result.n_runs}",
        "steps": _told(result.steps_to_threshold.estimate),
        "seconds": _told(result.seconds_to_threshold.estimate),
        "speed": _told(result.steps_per_second.estimate),
        "wall": _told(result.wall_seconds.estimate),
    }


def _overall_rows(comparison: Comparison) -> list[dict[str, Any]]:
    if comparison.overall is None:
        return []
    return [
        {"label": label, "score": _told(estimate), "n_runs": len(comparison.overall.scores[label])}
        for label, estimate in comparison.overall.iqm.items()
    ]


def _improvement_rows(comparison: Comparison) -> list[dict[str, Any]]:
    return [
        {
            "env": env_id,
            "pair": pair,
            "probability": _told(pair.probability, 3),
            "p_value": "" if np.isnan(pair.p_value) else figure(pair.p_value, 2),
        }
        for env_id, pairs in comparison.improvements
        for pair in pairs
    ]


def _cautions(comparison: Comparison) -> list[str]:
    """What a reader must know before he believes a figure."""
    cautions = list(comparison.notes)
    counts = {result.n_runs for world in comparison.worlds for result in world.results}
    if min(counts) == 1:
        cautions.append(
            "A single run allows no interval and no probability of improvement: where there is but "
            "one, none is given, and another seed may turn the order around."
        )
    if any(1 < count < FEW_RUNS for count in counts):
        cautions.append(
            f"Bootstrap intervals from fewer than {FEW_RUNS} runs are too narrow: they hold the "
            "true value less often than 95 % of the time."
        )
    cautions += _inexact(comparison)
    versions = _recorded(comparison, "versions")
    mixed = [name for name, found in versions.items() if len(found) > 1]
    if mixed:
        cautions.append(f"These runs were made with different versions of: {', '.join(mixed)}.")
    if len(_recorded(comparison, "machine").get("cpu", [])) > 1:
        cautions.append("These runs were made on different processors: times tell little.")
    return cautions


def _inexact(comparison: Comparison) -> list[str]:
    """Runs that were broken off and did not go on just as they would have."""
    return [
        f"{run.folder} was broken off and went on, but not bit for bit as it would have: {why}"
        for world in comparison.worlds
        for result in world.results
        for run in result.group.runs
        for resumption in run.summary.get("resumed", [])
        for why in resumption.get("inexact", [])
    ]


def _configs(comparison: Comparison) -> list[dict[str, str]]:
    return [
        {
            "env": world.env_id,
            "label": result.label,
            "config": yaml.safe_dump(result.group.runs[0].config, allow_unicode=True).strip(),
        }
        for world in comparison.worlds
        for result in world.results
        if result.group.runs[0].config
    ]


def _recorded(comparison: Comparison, what: str) -> dict[str, list[str]]:
    """What the runs' summaries tell of ``versions`` or ``machine``: all different values."""
    found: dict[str, list[str]] = {}
    for world in comparison.worlds:
        for result in world.results:
            for run in result.group.runs:
                for name, value in run.summary.get(what, {}).items():
                    found.setdefault(name, [])
                    if value not in found[name]:
                        found[name].append(value)
    return found
