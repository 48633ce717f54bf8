"""What two saved models hold: their settings, their parameters, their optimizers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sb3_ext.parity.compare import Difference, Ledger
from sb3_ext.parity.steps import State

__all__ = ["Contents", "compare_settings", "compare_states", "settings_of"]

SETTINGS = (
    "n_envs",
    "n_steps",
    "batch_size",
    "n_epochs",
    "learning_rate",
    "clip_range",
    "clip_range_vf",
    "gamma",
    "gae_lambda",
    "normalize_advantage",
    "ent_coef",
    "vf_coef",
    "max_grad_norm",
    "target_kl",
    "use_sde",
    "sde_sample_freq",
    "policy_class",
    "seed",
)
"""Arguments of PPO that a file names, in the order in which they are compared."""

MAPPINGS = ("policy_kwargs", "extensions")
"""Those that are mappings: compared key by key."""


def settings_of(data: Mapping[str, Any]) -> dict[str, str]:
    """A file's settings in plain words, so that two files can be compared.

    Args:
        data: What SB3's ``load_from_zip_file`` reads.

    Returns:
        By name; schedules by their values at the beginning, in the middle and at the end.
    """
    found = {name: _plain(data[name]) for name in SETTINGS if name in data}
    for name in MAPPINGS:
        for key, value in sorted((data.get(name) or {}).items()):
            found[f"{name}: {key}"] = _plain(value)
    return found


def _plain(value: Any) -> str:
    if isinstance(value, type):
        return value.__name__
    if callable(value):
        numbers = [float(value(progress)) for progress in (1.0, 0.5, 0.0)]
        same = max(numbers) == min(numbers)
        return f"{numbers[0]:g}" if same else " -> ".join(f"{x:g}" for x in numbers)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain(part)}" for key, part in sorted(value.items()))
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_plain, value))}]"
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return f"{value:g}" if number else str(value)


def compare_settings(a: Mapping[str, str], b: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """The settings that differ, as both have them; what a file doesn't name is the default."""
    return {
        name: (a.get(name, "default"), b.get(name, "default"))
        for name in [*a, *(name for name in b if name not in a)]
        if a.get(name) != b.get(name)
    }


@dataclass
class Contents:
    """How two networks and their optimizers differ.

    Attributes:
        shapes: Parameters that not both have, or not with the same shape.
        parameter: The first parameter that differs, or None.
        moments: The first array of each moment, and ``step``, that differs.
        largest: Of each term the largest difference.
        n_parameters: How many parameter arrays there are.
    """

    shapes: list[str] = field(default_factory=list)
    parameter: Difference | None = None
    moments: dict[str, Difference] = field(default_factory=dict)
    largest: dict[str, Difference] = field(default_factory=dict)
    n_parameters: int = 0

    @property
    def agree(self) -> bool:
        """Whether everything is within the tolerance."""
        return not self.shapes and self.parameter is None and not self.moments

    @property
    def identical(self) -> bool:
        """Whether everything is the same to the bit."""
        return not self.shapes and all(x.size == 0.0 for x in self.largest.values())


def compare_states(a: State, b: State, tolerance: float) -> Contents:
    """Compare parameters and moments, array by array.

    Args:
        a: One network.
        b: The other.
        tolerance: See ``compare.allowed_differences``.
    """
    result = Contents(n_parameters=len(a.parameters))
    for name in [*a.parameters, *(name for name in b.parameters if name not in a.parameters)]:
        shapes = [_shape(state, name) for state in (a, b)]
        if shapes[0] != shapes[1]:
            result.shapes.append(f"{name} is {shapes[0]} and {shapes[1]}")
    if result.shapes:
        return result
    ledger = Ledger(tolerance)
    result.largest = ledger.largest
    result.parameter = ledger.check("parameter", a.parameters, b.parameters)
    counts = [{"": np.asarray(state.optimizer["step"])} for state in (a, b)]
    zeros = {name: np.zeros_like(value) for name, value in a.parameters.items()}
    terms = {"step": counts}
    for moment in sorted((a.optimizer.keys() | b.optimizer.keys()) - {"step"}):
        terms[moment] = [state.optimizer.get(moment, zeros) for state in (a, b)]
    for term, (mine, theirs) in terms.items():
        found = ledger.check(term, mine, theirs, allowed={"": 0.0} if term == "step" else None)
        if found is not None:
            result.moments[term] = found
    return result


def _shape(state: State, name: str) -> str:
    return str(list(state.parameters[name].shape)) if name in state.parameters else "missing"
