"""Observations and rewards by RLGym's own parts, each match with parts of its own."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rlgym.api import ObsBuilder, RewardFunction
from rlgym.rocket_league.obs_builders import DefaultObs


class PartObservations:
    """RLGym's ObsBuilders behind :class:`observation.LocalObservation`'s form.

    Args:
        asked: "default" (RLGym's DefaultObs), a class or function that makes one, or
            `"module:name"` of one.
        n_matches: Matches.
        team_size: Cars of a team at most.

    Raises:
        ValueError: It makes none.
    """

    def __init__(self, asked: Any, n_matches: int, team_size: int) -> None:
        make = asked
        if asked == "default":
            make = lambda: DefaultObs(zero_padding=team_size)  # noqa: E731
        self._parts = [made(make, ObsBuilder, "observation") for _ in range(n_matches)]
        self.size = -1  # known once there is a state

    def begin(self, match: int, state: Any, shared_info: dict[str, Any]) -> None:
        """An episode begins."""
        part, agents = self._parts[match], list(state.cars)
        part.reset(agents, state, shared_info)
        if self.size < 0:
            kind, size = part.get_obs_space(agents[0])
            if kind != "real" or size < 1:
                raise ValueError(f"observation: {type(part).__name__} tells the space {kind, size}")
            self.size = int(size)

    def of(self, match: int, state: Any, shared_info: dict[str, Any]) -> NDArray[np.float32]:
        """Of the match's cars, `[n_cars, size]`."""
        agents = list(state.cars)
        told = self._parts[match].build_obs(agents, state, shared_info)
        return np.array([told[agent] for agent in agents], np.float32)


class PartRewards:
    """RLGym's RewardFunctions, one for each match.

    Args:
        asked: A class or function that makes one, or `"module:name"` of one.
        n_matches: Matches.

    Raises:
        ValueError: It makes none.
    """

    def __init__(self, asked: Any, n_matches: int) -> None:
        self._parts = [made(asked, RewardFunction, "reward") for _ in range(n_matches)]

    def begin(self, match: int, state: Any, shared_info: dict[str, Any]) -> None:
        """An episode begins."""
        self._parts[match].reset(list(state.cars), state, shared_info)

    def of(
        self, match: int, state: Any, ends: tuple[bool, bool], shared_info: dict[str, Any]
    ) -> NDArray[np.float64]:
        """The step's, of the match's cars, `[n_cars]`; ends: terminated, truncated."""
        agents = list(state.cars)
        terminated, truncated = (dict.fromkeys(agents, end) for end in ends)
        part = self._parts[match]
        told = part.get_rewards(agents, state, terminated, truncated, shared_info)
        return np.array([told[agent] for agent in agents], np.float64)


def made(make: Any, kind: type, what: str) -> Any:
    """A part of RLGym's.

    Args:
        make: A class or function that makes one, or `"module:name"` of one.
        kind: What it must make.
        what: The argument, for messages.

    Raises:
        ValueError: It makes none.
    """
    asked = make
    if isinstance(make, str):
        module, colon, name = make.partition(":")
        try:
            make = getattr(importlib.import_module(module), name) if colon else None
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(f"{what}: there's no {asked} ({error})") from error
    part = make() if callable(make) else None
    if not isinstance(part, kind):
        raise ValueError(
            f"{what} must be a name, or what makes RLGym's {kind.__name__}, a class, a function or "
            f"'module:name'; not {asked!r}"
        )
    return part
