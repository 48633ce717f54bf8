"""Pictures of a walk, drawn without pyplot, which would look for a display."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from envs.passive_walker.gait import (
    Measures,
    Walk,
    foot_heights,
    heel_strikes,
    standing,
    swing_clearance,
)
from envs.passive_walker.models import CompassGait, LimitCycle, stride
from envs.passive_walker.rewards import TERMS
from envs.passive_walker.trials import Survival

Floats = NDArray[np.float64]

LEGS = (("left", "tab:blue"), ("right", "tab:orange"))

_THEORY: dict[str, Any] = {"color": "black", "linestyle": "--", "linewidth": 1.2}


@functools.cache
def passive_cycle(slope: float) -> LimitCycle | None:
    """The compass gait's cycle on a slope in rad; None where there's none to be found."""
    if slope <= 0.0:
        return None  # nothing makes up for what the impacts lose
    try:
        return CompassGait(slope).gait()
    except ValueError:
        return None


def draw_phases(walk: Walk) -> Figure:
    """Angle and rate of both legs, with the passive gait's cycle."""
    figure, (axes,) = _figure(1, 1, (7.0, 5.5))
    for leg, (name, color) in enumerate(LEGS):
        angle, rate = walk.qpos[:, 2 + 2 * leg], walk.qvel[:, 2 + 2 * leg]
        axes.plot(angle, rate, color=color, linewidth=0.7, alpha=0.6, label=f"{name} leg")
    cycle = passive_cycle(walk.slope)
    if cycle is None:
        axes.plot([], [], " ", label="no passive gait on this slope")
    else:
        for path, label in zip(
            _cycle_paths(walk.slope, cycle), ("passive gait", None), strict=True
        ):
            axes.plot(*path, **(_THEORY | {"linewidth": 1.8}), label=label)
    axes.set(
        xlabel="angle from the slope's normal, rad (ahead of the hip: positive)",
        ylabel="rate, rad/s",
        title=f"Phase portrait of both legs on {np.degrees(walk.slope):.3g}°",
    )
    axes.legend(loc="upper right")
    return figure


def _cycle_paths(slope: float, cycle: LimitCycle) -> tuple[Floats, Floats]:
    """Angle and rate `[2, m]` of the standing leg through a step, then of the swinging one."""
    path = stride(CompassGait(slope), cycle.state, n_times=200).path
    # The theory's angles are from the vertical.
    return (
        np.array([path[:, 1] + slope, path[:, 3]]),
        np.array([path[:, 0] + slope, path[:, 2]]),
    )


def draw_joints(walk: Walk) -> Figure:
    """Leg angles, foot lifts, torque of the hip, and the hip's height and speed over time."""
    figure, (angles, lifts, torque, hip) = _figure(4, 1, (10.0, 9.0), sharex=True)
    for leg, (name, color) in enumerate(LEGS):
        style: dict[str, Any] = {"color": color, "linewidth": 1.0, "label": name}
        angles.plot(walk.time, walk.qpos[:, 2 + 2 * leg], **style)
        lifts.plot(walk.time, 100.0 * walk.qpos[:, 3 + 2 * leg], **style)
    angles.set(ylabel="leg angle, rad", title="Joint positions")
    _legend(angles)
    lifts.set(ylabel="foot drawn up, cm")
    torque.plot(walk.time, walk.torque, color="tab:green", linewidth=1.0)
    torque.set(ylabel="hip torque, N m")
    hip.plot(walk.time, walk.qpos[:, 1], color="tab:purple", linewidth=1.0)
    hip.set(ylabel="hip height, m", xlabel="time, s")
    speed = hip.twinx()
    speed.plot(walk.time, walk.qvel[:, 0], color="tab:gray", linewidth=0.8, alpha=0.7)
    speed.set_ylabel("hip speed, m/s", color="tab:gray")
    return figure


def draw_rewards(time: Floats, terms: Floats | None, rewards: Floats) -> Figure:
    """Each named term per second over time, and the return so far.

    Args:
        time: s, `[T]`.
        terms: In the order of `rewards.TERMS`, `[T, 6]`; None where they aren't known.
        rewards: `[T]`.
    """
    figure, (rates, total) = _figure(2, 1, (10.0, 6.0), sharex=True)
    per_second = 1.0 / max(float(np.median(np.diff(time))), 1e-9) if len(time) > 1 else 1.0
    if terms is not None:
        for name, term in zip(TERMS, terms.T, strict=True):
            rates.plot(time, term * per_second, linewidth=1.0, label=name)
            total.plot(time, np.cumsum(term), linewidth=1.0, label=name)
    rates.plot(time, rewards * per_second, color="black", linewidth=1.0, label="reward")
    rates.set(ylabel="reward per second", title="Named rewards")
    _legend(rates)
    total.plot(time, np.cumsum(rewards), color="black", linewidth=1.2, label="return")
    total.set(ylabel="sum so far", xlabel="time, s")
    return figure


