"""What the backends share whose framework differentiates: acting, evaluating and the loss.

A framework gives a network from encoded observations to (action outputs, actor's last hidden
layer, values) and the derivative of a function; everything here is written over ``xp``.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple, NoReturn

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_ext.backends.base import ActorCritic, Batch, take
from sb3_ext.backends.numpy_backend import NumpyActorCritic
from sb3_ext.backends.observations import encode
from sb3_ext.backends.spec import NetworkSpec
from sb3_ext.functional import heads
from sb3_ext.functional.losses import Coefficients, Predictions, ppo_loss, ppo_rows
from sb3_ext.functional.xp import namespace

__all__ = [
    "AutogradActorCritic",
    "Outputs",
    "action_params",
    "chosen",
    "loss_of",
    "predictions_of",
    "raise_not_finite",
]

_ROWS_AT_ONCE = 4096
_IMAGES_AT_ONCE = 256

Array = Any


class Outputs(NamedTuple):
    """What a network says of B observations, in its framework's arrays."""

    actions: Array  # [B, n_action_outputs]
    latent: Array  # [B, latent], the actor's last hidden layer; None where nobody needs it
    values: Array  # [B]; None from a pass of the actor alone
    log_std: Array = None  # the parameter of that name; None when there is none


def action_params(xp: Any, spec: NetworkSpec, outputs: Outputs) -> Any:
    """The action distribution's parameters."""
    if spec.std == "state":
        return heads.state_gaussian(xp, outputs.actions, spec.std_range, spec.mean)
    if spec.log_std_shape is None:
        return outputs.actions
    log_std = outputs.log_std
    if spec.std == "fixed":
        log_std = xp.stop_gradient(log_std)
    if spec.use_sde:
        return heads.exploration(xp, outputs.actions, outputs.latent, log_std, spec.use_expln)
    return heads.gaussian(xp, outputs.actions, log_std, spec.mean)


def sample(xp: Any, spec: NetworkSpec, outputs: Outputs, noise: Array) -> Array:
    """Actions ``[B, ...]`` from a block of noise; the mode where it is None."""
    params = action_params(xp, spec, outputs)
    if noise is None:
        return spec.distribution.mode(xp, params)
    if spec.use_sde:  # the noise is a matrix for each row, [B, latent, A]
        std = heads.exploration_std(xp, outputs.log_std, spec.use_expln)
        added = xp.matmul(outputs.latent[:, None], std * noise)[:, 0]
        return spec.distribution.mode(xp, params._replace(mean=params.mean + added))
    return spec.distribution.sample(xp, params, noise)


def chosen(
    xp: Any, spec: NetworkSpec, network: Callable[[bool], Outputs], noise: Array
) -> tuple[Array, Predictions | None]:
    """Actions; with images what the network says of them, else one batch at the end is cheaper.

    Args:
        xp: The array namespace.
        spec: The network's.
        network: Its outputs for some observations; True: the actor's alone will do.
        noise: For each row.
    """
    judges = bool(spec.images)
    outputs = network(not judges)
    actions = sample(xp, spec, outputs, noise)
    return actions, predictions_of(xp, spec, outputs, actions) if judges else None


def predictions_of(xp: Any, spec: NetworkSpec, outputs: Outputs, actions: Array) -> Predictions:
    """Log-probabilities and entropies of given actions, with the values."""
    evaluation = spec.distribution.evaluate(xp, action_params(xp, spec, outputs), actions)
    return Predictions(evaluation.log_prob, evaluation.entropy, outputs.values)


def loss_of(
    xp: Any, predictions: Predictions, batch: Batch, coefs: Coefficients, mask: Array = None
) -> Array:
    """PPO's loss of a minibatch in the framework's arrays."""
    return ppo_loss(xp, ppo_rows(xp, *predictions, *batch[2:], coefs), coefs, mask)


def raise_not_finite(gradients: Mapping[str, NDArray]) -> NoReturn:
    """Say which parameter's gradient it is that has a NaN or an infinity.

    Raises:
        FloatingPointError: always.
    """
    # A huge but finite gradient may overflow the norm's float32 squares: their limit is 1e19.
    bad = [name for name, g in gradients.items() if not (np.abs(np.asarray(g)) < 1e19).all()]
    raise FloatingPointError(f"the gradient of {bad[0] if bad else 'all together'} is not finite")


def joined(parts: list[Predictions]) -> Predictions:
    """Predictions of several batches as one."""
    columns = zip(*parts, strict=True)
    return Predictions(*(None if c[0] is None else np.concatenate(c) for c in columns))


