"""Adam and SGD over one flat vector, with PyTorch's formulas."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SGD", "Adam", "make_optimizer"]


class Adam:
    """Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980).

    ::

        m = b1 m + (1 - b1) g            v = b2 v + (1 - b2) g^2
        p -= lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)

    The two bias corrections are scalars: with ``root = sqrt(1 - b2^t)`` the last line is
    ``p -= (lr root / (1 - b1^t)) m / (sqrt(v) + eps root)``, two passes over memory less.

    Args:
        size: Number of parameters.
        dtype: Of the parameters.
        betas: (b1, b2).
        eps: Added to the denominator; SB3's PPO uses 1e-5.
    """

    def __init__(
        self,
        size: int,
        dtype: type | np.dtype,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        self.betas, self.eps = betas, eps
        self.step_count = 0
        self.m = np.zeros(size, dtype)
        self.v = np.zeros(size, dtype)
        self._scratch = np.empty(size, dtype)

    def step(self, params: NDArray, g: NDArray, learning_rate: float | NDArray) -> None:
        """Move ``params``; a vector of learning rates gives each parameter its own."""
        (b1, b2), m, v, scratch = self.betas, self.m, self.v, self._scratch
        self.step_count += 1
        m *= b1
        m += np.multiply(g, 1.0 - b1, out=scratch)
        v *= b2
        np.multiply(g, g, out=scratch)
        scratch *= 1.0 - b2
        v += scratch
        root = math.sqrt(1.0 - b2**self.step_count)
        rate = learning_rate * (root / (1.0 - b1**self.step_count))
        np.sqrt(v, out=scratch)
        scratch += self.eps * root
        np.divide(m, scratch, out=scratch)
        scratch *= rate
        params -= scratch

    def state(self) -> dict[str, Any]:
        """The step and copies of the two moments."""
        moments = {"exp_avg": self.m.copy(), "exp_avg_sq": self.v.copy()}
        return {"step": self.step_count, **(moments if self.step_count else {})}

    def load(self, state: dict[str, Any]) -> None:
        """Set what :meth:`state` gave."""
        self.step_count = int(state["step"])
        self.m[:] = state["exp_avg"] if self.step_count else 0.0
        self.v[:] = state["exp_avg_sq"] if self.step_count else 0.0


class SGD:
    """``u = momentum u + g``, ``p -= lr u``."""

    def __init__(self, size: int, dtype: type | np.dtype, momentum: float = 0.0) -> None:
        self.momentum = momentum
        self.step_count = 0
        self.velocity = np.zeros(size, dtype)

    def step(self, params: NDArray, g: NDArray, learning_rate: float | NDArray) -> None:
        """Move ``params``."""
        self.step_count += 1
        if self.momentum:
            self.velocity *= self.momentum
            self.velocity += g
            g = self.velocity
        params -= learning_rate * g

    def state(self) -> dict[str, Any]:
        """The step and, with momentum, the velocity."""
        moments = {"momentum_buffer": self.velocity.copy()} if self.momentum else {}
        return {"step": self.step_count, **(moments if self.step_count else {})}

    def load(self, state: dict[str, Any]) -> None:
        """Set what :meth:`state` gave."""
        self.step_count = max(int(state["step"]), int("momentum_buffer" in state))
        self.velocity[:] = state.get("momentum_buffer", 0.0)


def make_optimizer(name: str, size: int, dtype: Any, kwargs: dict[str, Any]) -> Adam | SGD:
    """The optimizer that a spec names."""
    return {"adam": Adam, "sgd": SGD}[name](size, dtype, **kwargs)
