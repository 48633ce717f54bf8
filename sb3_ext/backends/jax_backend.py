"""The JAX backend: an Equinox network, Optax, and a whole update in one jitted scan."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from sb3_ext.backends.autograd import (
    AutogradActorCritic,
    Outputs,
    chosen,
    loss_of,
    predictions_of,
    raise_not_finite,
)
from sb3_ext.backends.base import Batch, Rates, UpdateSettings, UpdateStats, summarize, take
from sb3_ext.backends.jax_network import OwnNetwork, named_leaves
from sb3_ext.backends.parameters import check_names_and_shapes, is_value_parameter, shapes
from sb3_ext.backends.spec import NATURE_CNN, NetworkSpec
from sb3_ext.functional.losses import Coefficients, Predictions
from sb3_ext.functional.xp import namespace

__all__ = ["JaxActorCritic", "Network"]

ACTIVATIONS: dict[str, Callable] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "identity": lambda x: x,
}
_XP = namespace("jax")


# The network. Its leaves are taken from a mapping of canonical names, so that the same constructor
# called with names in place of arrays gives a tree which tells each leaf's name.


class Linear(eqx.Module):
    """``x W + b``; W lies ``[in, out]``, in which order XLA multiplies it faster on a CPU."""

    weight: Any
    bias: Any

    def __init__(self, parameters: Mapping[str, Any], name: str) -> None:
        self.weight, self.bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]

    def __call__(self, x: jax.Array) -> jax.Array:
        return x @ self.weight + self.bias


class Convolution(Linear):
    """``[B, C, H, W]``; the kernel lies ``[out, in, size, size]``."""

    stride: int = eqx.field(static=True)

    def __init__(self, parameters: Mapping[str, Any], name: str, stride: int) -> None:
        super().__init__(parameters, name)
        self.stride = stride

    def __call__(self, x: jax.Array) -> jax.Array:
        strides = (self.stride, self.stride)
        y = jax.lax.conv_general_dilated(x, self.weight, strides, "VALID")
        return y + self.bias[:, None, None]


class Tower(eqx.Module):
    """Linear layers with an activation after each."""

    layers: list[Linear]
    activation: str = eqx.field(static=True)

    def __init__(
        self, parameters: Mapping[str, Any], name: str, n_layers: int, activation: str
    ) -> None:
        self.layers = [Linear(parameters, f"{name}.{2 * k}") for k in range(n_layers)]
        self.activation = activation

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.layers:
            x = ACTIVATIONS[self.activation](layer(x))
        return x


class NatureCNN(eqx.Module):
    """Three convolutions and a linear layer, a ReLU after each (Mnih et al. 2015)."""

    convolutions: list[Convolution]
    linear: Linear
    scale: float = eqx.field(static=True)

    def __init__(self, parameters: Mapping[str, Any], name: str, scale: float) -> None:
        self.convolutions = [
            Convolution(parameters, f"{name}cnn.{2 * k}", stride)
            for k, (_, _, stride) in enumerate(NATURE_CNN)
        ]
        self.linear = Linear(parameters, f"{name}linear.0")
        self.scale = scale

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x.astype(jnp.float32) * self.scale
        for convolution in self.convolutions:
            x = jax.nn.relu(convolution(x))
        return jax.nn.relu(self.linear(x.reshape(len(x), -1)))


class Extractor(eqx.Module):
    """Images through a NatureCNN each, the rest flattened, side by side."""

    cnns: dict[str, NatureCNN]

    def __init__(self, parameters: Mapping[str, Any], name: str, spec: NetworkSpec) -> None:
        self.cnns = {
            key: NatureCNN(
                parameters,
                f"{name}.extractors.{key}." if key else f"{name}.",
                spec.image_scale(key),
            )
            for key in spec.images
        }

    def __call__(self, x: Any) -> jax.Array:
        if not isinstance(x, dict):
            return self.cnns[""](x) if self.cnns else x.reshape(len(x), -1)
        parts = [
            self.cnns[key](part) if key in self.cnns else part.reshape(len(part), -1)
            for key, part in x.items()
        ]
        return jnp.concatenate(parts, axis=1)


class Network(eqx.Module):
    """Actor and critic, from encoded observations to :class:`Outputs`."""

    log_std: Any
    extractor: Extractor
    vf_extractor: Extractor | None
    policy_net: Tower
    value_net: Tower
    action_head: Linear
    value_head: Linear

    def __init__(self, spec: NetworkSpec, parameters: Mapping[str, Any]) -> None:
        self.log_std = parameters.get("log_std")
        self.extractor = Extractor(parameters, "features_extractor", spec)
        self.vf_extractor = None
        if not spec.share_features_extractor:
            self.vf_extractor = Extractor(parameters, "vf_features_extractor", spec)
        tower = partial(Tower, parameters, activation=spec.activation)
        self.policy_net = tower("mlp_extractor.policy_net", len(spec.pi))
        self.value_net = tower("mlp_extractor.value_net", len(spec.vf))
        self.action_head = Linear(parameters, "action_net")
        self.value_head = Linear(parameters, "value_net")

    def __call__(self, x: Any, actor_only: bool = False) -> Outputs:
        features = self.extractor(x)
        latent = self.policy_net(features)
        actions = self.action_head(latent)
        if actor_only:
            return Outputs(actions, latent, None, self.log_std)
        if self.vf_extractor is not None:
            features = self.vf_extractor(x)
        values = self.value_head(self.value_net(features))[:, 0]
        return Outputs(actions, latent, values, self.log_std)


# One optimizer step, as pure functions.


class Learner(NamedTuple):
    """What an optimizer step changes."""

    network: Network
    optimizer: Any


def _norm(leaves: list[jax.Array]) -> jax.Array:
    return jnp.sqrt(sum(jnp.sum(leaf * leaf) for leaf in leaves))


def _clip(gradient: Any, is_value: Any, limits: Rates) -> tuple[Any, jax.Array]:
    """The gradient within its limits, and its norm before."""
    leaves, tree = jax.tree.flatten(gradient)
    flags = jax.tree.leaves(is_value)
    norm = _norm(leaves)
    if limits.value is None:
        factor = jnp.minimum(limits.policy / (norm + 1e-6), 1.0)
        return jax.tree.map(lambda g: g * factor, gradient), norm
    factors = {}
    for flag, limit in ((False, limits.policy), (True, limits.value)):
        part = _norm([leaf for leaf, own in zip(leaves, flags, strict=True) if own is flag])
        factors[flag] = jnp.minimum(limit / (part + 1e-6), 1.0)
    clipped = [leaf * factors[own] for leaf, own in zip(leaves, flags, strict=True)]
    return jax.tree.unflatten(tree, clipped), norm


def _apply(
    transform: optax.GradientTransformation,
    is_value: Any,
    learner: Learner,
    gradient: Any,
    rates: Rates,
    limits: Rates,
) -> tuple[Learner, jax.Array]:
    """Clip the gradient, move the network; also returns the norm before clipping."""
    gradient, norm = _clip(gradient, is_value, limits)
    moves, optimizer = transform.update(gradient, learner.optimizer)
    if rates.value is None:
        moves = jax.tree.map(lambda move: -rates.policy * move, moves)
    else:
        both = {False: rates.policy, True: rates.value}
        moves = jax.tree.map(lambda move, own: -both[own] * move, moves, is_value)
    return Learner(optax.apply_updates(learner.network, moves), optimizer), norm


def enable_compilation_cache() -> None:
    """Keep compiled programs on disk between runs, unless the user has chosen a place himself."""
    if getattr(jax.config, "jax_compilation_cache_dir", None) is not None:
        return
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    jax.config.update("jax_compilation_cache_dir", str(home / "sb3_ext" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


class JaxActorCritic(AutogradActorCritic):
    """PPO's network in Equinox, moved by Optax.

    Args:
        spec: The network to build.
        parameters: Canonical initial parameters; None: the user's own network's.
    """

    name = "jax"

    def __init__(self, spec: NetworkSpec, parameters: dict[str, NDArray] | None) -> None:
        super().__init__(spec, parameters)
        enable_compilation_cache()
        if spec.network is None:
            self.shapes = shapes(spec)
            # A tree like the network, with names in place of arrays.
            names = Network(spec, {name: name for name in self.shapes})
            self.names, self.structure = jax.tree.flatten(names)
            self._turned = {name for name in self.names if _is_turned(name, self.shapes)}
        else:
            own = OwnNetwork(spec)
            initial = named_leaves(own)
            self.shapes = {name: leaf.shape for name, leaf in initial.items()}
            self.names, self.structure = list(initial), jax.tree.structure(own)
            self._turned = set()
            parameters = initial if parameters is None else parameters
        assert parameters is not None
        self.transform = _transform(spec.optimizer, **spec.optimizer_kwargs)
        self.learner: Learner
        self._set(parameters)
        self.step_count = 0
        self._compile()

    def _compile(self) -> None:
        """The functions that XLA runs; each is compiled at its first call with new shapes."""
        spec = self.spec
        is_value = jax.tree.unflatten(
            self.structure, [is_value_parameter(name) for name in self.names]
        )
        step = partial(_apply, self.transform, is_value)

        def loss(network: Network, batch: Batch, mask: Any, coefs: Coefficients) -> Any:
            predictions = predictions_of(_XP, spec, network(batch.obs), batch.actions)
            return loss_of(_XP, predictions, batch, coefs, mask), predictions

        def choose(leaves: list[jax.Array], x: Any, noise: Any) -> Any:
            network = jax.tree.unflatten(self.structure, leaves)
            return chosen(_XP, spec, partial(network, x), noise)

        gradient = jax.value_and_grad(loss, has_aux=True)
        self._infer = jax.jit(lambda network, x: network(x))
        self._infer_actor = jax.jit(lambda network, x: network(x, actor_only=True))
        self._choose = jax.jit(choose)
        self._gradient = jax.jit(gradient)
        self._apply = jax.jit(step)
        self.learn = partial(_scan, gradient, step)  # pure: a program of programs can have it
        self._scan = jax.jit(self.learn, static_argnames=("size", "normalized"))

    def _set(self, parameters: Mapping[str, Any], optimizer: Any = None) -> None:
        check_names_and_shapes(self.shapes, parameters)
        network = self._tree(parameters)
        self.learner = Learner(network, optimizer or self.transform.init(network))
        self._is_twin_old = True

    def _tree(self, named: Mapping[str, Any]) -> Network:
        """Canonical arrays in the network's place; its linear weights lie the other way round."""
        leaves = [
            jnp.array(
                np.asarray(named[name]).T if name in self._turned else named[name],
                jnp.float32,
            )
            for name in self.names
        ]
        return jax.tree.unflatten(self.structure, leaves)

    def _named(self, tree: Any) -> dict[str, NDArray]:
        found = dict(zip(self.names, jax.tree.leaves(tree), strict=True))
        return {
            name: np.array(found[name].T if name in self._turned else found[name], order="C")
            for name in self.shapes
        }

    def tensor(self, array: NDArray) -> NDArray:
        """As it is: jitted functions take NumPy's arrays, faster than ``jnp.asarray`` does."""
        return array

    @property
    def own_network(self) -> Any:
        """The user's module, or None."""
        network: Any = self.learner.network
        return None if self.spec.network is None else network.module

    def infer(self, x: Any, actor_only: bool) -> Outputs:
        """One jitted forward pass."""
        return (self._infer_actor if actor_only else self._infer)(self.learner.network, x)

    def chooser(self) -> Callable[[Any, Any], Any]:
        """One jitted function; the network is taken apart once, not at every call."""
        return partial(self._choose, jax.tree.leaves(self.learner.network))

    def values(self, obs: Any) -> NDArray:
        """V(obs), ``[B]``."""
        if self._twin is not None:
            return super().values(obs)
        # XLA compiles anew for every B, and rollouts end with any number of truncations.
        n = len(next(iter(obs.values())) if isinstance(obs, dict) else obs)
        rows = np.arange(1 << (n - 1).bit_length()) % n
        return super().values(take(obs, rows))[:n]

    # The update

    def loss_and_grad(self, minibatch: Batch, coefs: Coefficients) -> tuple[Predictions, Any]:
        """A jitted minibatch; :meth:`update` does the same without leaving XLA."""
        batch = self.minibatch_tensors(minibatch)
        (_, predictions), gradient = self._gradient(self.learner.network, batch, None, coefs)
        return Predictions(*(None if p is None else np.asarray(p) for p in predictions)), gradient

    def named_gradients(self, gradient: Any) -> dict[str, NDArray]:
        """A gradient under the parameters' names."""
        return self._named(gradient)

    def combine(self, total: Any, gradient: Any, weight: float) -> Any:
        """``total + weight * gradient``."""
        if total is None:
            return jax.tree.map(lambda g: g * weight, gradient)
        return jax.tree.map(lambda t, g: t + g * weight, total, gradient)

    def apply_gradients(self, gradient: Any, learning_rate: Rates, max_grad_norm: Rates) -> float:
        """Clip by the norm and step."""
        learner, norm = self._apply(self.learner, gradient, learning_rate, max_grad_norm)
        if not np.isfinite(norm):
            raise_not_finite(self._named(gradient))
        self.learner, self._is_twin_old = learner, True
        self.step_count += 1
        return float(norm)

    def update(
        self,
        rollout: Batch | Callable[[int], Batch],
        settings: UpdateSettings,
        order: Callable[[int], NDArray] | None,
    ) -> UpdateStats:
        """All epochs and minibatches in one scan.

        But minibatch by minibatch with convolutions on a CPU: inside a loop XLA takes its plainest
        code for them, and 20 times as long.
        """
        in_steps = bool(self.spec.images) and jax.default_backend() == "cpu"
        if in_steps or order is None or not isinstance(rollout, Batch):
            return super().update(rollout, settings, order)
        plan = make_plan(rollout.n_rows, settings, order)
        result = self._scan(
            self.learner,
            self.minibatch_tensors(rollout),
            plan,
            *numbers_of(settings),
            size=settings.batch_size,
            normalized=settings.normalize_minibatch,
        )
        # Not finite: step by step from the same state; it stops at the culprit and says what it is.
        return self.accept(result, plan, rollout, settings) or super().update(
            rollout, settings, order
        )

    def accept(
        self, result: "Learned", plan: "Plan", rollout: Batch, settings: UpdateSettings
    ) -> UpdateStats | None:
        """Go on from what a scan has learned; None, and nothing changes, if it isn't finite."""
        norms = np.asarray(result.norms)
        if not np.isfinite(norms).all():
            return None
        stats, n_steps = _read(plan, rollout, settings, result, norms)
        self.learner, self._is_twin_old = result.learner, True
        self.step_count += n_steps
        return stats

    # Canonical dictionaries

    def parameters(self) -> dict[str, NDArray]:
        """Copies of the parameters."""
        return self._named(self.learner.network)

    def load_parameters(self, parameters: dict[str, NDArray]) -> None:
        """Set all parameters."""
        self._set(parameters, self.learner.optimizer)

    def optimizer_state(self) -> dict[str, Any]:
        """``{"step": int, moment: {name: array}}``."""
        state = self.learner.optimizer
        result: dict[str, Any] = {"step": self.step_count}
        if self.step_count:
            for field, moment in _MOMENTS.items():
                if hasattr(state, field):
                    result[moment] = self._named(getattr(state, field))
        return result

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        """Set what :meth:`optimizer_state` gave."""
        self.step_count = max(int(state["step"]), int("momentum_buffer" in state))
        new = self.transform.init(self.learner.network)
        for field, moment in _MOMENTS.items():
            if moment in state and hasattr(new, field):
                new = new._replace(**{field: self._tree(state[moment])})
        if isinstance(new, optax.ScaleByAdamState):
            new = new._replace(count=jnp.array(self.step_count, jnp.int32))
        self.learner = self.learner._replace(optimizer=new)


