"""Action heads: from the actor's last hidden layer to a distribution's parameters, and back.

The distributions themselves are in ``functional/distributions.py``; a head adds the linear layer
and what stands between it and the distribution.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sb3_ext.backends.spec import NetworkSpec
from sb3_ext.functional.distributions import GaussianParams

__all__ = ["ExplorationHead", "GaussianHead", "LogitsHead", "StateStdHead", "make_head"]

Views = dict[str, NDArray]


class OutputLayer(Protocol):
    """The linear layer of a head, or what stands in its place."""

    def forward(self, x: NDArray, /) -> NDArray:
        """``[B, latent]`` to outputs, which the head may write into."""

    def backward(
        self, d_y: NDArray, /, needs_d_x: bool = True, d_x: NDArray | None = None
    ) -> NDArray | None:
        """The derivative of the latent into ``d_x``."""


class LogitsHead:
    """Logits of a categorical, multi-categorical or Bernoulli distribution: the layer's outputs."""

    def __init__(self, spec: NetworkSpec, layer: OutputLayer, params: Views, grads: Views) -> None:
        self.layer = layer

    def forward(self, latent: NDArray) -> Any:
        """``[B, latent]`` to the distribution's parameters."""
        return self.layer.forward(latent)

    def backward(self, d_params: Any, d_latent: NDArray) -> None:
        """Writes the parameters' derivatives and ``d_latent [B, latent]``."""
        self.layer.backward(d_params, d_x=d_latent)

    def prepare(self, noise: NDArray) -> NDArray:
        """What of the noise's use depends on the parameters alone, for a whole rollout."""
        return noise

    def add_noise(self, params: Any, latent: NDArray, prepared: NDArray) -> Any:
        """The distribution's parameters moved by noise: the mode of the result is a sample."""
        return params + prepared


class GaussianHead(LogitsHead):
    """A mean (through tanh if the spec says so) and a log std that doesn't depend on the state."""

    def __init__(self, spec: NetworkSpec, layer: OutputLayer, params: Views, grads: Views) -> None:
        super().__init__(spec, layer, params, grads)
        self.tanh = spec.mean == "tanh"
        self.is_free = spec.std == "free"
        self.log_std, self.d_log_std = params["log_std"], grads["log_std"]
        self.mean: Any = None

    def forward(self, latent: NDArray) -> GaussianParams:
        """Mean ``[B, A]``, log std ``[A]``."""
        self.mean = self.layer.forward(latent)
        if self.tanh:
            np.tanh(self.mean, out=self.mean)
        return GaussianParams(self.mean, self.log_std)

    def backward(self, d_params: GaussianParams, d_latent: NDArray) -> None:
        """A fixed log std has no derivative: it isn't learned."""
        d_mean = d_params.mean
        if self.tanh:
            d_mean = d_mean * (1.0 - self.mean * self.mean)
        self.layer.backward(d_mean, d_x=d_latent)
        if self.is_free:
            self.d_log_std[...] = d_params.log_std

    def prepare(self, noise: NDArray) -> NDArray:
        """``std * noise``."""
        return np.exp(self.log_std) * noise

    def add_noise(
        self, params: GaussianParams, latent: NDArray, prepared: NDArray
    ) -> GaussianParams:
        """``mean + std * noise``."""
        return params._replace(mean=params.mean + prepared)


class StateStdHead(LogitsHead):
    """Mean and std both from the state: ``std = low + (high - low) (tanh(h) + 1) / 2``."""

    def __init__(self, spec: NetworkSpec, layer: OutputLayer, params: Views, grads: Views) -> None:
        super().__init__(spec, layer, params, grads)
        self.n = spec.distribution.n_params
        self.tanh = spec.mean == "tanh"
        low, high = spec.std_range
        self.middle, self.half = (high + low) / 2.0, (high - low) / 2.0
        self.mean: Any = None
        self.t: Any = None
        self.std: Any = None

    def forward(self, latent: NDArray) -> GaussianParams:
        """Mean and log std, ``[B, A]`` each."""
        outputs = self.layer.forward(latent)
        mean, h = outputs[:, : self.n], outputs[:, self.n :]
        self.mean = np.tanh(mean) if self.tanh else mean
        self.t = np.tanh(h)
        self.std = self.middle + self.half * self.t
        return GaussianParams(self.mean, np.log(self.std))

    def backward(self, d_params: GaussianParams, d_latent: NDArray) -> None:
        """``d log std / d h = half (1 - tanh(h)^2) / std``."""
        d_mean = d_params.mean
        if self.tanh:
            d_mean = d_mean * (1.0 - self.mean * self.mean)
        d_h = d_params.log_std * self.half * (1.0 - self.t * self.t) / self.std
        self.layer.backward(np.concatenate([d_mean, d_h], axis=1), d_x=d_latent)

    def add_noise(
        self, params: GaussianParams, latent: NDArray, prepared: NDArray
    ) -> GaussianParams:
        """``mean + std * noise``."""
        return params._replace(mean=params.mean + np.exp(params.log_std) * prepared)