class AutogradActorCritic(ActorCritic):
    """The part of a backend that doesn't depend on how its framework trains.

    A built-in network without convolutions acts through the NumPy backend with the same parameters:
    for the few rows of an env step, a framework's calls (and a GPU's transfers) cost more than the
    arithmetic.

    Args:
        spec: The network to build.
        parameters: Canonical initial parameters; None: the user's own network's.
    """

    def __init__(self, spec: NetworkSpec, parameters: dict[str, NDArray] | None) -> None:
        super().__init__(spec, parameters)
        self.xp = namespace(self.name)
        self._twin: NumpyActorCritic | None = None
        if self._acts_in_numpy():
            self._twin = NumpyActorCritic(spec, parameters)
        self._is_twin_old = True
        self._acted: list[Predictions] = []  # by the steps of the rollout under way

    # What a framework gives

    def _acts_in_numpy(self) -> bool:
        return self.spec.is_canonical and not self.spec.images

    no_gradient: Callable[[], Any] = nullcontext
    """A context in which the framework records nothing to differentiate."""

    @abstractmethod
    def tensor(self, array: NDArray) -> Array:
        """A NumPy array as one of the framework's."""

    def array(self, tensor: Array) -> NDArray:
        """And back."""
        return np.asarray(tensor)

    @abstractmethod
    def infer(self, x: Any, actor_only: bool) -> Outputs:
        """The network's outputs for encoded observations, without a gradient."""

    # The network

    def in_numpy(self) -> NumpyActorCritic | None:
        """The twin in NumPy with the parameters of now, or None when it isn't worth having."""
        if self._twin is not None and self._is_twin_old:
            self._twin.load_parameters(self.parameters())
            self._is_twin_old = False
        return self._twin

    def encoded(self, obs: Any) -> Any:
        """Observations as the network reads them; images stay as they are, a quarter of the size.

        The network itself makes floats of images, see ``NetworkSpec.image_scale``.
        """
        spec, space = self.spec, self.spec.observation_space
        if "" in spec.images:
            return self.tensor(obs)
        if not isinstance(space, spaces.Dict):
            return self.tensor(encode(space, obs, spec.normalize_images))
        return {
            key: self.tensor(
                obs[key] if key in spec.images else encode(part, obs[key], spec.normalize_images)
            )
            for key, part in space.spaces.items()
        }

    def act(self, obs: Any, noise: NDArray | None) -> NDArray:
        """Actions ``[B, ...]``, sampled with ``noise``; the mode if it's None."""
        if twin := self.in_numpy():
            return twin.act(obs, noise)
        outputs = self.infer(self.encoded(obs), actor_only=True)
        block = None if noise is None else self.tensor(noise)
        return self._as_actions(sample(self.xp, self.spec, outputs, block))

    def _as_actions(self, actions: Array) -> NDArray:
        result = self.array(actions).copy()
        return result.astype(np.int64) if result.dtype.kind == "i" else result

    def actor(self, noise: NDArray) -> Callable[[int, Any], NDArray]:
        """``act`` for a rollout: a function of (index into ``noise``, obs)."""
        if twin := self.in_numpy():
            return twin.actor(noise)
        self._acted.clear()
        choose = self.chooser()

        def act(k: int, obs: Any) -> NDArray:
            with self.no_gradient():
                actions, found = choose(self.encoded(obs), self.tensor(noise[k]))
                if found is not None:
                    self._acted.append(self._arrays(found))
            return self._as_actions(actions)

        return act

    def chooser(self) -> Callable[[Any, Array], tuple[Array, Predictions | None]]:
        """A function of (encoded observations, noise), in the framework's arrays, no gradient.

        It gives actions and, with images, what the network says of them. The parameters are those
        of now.
        """
        return lambda x, noise: chosen(self.xp, self.spec, partial(self.infer, x), noise)

    def _arrays(self, found: Predictions) -> Predictions:
        """Predictions in NumPy, an entropy for each row."""
        n = found.values.shape[0]
        return Predictions(
            *(None if x is None else np.broadcast_to(self.array(x), n) for x in found)
        )

    def acted_predictions(self) -> Predictions | None:
        """What the last rollout's acting found, with images."""
        return joined(self._acted) if self._acted else None

    def values(self, obs: Any) -> NDArray:
        """V(obs), ``[B]``."""
        if twin := self.in_numpy():
            return twin.values(obs)
        return np.concatenate(
            [
                self.array(self.infer(self.encoded(take(obs, chunk)), actor_only=False).values)
                for chunk in self._chunks(obs)
            ]
        )

    def evaluate(self, obs: Any, actions: NDArray) -> Predictions:
        """Log-probabilities, entropies and values, chunk by chunk."""
        if twin := self.in_numpy():
            return twin.evaluate(obs, actions)
        return joined(
            [
                self._arrays(
                    self.judge(self.encoded(take(obs, chunk)), self.tensor(actions[chunk]))
                )
                for chunk in self._chunks(obs)
            ]
        )

    def judge(self, x: Any, actions: Array) -> Predictions:
        """What the network says of given actions, in the framework's arrays, no gradient."""
        return predictions_of(self.xp, self.spec, self.infer(x, actor_only=False), actions)

    def _chunks(self, obs: Any) -> Iterator[slice]:
        n = len(next(iter(obs.values())) if isinstance(obs, dict) else obs)
        size = _IMAGES_AT_ONCE if self.spec.images else _ROWS_AT_ONCE
        return (slice(start, start + size) for start in range(0, n, size))

    def distribution_params(self, obs: Any) -> tuple[NDArray, ...]:
        """Logits, or mean and log std, ``[B, n]`` each."""
        outputs = self.infer(self.encoded(obs), actor_only=True)
        params = action_params(self.xp, self.spec, outputs)
        parts = params if isinstance(params, tuple) else (params,)
        return tuple(np.broadcast_to(self.array(p), parts[0].shape).copy() for p in parts)

    def minibatch_tensors(self, batch: Batch) -> Batch:
        """A minibatch with its observations encoded, in the framework's arrays."""
        return Batch(self.encoded(batch.obs), *(self.tensor(column) for column in batch[1:]))
