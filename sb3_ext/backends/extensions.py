"""What this PPO can do beyond stable-baselines3's, in one object; the defaults are SB3's."""

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

__all__ = ["PPOExtensions"]


@dataclass(frozen=True)
class PPOExtensions:
    """Arguments of ours for ``PPO(..., extensions=...)``, also as a dict or a YAML mapping.

    Attributes:
        value_learning_rate: A number, ``"lin_1e-3"`` or a callable. Given, policy and value
            function have each their own optimizer, learning rate and gradient norm, and
            ``learning_rate`` is the policy's. None: one optimizer for both.
        value_max_grad_norm: The value function's norm limit, with ``value_learning_rate``; None:
            ``max_grad_norm``.
        accumulate_minibatches: Minibatches whose gradients make one optimizer step; each weighs by
            its rows, so k minibatches of b give exactly the step of one batch of k b.
        drop_incomplete: Leave out the end of an epoch that doesn't fill an optimizer step.
        n_rollouts_kept: Learn from this many newest rollouts. Old advantages are kept as they were.
        advantage_normalization: ``"minibatch"``, ``"rollout"`` (once, over all rollouts kept) or
            ``"off"``; None: ``"minibatch"`` if ``normalize_advantage`` else ``"off"``.
        std: ``"free"``: a learned parameter; ``"fixed"``: ``exp(log_std_init)`` forever;
            ``"state"``: from the state, through tanh into ``std_range``.
        std_range: (low, high) for ``std="state"``.
        mean: ``"linear"`` or ``"tanh"``: what a Gaussian's means pass through.
        min_inference_size: Act as soon as so many rows are ready, each row at its own pace, rather
            than on all rows together; needs a SharedMemoryVecEnv. None: all together.
        bf16: Torch only: the network's matrices are multiplied in bfloat16, where the device is
            faster at it (CUDA from Ampere on); parameters, distributions and the loss stay float32.
    """

    value_learning_rate: float | str | Callable[[float], float] | None = None
    value_max_grad_norm: float | None = None
    accumulate_minibatches: int = 1
    drop_incomplete: bool = False
    n_rollouts_kept: int = 1
    advantage_normalization: str | None = None
    std: str = "free"
    std_range: tuple[float, float] | None = None
    mean: str = "linear"
    min_inference_size: int | None = None
    bf16: bool = False

    def __post_init__(self) -> None:
        self._check_choice("advantage_normalization", (None, "minibatch", "rollout", "off"))
        self._check_choice("std", ("free", "fixed", "state"))
        self._check_choice("mean", ("linear", "tanh"))
        for name in ("accumulate_minibatches", "n_rollouts_kept", "min_inference_size"):
            value = getattr(self, name)
            if value is None and name == "min_inference_size":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"extensions: {name} must be an integer >= 1, not {value!r}")
        if self.value_max_grad_norm is not None and self.value_learning_rate is None:
            raise ValueError("extensions: value_max_grad_norm needs value_learning_rate")
        self._check_range()

    def _check_choice(self, name: str, choices: tuple[str | None, ...]) -> None:
        value = getattr(self, name)
        if value not in choices:
            raise ValueError(f"extensions: {name} must be one of {choices}, not {value!r}")

    def _check_range(self) -> None:
        if self.std_range is None:
            if self.std == "state":
                object.__setattr__(self, "std_range", (0.1, 1.0))
            return
        if self.std != "state":
            raise ValueError(f"extensions: std_range needs std='state', not {self.std!r}")
        low, high = (float(x) for x in self.std_range)
        if not 0 < low < high < math.inf:
            raise ValueError(f"extensions: std_range needs 0 < low < high, not {self.std_range}")
        object.__setattr__(self, "std_range", (low, high))

    @classmethod
    def of(cls, value: "PPOExtensions | Mapping[str, Any] | None") -> "PPOExtensions":
        """Read an object, a mapping or None.

        Raises:
            ValueError: an unknown key, with the nearest known one, or a bad value.
            TypeError: anything else.
        """
        if value is None:
            return cls()
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise TypeError(f"extensions must be a PPOExtensions or a mapping, not {value!r}")
        names = [field.name for field in fields(cls)]
        for key in value:
            if key not in names:
                near = difflib.get_close_matches(str(key), names, n=1, cutoff=0.0)[0]
                raise ValueError(f"extensions: unknown key {key!r}; did you mean {near!r}?")
        return cls(**value)

    def changed(self) -> dict[str, Any]:
        """What differs from the defaults, as a plain dict."""
        defaults = asdict(PPOExtensions())
        return {key: value for key, value in asdict(self).items() if value != defaults[key]}
