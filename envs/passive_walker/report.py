"""The gait report: pictures, tables and one page about walks, whoever walked them."""

from __future__ import annotations

import base64
import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from envs.passive_walker import pictures, trials
from envs.passive_walker.env import Policy
from envs.passive_walker.gait import Measures, Walk, measure, passive_walk
from envs.passive_walker.rewards import TERMS
from envs.passive_walker.trials import Survival, walk_of

_NEEDED = ("time", "qpos", "qvel", "torque", "touch", "slope", "rewards", "episode")
_PASSIVE_SECONDS = 20.0

# How a measure is shown: its title, its factor, its digits.
_SHOWN = {
    "steps": ("steps", 1, 0),
    "seconds": ("seconds", 1, 2),
    "distance": ("distance, m", 1, 2),
    "speed": ("mean speed, m/s", 1, 3),
    "step_length": ("step length, m", 1, 3),
    "step_length_std": ("its spread, m", 1, 3),
    "period": ("step period, s", 1, 3),
    "period_std": ("its spread, s", 1, 3),
    "asymmetry": ("left-right asymmetry, %", 100, 1),
    "hip_cost_of_transport": ("hip cost of transport", 1, 4),
    "gravity_cost_of_transport": ("gravity's, sin(slope)", 1, 4),
    "duty_factor": ("duty factor", 1, 3),
    "clearance": ("foot clearance, mm", 1000, 0),
}


def write_report(
    folder: str | os.PathLike[str],
    arrays: Mapping[str, NDArray[Any]],
    policy: Policy | None = None,
    **options: Any,
) -> list[Path]:
    """Writes the report of one or more episodes.

    Pictures show the longest episode, the first of several; tables have all of them.

    Args:
        folder: Where to; made if need be.
        arrays: What `PassiveWalkerEnv.trajectory_record` told after each step, stacked `[T, ...]`,
            with `rewards` and `episode` (from 0), `[T]`.
        policy: Who walked; given, it's sent down slopes and pushed.
        **options: The environment's, for that.

    Returns:
        `gait.html`, then its PNG pictures and CSV files.

    Raises:
        ValueError: An array is missing, or their lengths differ.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    episodes = _episodes(arrays)
    walks = [walk_of(episode) for episode in episodes]
    measures = [measure(walk) for walk in walks]
    longest = max(range(len(walks)), key=lambda k: len(walks[k].time))
    survivals = _survivals(policy, options) if policy is not None else []
    figures = _figures(walks[longest], measures[longest], episodes[longest], survivals)
    images = {name: _png(figure) for name, figure in figures.items()}
    page = _page(walks, measures, longest, survivals, images)
    files = {"gait.html": page.encode()}
    files |= {f"gait_{name}.png": image for name, image in images.items()}
    files["gait_measures.csv"] = _csv(
        ["episode", *(field.name for field in fields(Measures))],
        [[k, *one.as_dict().values()] for k, one in enumerate(measures)],
    )
    files["gait_series.csv"] = _series(arrays)
    if survivals:
        rows = [
            [survival.kind, level, survived, survival.n]
            for survival in survivals
            for level, survived in zip(survival.levels, survival.survived, strict=True)
        ]
        files["gait_survival.csv"] = _csv(["kind", "level", "survived", "of"], rows)
    return [_write(target / name, content) for name, content in files.items()]


def _episodes(arrays: Mapping[str, NDArray[Any]]) -> list[dict[str, NDArray[Any]]]:
    missing = [name for name in _NEEDED if name not in arrays]
    if missing:
        raise ValueError(f"a gait report needs the arrays {', '.join(missing)} too")
    n = len(arrays["episode"])
    names = [name for name in (*_NEEDED, "reward_terms") if name in arrays]
    wrong = [name for name in names if len(arrays[name]) != n]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} must be as long as episode, {n} steps")
    numbers = np.unique(arrays["episode"])
    picked = [arrays["episode"] == number for number in numbers]
    picked = [mask for mask in picked if np.count_nonzero(mask) > 1]
    if not picked:
        raise ValueError("a gait report needs an episode of at least two steps")
    return [{name: np.asarray(arrays[name])[mask] for name in names} for mask in picked]


def _survivals(policy: Policy, options: dict[str, Any]) -> list[Survival]:
    options = {"threads": os.cpu_count() or 1, **options}
    return [
        trials.survive_slopes(policy, **options),
        trials.survive_pushes(policy, **options),
    ]


def _figures(
    walk: Walk, measures: Measures, episode: dict[str, NDArray[Any]], survivals: list[Survival]
) -> dict[str, Figure]:
    figures = {
        "phases": pictures.draw_phases(walk),
        "joints": pictures.draw_joints(walk),
        "steps": pictures.draw_steps(walk, measures),
        "feet": pictures.draw_feet(walk),
        "rewards": pictures.draw_rewards(
            walk.time, episode.get("reward_terms"), episode["rewards"]
        ),
    }
    if survivals:
        figures["survival"] = pictures.draw_survival(survivals)
    return figures


def _page(
    walks: list[Walk],
    measures: list[Measures],
    longest: int,
    survivals: list[Survival],
    images: dict[str, bytes],
) -> str:
    walk = walks[longest]
    degrees = float(np.degrees(walk.slope))
    n_fell = sum(one.fell for one in measures)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("report.html").render(
        title=f"Walk on {degrees:.3g}°: {measures[longest].steps} steps",
        subtitle=(
            f"{len(walks)} episode{'s' * (len(walks) > 1)}, {n_fell} ended with a fall; the "
            f"pictures show episode {longest}, the longest."
        ),
        table=_table(walk, measures, longest),
        survivals=[_survival_rows(survival) for survival in survivals],
        pictures=[
            (name, f"data:image/png;base64,{base64.b64encode(image).decode()}")
            for name, image in images.items()
        ],
    )


def _table(walk: Walk, measures: list[Measures], longest: int) -> list[list[str]]:
    """The walk beside the mean of all, the body's passive walk there, and the theory."""
    passive = measure(passive_walk(float(np.degrees(walk.slope)), _PASSIVE_SECONDS))
    cycle = pictures.passive_cycle(walk.slope)
    theory = {} if cycle is None else cycle._asdict()
    columns: dict[str, Mapping[str, Any]] = {f"episode {longest}": measures[longest].as_dict()}
    if len(measures) > 1:
        names = measures[0].as_dict()
        mean = {name: np.mean([one.as_dict()[name] for one in measures]) for name in names}
        columns[f"mean of {len(measures)}"] = mean
    columns["this body, passive"] = passive.as_dict()
    columns["compass gait (theory)"] = theory
    rows = [["", *columns]]
    for name, (title, factor, digits) in _SHOWN.items():
        cells = [
            f"{factor * column[name]:.{digits}f}" if name in column else ""
            for column in columns.values()
        ]
        rows.append([title, *cells])
    return rows