_MOMENTS = {"mu": "exp_avg", "nu": "exp_avg_sq", "trace": "momentum_buffer"}
"""Optax's names for the moments, and ours, which are torch's."""


def _is_turned(name: str, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    return name.endswith(".weight") and len(shapes[name]) == 2


def _transform(
    name: str,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    momentum: float = 0.0,
) -> optax.GradientTransformation:
    """The optimizer without its learning rate, which changes from update to update."""
    if name == "adam":
        return optax.scale_by_adam(*betas, eps)
    return optax.trace(momentum) if momentum else optax.identity()


class Plan(NamedTuple):
    """What each of an update's T optimizer steps reads: S rows of the rollout.

    A step of several accumulated minibatches is one of all their rows: the mean over them is the
    weighted mean of the minibatches' means.
    """

    rows: Any  # [T, S], which rows of the rollout
    mask: Any  # [T, S], 0 for what pads an epoch's last step; None: nothing does


class Learned(NamedTuple):
    """What comes of an update's T optimizer steps."""

    learner: Learner
    advantages: Any  # [T, S], as the loss saw them
    predictions: Predictions  # [T, S] each
    kls: Any  # [T, k], of each of a step's minibatches
    norms: Any  # [T], of the gradients before clipping


def make_plan(n_rows: int, settings: UpdateSettings, order: Callable[[int], NDArray]) -> Plan:
    """The plan of an update from a rollout of ``n_rows``; ``order`` as ActorCritic.update's."""
    n, per_step = settings.rows_of_epoch(n_rows), settings.batch_size * settings.accumulate
    n_padded = -(-n // per_step) * per_step
    index = np.zeros((settings.n_epochs, n_padded), np.int32)
    for epoch, rows in enumerate(index):
        rows[:n] = order(epoch)[:n]
    shape = (-1, per_step)
    mask: Any = None
    if n_padded > n:
        mask = np.broadcast_to(np.arange(n_padded) < n, index.shape)
        mask = mask.astype(np.float32).reshape(shape)
    return Plan(index.reshape(shape), mask)


def numbers_of(settings: UpdateSettings) -> tuple[Any, ...]:
    """Those of a scan's arguments that may change from update to update without compiling anew."""
    kl_limit = None if settings.target_kl is None else 1.5 * settings.target_kl
    return settings.coefs, settings.learning_rate, settings.max_grad_norm, kl_limit


def _scan(
    gradient: Callable,
    step: Callable,
    learner: Learner,
    rollout: Batch,
    plan: Plan,
    coefs: Coefficients,
    rates: Rates,
    limits: Rates,
    kl_limit: jax.Array | None,
    *,
    size: int,
    normalized: bool,
) -> Learned:
    """All steps of an update, from minibatches of ``size`` rows."""
    advantages = rollout.advantages[plan.rows]
    if normalized:
        advantages = _normalize(advantages, plan.mask, size)

    def take_step(learner: Learner, steps: tuple[Plan, jax.Array]) -> Any:
        plan, advantages = steps
        batch = jax.tree.map(lambda rows: rows[plan.rows], rollout)
        batch = batch._replace(advantages=advantages)
        (_, predictions), grads = gradient(learner.network, batch, plan.mask, coefs)
        kl = _approx_kl(predictions, batch, plan.mask, size)
        moved, norm = step(learner, grads, rates, limits)
        return moved, (predictions, kl, norm)

    def take_step_or_stop(carry: Any, steps: tuple[Plan, jax.Array]) -> Any:
        learner, goes_on = carry

        def go(learner: Learner) -> Any:
            moved, results = take_step(learner, steps)
            goes_on = (results[1] <= kl_limit).all()
            kept = jax.tree.map(lambda new, old: jnp.where(goes_on, new, old), moved, learner)
            return (kept, goes_on), results

        nothing = jax.eval_shape(go, learner)[1]

        def stay(learner: Learner) -> Any:
            zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), nothing)
            return (learner, jnp.array(False)), zeros

        return jax.lax.cond(goes_on, go, stay, learner)

    steps = (plan, advantages)
    if kl_limit is None:
        learner, results = jax.lax.scan(take_step, learner, steps)
    else:
        begin = (learner, jnp.array(True))
        (learner, _), results = jax.lax.scan(take_step_or_stop, begin, steps)
    return Learned(learner, advantages, *results)