class ExplorationHead(LogitsHead):
    """gSDE (Raffin et al. 2022, https://arxiv.org/abs/2005.05719): noise linear in the features.

    The noise is ``latent E`` with ``E_ij = S_ij * normal``, drawn rarely. Over draws of E an action
    is Gaussian with variance ``latent^2 S^2 + eps``, and that is the distribution which is learned.
    S is ``exp(log_std)``, or with expln ``log1p(log_std) + 1`` above 0. The latent features get no
    gradient through the variance.
    """

    epsilon = 1e-6

    def __init__(self, spec: NetworkSpec, layer: OutputLayer, params: Views, grads: Views) -> None:
        super().__init__(spec, layer, params, grads)
        self.use_expln = spec.use_expln
        self.is_free = spec.std == "free"
        self.log_std, self.d_log_std = params["log_std"], grads["log_std"]
        self.n = spec.distribution.n_params
        self.latent_squared: Any = None
        self.scale: Any = None
        self.variance: Any = None

    def _scale(self) -> NDArray:
        """S, ``[latent, A]``."""
        scale = np.exp(np.minimum(self.log_std, 0.0) if self.use_expln else self.log_std)
        if self.use_expln:
            positive = np.maximum(self.log_std, 0.0)
            scale = np.where(self.log_std > 0, np.log1p(positive + self.epsilon) + 1.0, scale)
        scale = scale.astype(self.log_std.dtype, copy=False)
        return np.broadcast_to(scale, (len(self.log_std), self.n))

    def forward(self, latent: NDArray) -> GaussianParams:
        """Mean and log std, ``[B, A]`` each."""
        self.scale = self._scale()
        self.latent_squared = latent * latent
        self.variance = self.latent_squared @ (self.scale * self.scale) + self.epsilon
        return GaussianParams(self.layer.forward(latent), 0.5 * np.log(self.variance))

    def backward(self, d_params: GaussianParams, d_latent: NDArray) -> None:
        """``d log std / d variance = 1 / (2 variance)``, ``d variance / d S = 2 latent^2 S``."""
        self.layer.backward(d_params.mean, d_x=d_latent)
        if not self.is_free:
            return
        d_variance = d_params.log_std / (2.0 * self.variance)
        d_scale = 2.0 * self.scale * (self.latent_squared.T @ d_variance)
        derivative = self.scale
        if self.use_expln:
            positive = np.maximum(self.log_std, 0.0)
            above = 1.0 / (1.0 + positive + self.epsilon)
            derivative = np.where(self.log_std > 0, above, self.scale)
        d_log_std = d_scale * derivative
        if self.log_std.shape[1] == 1:  # one std per feature: every action pulls at it
            d_log_std = d_log_std.sum(axis=1, keepdims=True)
        self.d_log_std[...] = d_log_std

    def prepare(self, noise: NDArray) -> NDArray:
        """The exploration matrices ``S * normal``, ``[..., latent, A]``."""
        return self._scale() * noise

    def add_noise(
        self, params: GaussianParams, latent: NDArray, prepared: NDArray
    ) -> GaussianParams:
        """``mean + latent E``, each row with its own matrix ``[B, latent, A]``."""
        return params._replace(mean=params.mean + np.matmul(latent[:, None], prepared)[:, 0])


def make_head(spec: NetworkSpec, layer: OutputLayer, params: Views, grads: Views) -> LogitsHead:
    """The head that a spec's action space and std need."""
    cls: type[LogitsHead] = LogitsHead
    if spec.log_std_shape is not None:
        cls = ExplorationHead if spec.use_sde else GaussianHead
    elif spec.std == "state":
        cls = StateStdHead
    return cls(spec, layer, params, grads)
