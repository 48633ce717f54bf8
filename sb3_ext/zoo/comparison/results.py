"""What a comparison has come to."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sb3_ext.zoo.comparison.curves import Curve
from sb3_ext.zoo.comparison.groups import Group
from sb3_ext.zoo.comparison.statistics import Estimate


@dataclass(frozen=True)
class Sample:
    """One figure of each run, and what they come to together.

    Attributes:
        values: ``[n_runs]``, in the order of the runs; NaN where it is unknown.
        estimate: Of all runs; None where one is unknown.
    """

    values: np.ndarray
    estimate: Estimate | None


@dataclass(frozen=True)
class Result:
    """What a group of runs has come to.

    Attributes:
        group: The runs.
        final: The final policies' mean returns; their interquartile mean.
        by_steps: The learning curve.
        by_seconds: The same over the runs' median wall time, if that is known.
        steps_to_threshold: Infinite for a run that never reached it; their median.
        seconds_to_threshold: Wall time until then; their median.
        steps_per_second: While learning; their interquartile mean.
        wall_seconds: From the first to the last moment of a run; their interquartile mean.
    """

    group: Group
    final: Sample
    by_steps: Curve
    by_seconds: Curve | None
    steps_to_threshold: Sample
    seconds_to_threshold: Sample
    steps_per_second: Sample
    wall_seconds: Sample

    @property
    def label(self) -> str:
        """The algorithm's label."""
        return self.group.label

    @property
    def n_runs(self) -> int:
        """How many runs there are."""
        return len(self.group.runs)

    @property
    def final_iqm(self) -> Estimate:
        """The interquartile mean of the final returns, which are known of every run."""
        assert self.final.estimate is not None
        return self.final.estimate


@dataclass(frozen=True)
class Improvement:
    """How likely a run of one algorithm beats one of another.

    Attributes:
        x: The one's label.
        y: The other's.
        probability: P(X > Y), ties counted half.
        p_value: Mann and Whitney's, two-sided; NaN for several worlds together.
    """

    x: str
    y: str
    probability: Estimate
    p_value: float


@dataclass(frozen=True)
class World:
    """The results on one world.

    Attributes:
        env_id: The world.
        results: One per label.
        untrained: The mean return before learning.
        best: The best algorithm's final interquartile mean.
        threshold: The return that sample efficiency is measured by.
        final_source: What the final returns were read from.
        improvements: One per pair of labels.
    """

    env_id: str
    results: list[Result]
    untrained: float
    best: float
    threshold: float
    final_source: str
    improvements: list[Improvement]


@dataclass(frozen=True)
class Overall:
    """All worlds together.

    Scores are 0 at a world's untrained level and 1 at its best algorithm's final IQM.

    Attributes:
        scores: Normalized final returns ``[n_runs, n_worlds]`` of each label that has runs on all
            worlds.
        iqm: Their interquartile means.
        improvements: Averaged over the worlds.
    """

    scores: dict[str, np.ndarray]
    iqm: dict[str, Estimate]
    improvements: list[Improvement]


@dataclass(frozen=True)
class Comparison:
    """All results.

    Attributes:
        curve_kind: Which curves were taken: ``evaluation`` or ``training``.
        worlds: Each world's results.
        overall: All worlds together, if there are several.
        notes: What the reader should know of these runs.
    """

    curve_kind: str
    worlds: list[World]
    overall: Overall | None
    notes: list[str] = field(default_factory=list)

    @property
    def labels(self) -> list[str]:
        """All labels, in order."""
        found = (result.label for world in self.worlds for result in world.results)
        return list(dict.fromkeys(found))

    @property
    def improvements(self) -> list[tuple[str, list[Improvement]]]:
        """Each world's id, and at last ``all worlds``, with its pairs, if it has any."""
        parts = [(world.env_id, world.improvements) for world in self.worlds]
        if self.overall is not None:
            parts.append(("all worlds", self.overall.improvements))
        return [(name, pairs) for name, pairs in parts if pairs]