def draw_steps(walk: Walk, measures: Measures) -> Figure:
    """Length and period of every step, by the leg that came down."""
    figure, (lengths, periods) = _figure(2, 1, (10.0, 6.0), sharex=True)
    strikes = heel_strikes(walk)
    number = np.arange(1, len(strikes.time))
    cycle = passive_cycle(walk.slope)
    for axes, values, passive, name in (
        (lengths, np.diff(strikes.x), cycle and cycle.step_length, "step length, m"),
        (periods, np.diff(strikes.time), cycle and cycle.period, "step period, s"),
    ):
        axes.plot(number, values, color="lightgray", linewidth=1.0, zorder=0)
        for leg, (label, color) in enumerate(LEGS):
            mine = strikes.leg[1:] == leg
            axes.plot(number[mine], values[mine], "o", color=color, markersize=5, label=label)
        if passive:
            axes.axhline(passive, **_THEORY, label="passive gait")
        highest = max([*values.tolist(), passive or 0.0])
        axes.set(ylabel=name, ylim=(0.0, 1.1 * highest or 1.0))
    _legend(lengths)
    lengths.set_title(
        f"{measures.steps} steps, {measures.step_length:.3f} ± {measures.step_length_std:.3f} m "
        f"and {measures.period:.3f} ± {measures.period_std:.3f} s each, "
        f"asymmetry {100.0 * measures.asymmetry:.1f} %"
    )
    periods.set(xlabel="step")
    return figure


def draw_feet(walk: Walk) -> Figure:
    """Height of the feet over the ground, when they stand, and the clearance of every swing."""
    figure, (heights, stance, clearance) = _figure(
        3, 1, (10.0, 7.0), gridspec_kw={"height_ratios": (3, 1, 2)}
    )
    above, stands = 1000.0 * foot_heights(walk), standing(walk)
    for leg, (name, color) in enumerate(LEGS):
        heights.plot(walk.time, above[:, leg], color=color, linewidth=1.0, label=f"{name} foot")
        low = 1.1 * (1 - leg)
        stance.fill_between(walk.time, low, low + 1.0, where=stands[:, leg], color=color, lw=0)
    heights.set(ylabel="above ground, mm", title="Feet")
    _legend(heights)
    stance.set(yticks=[1.6, 0.5], yticklabels=["left", "right"], ylabel="stands")
    stance.sharex(heights)
    clearances, legs = swing_clearance(walk, heel_strikes(walk))
    number = np.arange(1, len(clearances) + 1)
    for leg, (_, color) in enumerate(LEGS):
        mine = legs == leg
        clearance.bar(number[mine], 1000.0 * clearances[mine], color=color)
    stance.set_xlabel("time, s")
    clearance.set(ylabel="highest in swing, mm", xlabel="step")
    return figure


def draw_survival(survivals: Sequence[Survival]) -> Figure:
    """Share of the episodes that reach the time limit, against slope and push."""
    figure, panels = _figure(1, len(survivals), (5.5 * len(survivals), 4.0))
    names = {"slope": "slope, degrees", "push": "push, N s (one; below 0: up the slope)"}
    for axes, survival in zip(panels, survivals, strict=True):
        share = 100.0 * survival.survived / survival.n
        axes.plot(survival.levels, share, "o-", color="tab:blue")
        axes.set(
            xlabel=names[survival.kind],
            ylabel="survive, %",
            ylim=(-5, 105),
            title=f"{survival.n} episodes at each {survival.kind}",
        )
    return figure


def _legend(axes: Axes) -> None:
    """Beside the curves, which fill their panel."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _figure(
    n_rows: int, n_columns: int, size: tuple[float, float], **options: Any
) -> tuple[Figure, tuple[Axes, ...]]:
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(n_rows, n_columns, squeeze=False, **options)
    panels = tuple(grid.ravel())
    for axes in panels:
        axes.grid(alpha=0.3)
    return figure, panels