def _normalize(advantages: jax.Array, mask: Any, size: int) -> jax.Array:
    """``functional.advantages.normalize`` of each step's minibatches, ``[T, S]``."""
    blocks = advantages.reshape(len(advantages), -1, size)
    inside = jnp.ones_like(blocks) if mask is None else mask.reshape(blocks.shape)
    counts = inside.sum(axis=2, keepdims=True)
    means = (blocks * inside).sum(axis=2, keepdims=True) / jnp.maximum(counts, 1.0)
    centered = (blocks - means) * inside
    variances = (centered * centered).sum(axis=2, keepdims=True) / jnp.maximum(counts - 1.0, 1.0)
    result = jnp.where(counts == 1.0, blocks, centered / (jnp.sqrt(variances) + 1e-8))
    return result.reshape(advantages.shape)


def _approx_kl(predictions: Predictions, batch: Batch, mask: Any, size: int) -> jax.Array:
    """Of each of the step's minibatches, ``[k]``."""
    log_ratio = (predictions.log_prob - batch.old_log_prob).reshape(-1, size)
    rows = jnp.expm1(log_ratio) - log_ratio
    if mask is None:
        return rows.mean(axis=1)
    counts = mask.reshape(-1, size)
    return jnp.where(counts > 0, rows, 0.0).sum(axis=1) / jnp.maximum(counts.sum(axis=1), 1.0)