def _survival_rows(survival: Survival) -> tuple[str, list[str], list[str]]:
    """Title, heads and cells."""
    title, unit = {
        "slope": ("slopes", "degrees"),
        "push": ("one push after 4 s", "N s"),
    }[survival.kind]
    heads = [unit, *(f"{level:g}" for level in survival.levels)]
    return title, heads, [f"of {survival.n}", *(str(count) for count in survival.survived)]


def _series(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    columns: dict[str, NDArray[Any]] = {
        "episode": arrays["episode"],
        "time_s": arrays["time"],
        "slope_rad": arrays["slope"],
    }
    places = ("x_m", "z_m", "left_leg_rad", "left_foot_m", "right_leg_rad", "right_foot_m")
    columns |= dict(zip(places, arrays["qpos"].T, strict=True))
    rates = (f"{name}_per_s" for name in places)
    columns |= dict(zip(rates, arrays["qvel"].T, strict=True))
    columns["hip_torque_Nm"] = arrays["torque"]
    columns |= dict(zip(("left_touch_N", "right_touch_N"), arrays["touch"].T, strict=True))
    columns["reward"] = arrays["rewards"]
    if "reward_terms" in arrays:
        names = (f"reward_{name}" for name in TERMS)
        columns |= dict(zip(names, arrays["reward_terms"].T, strict=True))
    rows = zip(*(np.asarray(column).tolist() for column in columns.values()), strict=True)
    return _csv(list(columns), rows)


def _csv(header: Sequence[str], rows: Any) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def _png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def _write(path: Path, content: bytes) -> Path:
    """Whole or not at all."""
    unfinished = path.with_name(f".{path.name}.tmp")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)
    return path