def _read(
    plan: Plan,
    rollout: Batch,
    settings: UpdateSettings,
    result: Learned,
    norms: NDArray,
) -> tuple[UpdateStats, int]:
    """The scan's results as the numbers that are logged, and how many steps were taken."""
    n_epochs, size = settings.n_epochs, settings.batch_size
    n = settings.rows_of_epoch(rollout.n_rows)
    predictions, kls = result.predictions, np.asarray(result.kls)

    def rows(stacked: Any) -> NDArray:
        """``[T, S]``, or ``[T]`` for a number that all rows share, without the padding."""
        array = np.asarray(stacked)
        if array.ndim == 1:
            array = np.repeat(array[:, None], plan.rows.shape[1], axis=1)
        return array.reshape(n_epochs, -1)[:, :n].reshape(-1)

    per_epoch = -(-n // size)  # minibatches
    sizes = [size] * (n // size) + [n % size] * (n % size > 0)
    sizes, stopped, n_steps, epochs = sizes * n_epochs, None, len(norms), n_epochs
    end = n * n_epochs
    limit = np.inf if settings.target_kl is None else 1.5 * settings.target_kl
    too_far = np.flatnonzero(kls.reshape(n_epochs, -1)[:, :per_epoch] > np.float32(limit))
    if len(too_far):
        last = int(too_far[0])
        stopped = float(kls.reshape(n_epochs, -1)[:, :per_epoch].flat[last])
        epochs, sizes = last // per_epoch + 1, sizes[: last + 1]
        n_steps, end = _steps_before(last, per_epoch, settings.accumulate), sum(sizes)
    index = rows(plan.rows)[:end]
    columns = (
        rollout._replace(obs=None).take(index)._replace(advantages=rows(result.advantages)[:end])
    )
    entropy = None if predictions.entropy is None else rows(predictions.entropy)[:end]
    stats = summarize(
        settings.coefs,
        sizes,
        columns,
        Predictions(rows(predictions.log_prob)[:end], entropy, rows(predictions.values)[:end]),
        n_epochs=epochs,
        last_epoch=(epochs - 1) * per_epoch,
        stopped_kl=stopped,
        grad_norms=norms[:n_steps].tolist(),
    )
    return stats, n_steps


def _steps_before(minibatch: int, per_epoch: int, accumulate: int) -> int:
    """Optimizer steps completed before the one that a minibatch belongs to."""
    epoch, within = divmod(minibatch, per_epoch)
    return epoch * -(-per_epoch // accumulate) + within // accumulate
